package org.pocketmood.model

import java.io.File
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** A `.pte` of a pocketmood bundle. Copy it, EmotionModel.kt, Emotion.kt and Problem.kt into an app of your own. */
class ExecuTorchModel private constructor(private val module: Module) : EmotionModel {
    override val contract = readContract(module)
    override val backends = module.getMethodMetadata(FORWARD).backends.toList()

    private var closed = false

    // One lock for both: the module must not be destroyed beneath a prediction, nor compute two at a time.
    @Synchronized
    override fun predict(waveform: FloatArray): Prediction {
        check(!closed) { "the model was closed" }
        // The runtime would refuse another length too, in words that help nobody.
        require(waveform.size == contract.samples) { "${waveform.size} samples; the model takes ${contract.samples}" }
        val input = Tensor.fromBlob(waveform, longArrayOf(1, waveform.size.toLong()))
        val (emotion, interval68) = module.forward(EValue.from(input)).map { it.toTensor().dataAsFloatArray }
        return Prediction(Emotion(emotion[0], emotion[1]), Emotion(interval68[0], interval68[1]))
    }

    @Synchronized
    override fun close() {
        if (!closed) module.destroy()
        closed = true
    }

    companion object : ModelLoader {
        private const val FORWARD = "forward"

        /** 0 lets ExecuTorch choose: half of the cores, which are the fast ones on most phones. */
        private const val THREADS = 0

        /**
         * Loads a program from the file system (an asset must be copied there first).
         *
         * Check the file's SHA-256 before: a damaged program may take the whole process down with it.
         */
        override fun load(program: File): EmotionModel {
            val module =
                try {
                    Module.load(program.path, Module.LOAD_MODE_MMAP, THREADS)
                } catch (error: UnsatisfiedLinkError) {
                    throw PocketmoodException(Problem.NoRuntime, error)
                } catch (error: RuntimeException) {
                    throw PocketmoodException(Problem.FileDamaged(program.name), error)
                }
            return try {
                ExecuTorchModel(module)
            } catch (error: RuntimeException) {
                // Loads, but lacks our constants or `forward`: a program that we did not export.
                module.destroy()
                throw PocketmoodException(Problem.FileDamaged(program.name), error)
            }
        }

        private fun readContract(module: Module): Contract {
            fun number(name: String) = module.execute(name)[0].toInt()
            fun text(name: String) = module.execute(name)[0].toStr()
            return Contract(
                schema = number("schema"),
                sampleRate = number("sample_rate").toInt(),
                samples = number("samples").toInt(),
                melHash = text("mel_hash"),
                labels = text("labels"),
                exporter = text("exporter"),
            )
        }
    }
}
