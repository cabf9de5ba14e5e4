package org.pocketmood.session

import java.io.InputStream
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem
import org.pocketmood.bundle.BundleImporter
import org.pocketmood.bundle.BundleStore
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.bundle.ShippedBundle
import org.pocketmood.model.EmotionModel
import org.pocketmood.model.ModelLoader
import org.pocketmood.model.SelfTestResult
import org.pocketmood.model.selfTest

/** A program that is open, and what the screens show of it. Whoever opened it closes [program]. */
class LoadedModel(val program: EmotionModel, val about: OpenModel)

/**
 * Life cycle of models: unpacks, imports, loads, checks them against their contract and tests them. Everything here
 * blocks and keeps no state but files: one call at a time, not on the main thread.
 */
class ModelManager(
    private val store: BundleStore,
    private val importer: BundleImporter,
    private val loader: ModelLoader,
    private val shipped: ShippedBundle,
    private val nanoTime: () -> Long,
) {
    /** The models on this device. */
    val library: List<ModelEntry> get() = store.entries()

    /** Unpacks and chooses the bundle that came with the app, once for every new one. */
    fun unpack(report: (Step) -> Unit) {
        val id = shipped.id() ?: return
        // What the user chose since then survives a restart; a new app brings its new model into service.
        if (store.has(id)) return
        report(Step.UNPACKING)
        val bundle = importer.install(shipped.names(), shipped::open)
        store.choose(ModelEntry(bundle, bundle.programs.first()).id)
    }

    /** Opens the chosen model; raises why it cannot be used. */
    fun open(report: (Step) -> Unit): LoadedModel {
        val entry = store.chosen() ?: throw PocketmoodException(Problem.NoModel)
        report(Step.LOADING)

        // Before loading: a damaged program may take the process down with it.
        val model = loader.load(entry.bundle.checked(entry.program.file))

        try {
            entry.bundle.check(model.contract)
            // Once on each device and for each program: kernels differ between processors, not between starts.
            val result = store.selfTest(entry) ?: test(model, entry, report)
            if (!result.passed) throw PocketmoodException(Problem.SelfTestFailed(result.difference, result.tolerance))
            return LoadedModel(model, OpenModel(entry, model.contract, model.backends, result))
        } catch (error: Exception) {
            model.close()
            throw error
        }
    }

    /** Runs the golden pairs of a loaded model and keeps the result. */
    fun test(model: EmotionModel, entry: ModelEntry, report: (Step) -> Unit): SelfTestResult {
        report(Step.TESTING)
        return selfTest(model, entry.bundle.golden(), entry.program.tolerance, nanoTime).also { store.keep(entry, it) }
    }

    /** Imports a zip and chooses its smallest program. */
    fun import(zip: InputStream) {
        val bundle = zip.use(importer::import)
        store.choose(ModelEntry(bundle, bundle.programs.first()).id)
    }

    fun choose(id: String) = store.choose(id)

    fun remove(entry: ModelEntry) = store.remove(entry)
}
