package org.pocketmood.bundle

import java.io.File
import java.io.InputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem
import org.pocketmood.model.Answer
import org.pocketmood.model.Contract
import org.pocketmood.model.Emotion
import org.pocketmood.model.GoldenPair
import org.pocketmood.model.SCHEMA

/** One program of a bundle, and how far the export's own proof allows it to lie from PyTorch. */
data class Program(val file: String, val sizeBytes: Long, val limit: Float)

/** A folder that `make export` wrote, or the part of it that a phone needs. Reading and hashing: not on the main thread. */
class Bundle private constructor(val folder: File, about: JSONObject, private val parity: Map<String, Float>) {
    /** Tells bundles apart: the beginning of the SHA-256 of bundle.json, which holds the hashes of all other files. */
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
            .filter { it.endsWith(PROGRAM_SUFFIX) && File(folder, it).isFile }
            .map { Program(it, File(folder, it).length(), parity[it] ?: throw PocketmoodException(Problem.NotProven(it))) }
            .sortedBy { it.sizeBytes }

    /** Returns a file after comparing its SHA-256 with the one in bundle.json. */
    fun checked(name: String): File {
        val file = File(folder, name)
        val wanted = files[name]
        if (wanted == null || !file.isFile) throw PocketmoodException(Problem.FileMissing(name))
        if (file.inputStream().use(::sha256) != wanted) throw PocketmoodException(Problem.FileDamaged(name))
        return file
    }

    /** Compares what a program says about itself with this bundle. */
    fun check(contract: Contract) {
        if (contract.schema != SCHEMA.toLong()) throw PocketmoodException(Problem.OtherSchema(contract.schema, SCHEMA))
        refuse("sample_rate", contract.sampleRate, sampleRate)
        refuse("samples", contract.samples, samples)
        refuse("mel_hash", contract.melHash, melHash)
    }

    /** Reads the golden pairs one after the other: raw little-endian float32, checked against their hashes first. */
    fun golden(): Sequence<GoldenPair> {
        val (waveform, emotions, spreads) = GOLDEN.map(::checked)
        val emotion = floats(emotions.readBytes())
        val spread = floats(spreads.readBytes())
        val pairs = emotion.size / 2
        if (pairs == 0 || spread.size != emotion.size || waveform.length() != pairs.toLong() * samples * Float.SIZE_BYTES) {
            throw PocketmoodException(Problem.FileDamaged(GOLDEN[0]))
        }
        return sequence {
            waveform.inputStream().use { stream ->
                for (i in 0 until pairs) {
                    val answer = Answer(Emotion(emotion[2 * i], emotion[2 * i + 1]), Emotion(spread[2 * i], spread[2 * i + 1]))
                    yield(GoldenPair(floats(readFully(stream, samples * Float.SIZE_BYTES)), answer))
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
        val GOLDEN = listOf("golden/waveform.f32", "golden/emotion.f32", "golden/spread.f32")

        /** The id of a bundle, from the bytes of its bundle.json. */
        fun idOf(about: InputStream): String = sha256(about).take(12)

        /** Reads bundle.json and parity.json; raises NotABundle, OtherSchema, FileMissing, FileDamaged or NotProven. */
        fun open(folder: File): Bundle {
            val about = File(folder, ABOUT)
            if (!about.isFile) throw PocketmoodException(Problem.NotABundle)
            val json = parse(Problem.NotABundle) { JSONObject(about.readText()) }
            val schema = json.optLong("schema", -1)
            if (schema != SCHEMA.toLong()) throw PocketmoodException(Problem.OtherSchema(schema, SCHEMA))
            val record = File(folder, PARITY)
            if (!record.isFile) throw PocketmoodException(Problem.FileMissing(PARITY))
            val limits = parse(Problem.FileDamaged(PARITY)) { limits(JSONArray(record.readText())) }
            return parse(Problem.FileDamaged(ABOUT)) { Bundle(folder, json, limits) }
        }

        private fun <T> parse(problem: Problem, read: () -> T): T =
            try {
                read()
            } catch (error: JSONException) {
                throw PocketmoodException(problem, error)
            }

        /**
         * Returns, for every program that passed its gate, the largest difference from the golden answers: an int8
         * program may lie `limit` from its quantised graph, which lies `fp32_max_error` from PyTorch.
         */
        private fun limits(records: JSONArray): Map<String, Float> =
            (0 until records.length())
                .map(records::getJSONObject)
                .filter { it.optString("verdict") == "passed" }
                .associate { it.getString("artefact") to (it.getDouble("limit") + it.optDouble("fp32_max_error", 0.0)).toFloat() }

        fun floats(bytes: ByteArray): FloatArray {
            val values = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            return FloatArray(values.remaining()).also(values::get)
        }

        private fun readFully(stream: InputStream, size: Int): ByteArray {
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
    val block = ByteArray(1 shl 16)
    while (true) {
        val count = stream.read(block)
        if (count < 0) break
        digest.update(block, 0, count)
    }
    return digest.digest().joinToString("") { "%02x".format(it) }
}
