package org.pocketmood

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.json.JSONArray
import org.json.JSONObject
import org.pocketmood.bundle.sha256

/** Writes bundles as `make export` does, small ones, for the model of Fakes.kt. */
class TinyBundle(
    private val programs: Map<String, ByteArray> = mapOf("model.int8.pte" to ByteArray(1000) { 8 }),
    private val schema: Int = 2,
    private val golden: Boolean = true,
    private val goldenValence: Float = .3f,
    private val verdict: String = "passed",
    private val tolerance: Map<String, Double?> = mapOf("model.int8.pte" to .008, "model.fp32.pte" to .005),
    private val name: String = "mobilevit_test",
) {
    fun write(folder: File): File {
        folder.mkdirs()
        File(folder, "golden").mkdirs()
        programs.forEach { (file, bytes) -> File(folder, file).writeBytes(bytes) }
        if (golden) writeGolden(folder)
        File(folder, "parity.json").writeText(parity().toString())
        File(folder, "MODEL_CARD.md").writeText("a card")
        File(folder, "bundle.json").writeText(about(hashes(folder)).toString())
        return folder
    }

    private fun writeGolden(folder: File) {
        // FakeModel predicts from the last two samples: the rest may be silent.
        val waveforms = List(2) { pair -> FloatArray(SAMPLES).also { it[SAMPLES - 1] = if (pair == 0) goldenValence else -.2f } }
        File(folder, "golden/waveform.f32").writeBytes(waveforms.map(::bytes).reduce(ByteArray::plus))
        File(folder, "golden/emotion.f32").writeBytes(bytes(floatArrayOf(.3f, 0f, -.2f, 0f)))
        File(folder, "golden/interval68.f32").writeBytes(bytes(floatArrayOf(.25f, .25f, .25f, .25f)))
    }

    private fun hashes(folder: File): JSONObject {
        // bundle.json holds the hashes, so it cannot hold its own.
        val files = folder.walk().filter { it.isFile && it.name != "bundle.json" }
        return JSONObject(files.associate { it.relativeTo(folder).path to it.inputStream().use(::sha256) })
    }

    // With what the tolerance was made from, too: nothing on a device may compute it again.
    private fun parity() =
        JSONArray(
            programs.keys.map {
                val record = JSONObject(mapOf("artefact" to it, "limit" to 1.0, "fp32_max_error" to 1.0, "verdict" to verdict))
                record.put("tolerance", tolerance[it]) // null: no such key
            },
        )

    private fun about(files: JSONObject) =
        JSONObject()
            .put("schema", schema)
            .put("name", name)
            .put("parameters", 952_020)
            .put("spec", JSONObject().put("sample_rate", RATE))
            .put("spec_hash", MEL_HASH)
            .put("input", JSONObject().put("shape", JSONArray(listOf(1, SAMPLES))))
            .put("files", files)

    companion object {
        fun bytes(values: FloatArray): ByteArray {
            val buffer = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
            values.forEach(buffer::putFloat)
            return buffer.array()
        }

        /** Zips a folder, below [prefix]. */
        fun zip(folder: File, prefix: String = ""): ByteArray =
            zip(folder.walk().filter(File::isFile).associate { prefix + it.relativeTo(folder).path to it.readBytes() })

        fun zip(entries: Map<String, ByteArray>): ByteArray {
            val bytes = ByteArrayOutputStream()
            ZipOutputStream(bytes).use { zip ->
                for ((name, content) in entries) {
                    zip.putNextEntry(ZipEntry(name))
                    zip.write(content)
                    zip.closeEntry()
                }
            }
            return bytes.toByteArray()
        }

        fun stream(bytes: ByteArray) = ByteArrayInputStream(bytes)
    }
}
