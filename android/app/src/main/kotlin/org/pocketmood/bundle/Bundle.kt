package org.pocketmood.bundle

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem
import org.pocketmood.model.Contract
import org.pocketmood.model.Emotion
import org.pocketmood.model.GoldenPair
import org.pocketmood.model.Prediction
import org.pocketmood.model.SCHEMA

/** One program of a bundle; [tolerance] is the largest difference from the golden pairs that it may show on a device. */
data class Program(val file: String, val sizeBytes: Long, val tolerance: Float)

/**
 * Bundle on disk: the folder that `make export` wrote, or the part of it that a phone needs. It reads and hashes files: not
 * on the main thread.
 */
class Bundle private constructor(val folder: File, about: JSONObject, tolerances: Map<String, Float>) {
    /** Identity: the beginning of the SHA-256 of bundle.json, which holds the hashes of all other files. */
    val id: String = File(folder, ABOUT).inputStream().use(::idOf)
    val name: String = about.getString("name")
    val melHash: String = about.getString("spec_hash")
    val sampleRate: Int = about.getJSONObject("spec").getInt("sample_rate")
    val samples: Int = about.getJSONObject("input").getJSONArray("shape").getInt(1)
    val parameters: Long = about.optLong("parameters")
    private val files: Map<String, String> =
        about.getJSONObject("files").let { all -> all.keys().asSequence().associateWith(all::getString) }

    /** The `.pte` programs that are here, smallest first. */
    val programs: List<Program> =
        files.keys
            // bundle.json names all that was exported; a phone has a part of it.
            .filter { it.endsWith(PROGRAM_SUFFIX) && File(folder, it).isFile }
            .map { Program(it, File(folder, it).length(), tolerances[it] ?: throw PocketmoodException(Problem.NotProven(it))) }
            .sortedBy { it.sizeBytes }

    /** Returns a file after comparing its SHA-256 with the one in bundle.json. */
    fun checked(name: String): File {
        val file = File(folder, name)
        val wanted = files[name]
        if (wanted == null || !file.isFile) throw PocketmoodException(Problem.FileMissing(name))
        if (file.inputStream().use(::sha256) != wanted) throw PocketmoodException(Problem.FileDamaged(name))
        return file
    }

    /** Compares a program's own constants with this bundle; raises OlderSchema, OtherSchema or ContractBroken. */
    fun check(contract: Contract) {
        refuseOtherSchema(contract.schema)
        refuse("sample_rate", contract.sampleRate, sampleRate)
        refuse("samples", contract.samples, samples)
        refuse("mel_hash", contract.melHash, melHash)
    }

    /** Reads the golden pairs one after the other: raw little-endian float32, checked against their hashes first. */
    fun golden(): Sequence<GoldenPair> {
        val (waveform, emotions, intervals) = GOLDEN.map(::checked)
        val emotion = floats(emotions.readBytes())
        val interval68 = floats(intervals.readBytes())

        val pairs = emotion.size / 2
        if (pairs == 0 || interval68.size != emotion.size || waveform.length() != pairs.toLong() * samples * Float.SIZE_BYTES) {
            throw PocketmoodException(Problem.FileDamaged(GOLDEN[0]))
        }

        fun at(i: Int, values: FloatArray) = Emotion(values[2 * i], values[2 * i + 1])
        return sequence {
            // One at a time: a pair takes 2.6 MB.
            waveform.inputStream().use { stream ->
                for (i in 0 until pairs) {
                    val sound = floats(readFully(stream, samples * Float.SIZE_BYTES))
                    yield(GoldenPair(sound, Prediction(at(i, emotion), at(i, interval68))))
                }
            }
        }
    }

    private fun refuse(constant: String, program: Any, bundle: Any) {
        if (program != bundle) throw PocketmoodException(Problem.ContractBroken(constant, "$program", "$bundle"))
    }

    companion object {
        const val ABOUT = "bundle.json"
        const val PARITY = "parity.json"
        const val PROGRAM_SUFFIX = ".pte"
        val GOLDEN = listOf("golden/waveform.f32", "golden/emotion.f32", "golden/interval68.f32")

        /** The id of a bundle, from the bytes of its bundle.json. */
        fun idOf(about: InputStream): String = sha256(about).take(12)

        /** Reads bundle.json and parity.json; raises NotABundle, OlderSchema, OtherSchema, FileMissing, FileDamaged or NotProven. */
        fun open(folder: File): Bundle {
            val about = File(folder, ABOUT)
            if (!about.isFile) throw PocketmoodException(Problem.NotABundle)
            val json = parse(Problem.NotABundle) { JSONObject(about.readText()) }
            // Before anything else is read: other schemas have other files and fields.
            refuseOtherSchema(json.optLong("schema", -1))

            val record = File(folder, PARITY)
            if (!record.isFile) throw PocketmoodException(Problem.FileMissing(PARITY))
            val tolerances = parse(Problem.FileDamaged(PARITY)) { tolerances(JSONArray(record.readText())) }
            return parse(Problem.FileDamaged(ABOUT)) { Bundle(folder, json, tolerances) }
        }

        /** An older bundle wants another export; for a newer one the app may be what is old. */
        private fun refuseOtherSchema(found: Long) {
            if (found == SCHEMA.toLong()) return
            val older = found in 1 until SCHEMA
            throw PocketmoodException(if (older) Problem.OlderSchema(found, SCHEMA) else Problem.OtherSchema(found, SCHEMA))
        }

        private fun <T> parse(problem: Problem, read: () -> T): T =
            try {
                read()
            } catch (error: JSONException) {
                throw PocketmoodException(problem, error)
            }

        /**
         * Returns the tolerance of every program that passed its gate. Read, not computed: `export/parity.py` alone knows
         * what kernels may differ by and what a precision costs, and every device obeys the same number.
         */
        private fun tolerances(records: JSONArray): Map<String, Float> =
            (0 until records.length())
                .map(records::getJSONObject)
                .filter { it.optString("verdict") == "passed" }
                .associate { it.getString("artefact") to it.getDouble("tolerance").toFloat() }

        fun floats(bytes: ByteArray): FloatArray {
            val values = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            return FloatArray(values.remaining()).also(values::get)
        }

        private fun readFully(stream: InputStream, size: Int): ByteArray {
            // InputStream.readNBytes does the same from API 33 on.
            val bytes = ByteArray(size)
            var got = 0
            while (got < size) {
                val count = stream.read(bytes, got, size - got)
                if (count < 0) throw IOException("the golden waveforms ended after $got of $size bytes")
                got += count
            }
            return bytes
        }
    }
}

/** The SHA-256 of all that a stream holds, in hexadecimal digits: 40 ms for 10 MB on a phone. */
fun sha256(stream: InputStream): String {
    val digest = MessageDigest.getInstance("SHA-256")
    // In blocks: a program would take its size in memory once more.
    val block = ByteArray(1 shl 16)
    while (true) {
        val count = stream.read(block)
        if (count < 0) break
        digest.update(block, 0, count)
    }
    return digest.digest().joinToString("") { "%02x".format(it) }
}
