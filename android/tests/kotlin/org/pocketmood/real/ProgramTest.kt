package org.pocketmood.real

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import kotlin.math.abs
import org.json.JSONArray
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.pocketmood.FakeModel
import org.pocketmood.Problem
import org.pocketmood.bundle.Bundle
import org.pocketmood.bundle.Program
import org.pocketmood.model.Emotion
import org.pocketmood.model.EmotionModel
import org.pocketmood.model.ExecuTorchModel
import org.pocketmood.model.Prediction
import org.pocketmood.model.SelfTestResult
import org.pocketmood.model.distance
import org.pocketmood.model.selfTest
import org.pocketmood.problem

/** The app's own ExecuTorch class, with the programs that ship. */
class ProgramTest {
    @get:Rule val temporary = TemporaryFolder()
    private val bundle by lazy { Bundle.open(bundleFolder()) }

    @Before
    fun runtime() {
        bundleFolder()
        HostRuntime.install()
    }

    /**
     * What the export's gate allowed: its limit, and for int8 the distance of its graph from fp32. Here the processor is
     * the exporter's, so the part of the tolerance that is for other kernels is not needed.
     */
    private fun gate(program: Program): Float {
        val records = JSONArray(File(bundle.folder, "parity.json").readText())
        val record = (0 until records.length()).map(records::getJSONObject).single { it.getString("artefact") == program.file }
        return (record.getDouble("limit") + record.optDouble("fp32_max_error", 0.0)).toFloat()
    }

    private fun <T> load(file: File, work: (EmotionModel) -> T): T = ExecuTorchModel.load(file).use(work)

    @Test
    fun everyProgramPassesItsSelfTest() {
        assertTrue(bundle.programs.isNotEmpty())
        for (program in bundle.programs) {
            val result = load(bundle.checked(program.file)) { selfTest(it, bundle.golden(), program.tolerance, System::nanoTime) }
            println("${program.file}: ${result.pairs} golden pairs, largest difference ${result.difference}, tolerance ${result.tolerance}")
            assertTrue("${program.file}: $result", result.passed)
            assertTrue("${program.file}: $result", result.difference <= gate(program))
        }
    }

    @Test
    fun everyProgramCarriesItsContract() {
        for (program in bundle.programs) {
            load(bundle.checked(program.file)) {
                bundle.check(it.contract)
                assertEquals(30f, it.contract.seconds, 0f)
                assertTrue(it.contract.labels, it.contract.labels.contains("fix: "))
                assertEquals(listOf("XnnpackBackend"), it.backends.distinct())
            }
        }
    }

    @Test
    fun theSmallestProgramEqualsPythonToTheLastBits() {
        val expected = reference("golden.f32")
        load(bundle.checked(bundle.programs.first().file)) { model ->
            bundle.golden().forEachIndexed { i, pair ->
                val (emotion, interval68) = model.predict(pair.waveform)
                val found = floatArrayOf(emotion.valence, emotion.arousal, interval68.valence, interval68.arousal)
                // The same kernels on the same processor; threads may add in another order.
                for (k in 0..3) assertEquals(expected[4 * i + k], found[k], 1e-5f)
            }
        }
    }

    @Test
    fun pythonAndTheAppDrawTheLineAtTheSamePlace() {
        // What Python predicted, judged by the app: the distance that Python found is where the verdict turns.
        val found = reference("golden.f32").toList().chunked(4).map { (v, a, vi, ai) -> Prediction(Emotion(v, a), Emotion(vi, ai)) }
        val edge = reference("distance.f32").single()

        fun judged(tolerance: Float): SelfTestResult {
            val next = found.iterator()
            return selfTest(FakeModel { next.next() }, bundle.golden(), tolerance) { 0 }
        }
        assertEquals(edge, judged(1f).difference, 1e-8f)
        assertTrue(judged(edge + 1e-7f).passed)
        assertFalse(judged(edge - 1e-7f).passed)
        // And the tolerance that both judge by is the one that stands in parity.json.
        val program = bundle.programs.first()
        assertEquals(judged(program.tolerance).passed, edge <= program.tolerance)
        println("${program.file}: the line lies at $edge, Python and app; tolerance ${program.tolerance}")
    }

