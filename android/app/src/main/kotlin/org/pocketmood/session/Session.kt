package org.pocketmood.session

import java.io.InputStream
import java.util.concurrent.CopyOnWriteArraySet
import java.util.concurrent.Executor
import org.pocketmood.Problem
import org.pocketmood.audio.AudioSource
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.model.EmotionModel
import org.pocketmood.problemOf

/** Draws. Called on the main thread, at once when it begins to observe and for every change after that. */
fun interface Observer {
    fun show(state: UiState, library: List<ModelEntry>)
}

/**
 * Holds the state of the app; the screens only draw it. Its functions are the events: they return at once, what takes
 * time runs on [background], and observers hear of it on [screen]. Lives as long as the process, so a rotation finds
 * everything as it was.
 */
class Session(
    private val workshop: Workshop,
    private val background: Executor,
    private val screen: Executor,
    private val nanoTime: () -> Long,
) {
    private val observers = CopyOnWriteArraySet<Observer>()

    @Volatile var state: UiState = UiState.Preparing(Step.LOADING)
        private set

    @Volatile private var library = emptyList<ModelEntry>()
    private var model: EmotionModel? = null
    private var source: AudioSource? = null
    private var started = false

    /** Music that was shared before the model was there. */
    private var waiting: (() -> Unit)? = null

    fun observe(observer: Observer) {
        observers += observer
        observer.show(state, library)
    }

    fun forget(observer: Observer) {
        observers -= observer
    }

    /** Opens the chosen model at the start of the process; later calls do nothing. */
    @Synchronized
    fun start() {
        if (started) return
        started = true
        background.execute {
            try {
                workshop.unpack(::report)
                open()
            } catch (error: Exception) {
                library = workshop.library
                publish(UiState.Failed(problemOf(error), null))
            }
        }
    }

    /** Opens the chosen model again, after a problem without one. */
    @Synchronized
    fun restart() {
        started = false
        start()
    }

    /**
     * Listens until the source ends or [stop]; what was heard before is forgotten. While a model is being prepared it
     * waits for that; where none can be used, the problem on the screen says why.
     */
    @Synchronized
    fun listen(what: Source, from: AudioSource) {
        if (state is UiState.Preparing) waiting = { listen(what, from) }
        val open = state.model ?: return
        val loaded = model ?: return
        source?.stop()
        source = from
        publish(UiState.Listening(open, Run(what)))
        background.execute { hear(from, open, loaded, Run(what)) }
    }

    @Synchronized
    fun stop() {
        source?.stop()
        source = null
        (state as? UiState.Listening)?.let { publish(UiState.Stopped(it.model, it.run)) }
    }

    /** Says that something is wrong which only a screen could see, such as a permission that was refused. */
    @Synchronized
    fun fail(problem: Problem) {
        stop()
        publish(UiState.Failed(problem, state.model))
    }

    /** Leaves a problem behind, back to the model that is in service. */
    @Synchronized
    fun dismiss() {
        val failed = state as? UiState.Failed ?: return
        failed.model?.let { publish(UiState.Ready(it)) }
    }

    /** Imports a bundle from a zip and puts its model into service; the one before stays where that fails. */
    fun import(zip: () -> InputStream) = change(Step.IMPORTING) { workshop.import(zip()) }

    fun choose(id: String) = change(Step.LOADING) { workshop.choose(id) }

    /** Removes a bundle; the next one in the library comes into service. */
    fun remove(entry: ModelEntry) = change(Step.LOADING) { workshop.remove(entry) }

    /** Runs the golden pairs again. */
    fun test() {
        val open = state.model ?: return
        val loaded = model ?: return
        attempt(Step.TESTING) {
            workshop.test(loaded, open.entry, ::report)
            open()
        }
    }

    private fun change(step: Step, work: () -> Unit) =
        attempt(step) {
            work()
            open()
        }

    private fun attempt(step: Step, work: () -> Unit) {
        stop()
        val before = state.model
        report(step)
        background.execute {
            try {
                work()
            } catch (error: Exception) {
                publish(UiState.Failed(problemOf(error), before))
            }
        }
    }

    private fun open() {
        val opened =
            try {
                workshop.open(::report)
            } catch (error: Exception) {
                library = workshop.library
                serve(null)
                return publish(UiState.Failed(problemOf(error), null))
            }
        library = workshop.library
        serve(opened.first)
        publish(UiState.Ready(opened.second))
        synchronized(this) { waiting.also { waiting = null } }?.invoke()
    }

    @Synchronized
    private fun serve(next: EmotionModel?) {
        model?.close()
        model = next
    }

    private fun hear(from: AudioSource, open: OpenModel, loaded: EmotionModel, run: Run) {
        val listener = Listener(loaded, run, background, nanoTime) { heard ->
            publishFrom(from) { UiState.Listening(open, heard) }
        }
        try {
            from.listen(listener)
            publishFrom(from) { (state as? UiState.Listening)?.let { UiState.Stopped(open, it.run) } ?: state }
        } catch (error: Exception) {
            publishFrom(from) { UiState.Failed(problemOf(error), open) }
        }
    }

    /** A source that was stopped or replaced has nothing more to say. */
    @Synchronized
    private fun publishFrom(from: AudioSource, next: () -> UiState) {
        if (source === from) publish(next())
    }

    private fun report(step: Step) = publish(UiState.Preparing(step))

    private fun publish(next: UiState) {
        state = next
        screen.execute { if (state === next) observers.forEach { it.show(next, library) } }
    }
}