    @Test
    fun aProgramWithAnotherSampleRateIsRefused() {
        // A constant of the program is a number of eight bytes in its file.
        val broken = patched(long(22_050), long(16_000))
        load(broken) { assertEquals(Problem.ContractBroken("sample_rate", "16000", "22050"), problem { bundle.check(it.contract) }) }
    }

    @Test
    fun aProgramWithAnotherSpectrogramIsRefused() {
        // The hash stands for every number of the spectrogram.
        val broken = patched(bundle.melHash.toByteArray(), "0000000000000000".toByteArray())
        load(broken) { assertTrue(problem { bundle.check(it.contract) } is Problem.ContractBroken) }
    }

    @Test
    fun whatIsNoProgramIsRefused() {
        val text = temporary.newFile("model.pte").apply { writeText("no program at all, but long enough to look like one".repeat(99)) }
        assertEquals(Problem.FileDamaged("model.pte"), problem { ExecuTorchModel.load(text) })
        assertEquals(Problem.FileDamaged("gone.pte"), problem { ExecuTorchModel.load(File(temporary.root, "gone.pte")) })
    }

    @Test
    fun anotherLengthIsRefusedInPlainWords() {
        load(bundle.checked(bundle.programs.first().file)) { model ->
            val error = assertThrows(IllegalArgumentException::class.java) { model.predict(FloatArray(8000)) }
            assertEquals("8000 samples; the model takes 661500", error.message)
        }
    }

    @Test
    fun aClosedModelSaysSo() {
        val model = ExecuTorchModel.load(bundle.checked(bundle.programs.first().file))
        model.close()
        model.close()
        assertThrows(IllegalStateException::class.java) { model.predict(FloatArray(661_500)) }
    }

    @Test
    fun onnxRuntimeOnTheJvmAgrees() {
        val program = File(bundle.folder, "model.fp32.onnx")
        org.junit.Assume.assumeTrue("skipped: ${program.name} is not in this bundle", program.isFile)

        val environment = OrtEnvironment.getEnvironment()
        environment.createSession(program.path).use { session ->
            var worst = 0f
            for (pair in bundle.golden()) {
                val shape = longArrayOf(1, pair.waveform.size.toLong())
                OnnxTensor.createTensor(environment, FloatBuffer.wrap(pair.waveform), shape).use { tensor ->
                    session.run(mapOf("waveform" to tensor)).use { result ->
                        @Suppress("UNCHECKED_CAST") val emotion = (result["emotion"].get().value as Array<FloatArray>)[0]
                        val golden = pair.prediction.emotion
                        worst = maxOf(worst, abs(emotion[0] - golden.valence), abs(emotion[1] - golden.arousal))
                    }
                }
            }
            println("model.fp32.onnx: largest difference $worst")
            assertTrue("$worst", worst <= 1e-4f) // the gate's limit for fp32: the exporter's own processor
        }
    }

    @Test
    fun programsAgreeWithEachOther() {
        org.junit.Assume.assumeTrue("skipped: one program only", bundle.programs.size > 1)
        val pair = bundle.golden().first()
        val predictions = bundle.programs.map { program -> load(bundle.checked(program.file)) { it.predict(pair.waveform) } }
        assertTrue(distance(predictions[0], predictions[1]) <= bundle.programs.map(::gate).sum())
    }

    /** A copy of the smallest program in which [from] became [to], wherever it stands. */
    private fun patched(from: ByteArray, to: ByteArray): File {
        val bytes = bundle.checked(bundle.programs.first().file).readBytes()
        var found = 0
        var i = 0
        while (i <= bytes.size - from.size) {
            if (from.indices.all { bytes[i + it] == from[it] }) {
                to.copyInto(bytes, i)
                found++
                i += from.size
            } else {
                i++
            }
        }
        assertTrue("the constant was not found in the program", found > 0)
        return temporary.newFile("patched.pte").apply { writeBytes(bytes) }
    }

    private fun long(value: Long) = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array()
}
