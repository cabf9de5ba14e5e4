package org.pocketmood.session

import java.io.InputStream
import java.util.concurrent.Executor
import java.util.concurrent.atomic.AtomicReference
import org.pocketmood.Problem
import org.pocketmood.audio.AudioSource
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.problemIn

/** Draws. Called on the main thread, at once when it begins to observe and for every change after that. */
fun interface Observer {
    fun show(state: UiState, library: List<ModelEntry>)
}

/**
 * State holder of the app; the screens only draw what it holds. Its functions are the events: they return at once.
 * Lives as long as the process, so a rotation finds everything as it was.
 *
 * The main thread owns all of it: events come from there, and what takes time runs on [background] and hands its result
 * back through [main], so that no field has a lock and none changes while an event is handled. [main] runs a task at
 * once where it is called on the main thread: a tap that follows another sees what that one did.
 *
 * kotlinx-coroutines' StateFlow would tell the observers as well, but source, model and queue change together with the
 * state and would still need an owner; and its jar of 1.5 MB stands beside a dex of 184 KB for everything.
 */
class Session(
    private val models: ModelManager,
    private val background: Executor,
    private val main: Executor,
    private val nanoTime: () -> Long,
) {
    var state: UiState = UiState.Preparing(Step.LOADING)
        private set

    private val observers = LinkedHashSet<Observer>()
    private var library = emptyList<ModelEntry>()
    private var loaded: LoadedModel? = null
    private var source: AudioSource? = null
    private var started = false

    /** Music that was shared before the model was there. */
    private var waiting: (() -> Unit)? = null

    /** Changes of the model in the order in which they were asked for; the first is being carried out. */
    private val changes = ArrayDeque<Change>()

    private class Change(val step: Step, val work: () -> Unit)

    /** The model in service. None while it is being changed: it may be closed by then. */
    private val usable: LoadedModel? get() = loaded.takeIf { changes.isEmpty() }

    fun observe(observer: Observer) {
        observers += observer
        observer.show(state, library)
    }

    fun forget(observer: Observer) {
        observers -= observer
    }

    /** Opens the chosen model at the start of the process; later calls do nothing. */
    fun start() {
        if (started) return
        started = true
        change(Step.LOADING) { models.unpack(::report) }
    }

    /** Opens the chosen model again, after a problem without one. */
    fun restart() {
        started = false
        start()
    }

    /**
     * Listens until the source ends or [stop]; what was heard before is forgotten. While a model is being prepared it
     * waits for that; where none can be used, the problem on the screen says why.
     */
    fun listen(what: Source, from: AudioSource) {
        if (state is UiState.Preparing) waiting = { listen(what, from) }
        val model = usable ?: return
        source?.stop()
        source = from
        publish(UiState.Listening(model.about, Run(what)))
        background.execute { hear(from, model, Run(what)) }
    }

    fun stop() {
        source?.stop()
        source = null
        (state as? UiState.Listening)?.let { publish(UiState.Stopped(it.model, it.run)) }
    }

    /** Reports what only a screen could see, such as a permission that was refused. */
    fun fail(problem: Problem) {
        stop()
        publish(UiState.Failed(problem, usable?.about))
    }

    /** Leaves a problem behind, back to the model that is in service. */
    fun dismiss() {
        val failed = state as? UiState.Failed ?: return
        failed.model?.let { publish(UiState.Ready(it)) }
    }

    /** Imports a bundle from a zip and puts its model into service; the one before stays where that fails. */
    fun import(zip: () -> InputStream) = change(Step.IMPORTING) { models.import(zip()) }

    fun choose(id: String) = change(Step.LOADING) { models.choose(id) }

    /** Removes a bundle; the next one in the library comes into service. */
    fun remove(entry: ModelEntry) = change(Step.LOADING) { models.remove(entry) }

    /** Runs the golden pairs again. */
    fun test() {
        val model = usable ?: return
        change(Step.TESTING) { models.test(model.program, model.about.entry, ::report) }
    }

    /** Queues [work], after which the chosen model is opened: one at a time, or two would open and close each other's. */
    private fun change(step: Step, work: () -> Unit) {
        stop()
        changes += Change(step, work)
        if (changes.size == 1) begin()
    }

    private fun begin() {
        val (change, before) = changes.first() to loaded
        publish(UiState.Preparing(change.step))
        background.execute { carryOut(change, before) }
    }

    /** On [background]. Where [Change.work] fails the model before stays; where opening fails there is none. */
    private fun carryOut(change: Change, before: LoadedModel?) {
        var next = before
        val failed = problemIn {
            change.work()
            next = null
            // `use` closes the one before when the next is open; here, as it waits for a prediction that is being computed.
            next = before?.program.use { models.open(::report) }
        }
        var found = emptyList<ModelEntry>()
        val unreadable = problemIn { found = models.library }
        // Whatever happened above: without this the queue would stand still for ever.
        main.execute { finish(next, found, failed ?: unreadable) }
    }

    private fun finish(next: LoadedModel?, found: List<ModelEntry>, problem: Problem?) {
        loaded = next
        library = found
        changes.removeFirst()
        publish(if (next != null && problem == null) UiState.Ready(next.about) else UiState.Failed(checkNotNull(problem), next?.about))
        if (changes.isNotEmpty()) return begin()
        if (problem == null) waiting.also { waiting = null }?.invoke()
    }

    /** On [background], until the source has ended. */
    private fun hear(from: AudioSource, model: LoadedModel, run: Run) {
        val newest = AtomicReference<Run?>()
        val loop = InferenceLoop(model.program, run, background, nanoTime) { heard ->
            // A file is decoded a hundred times faster than it plays: of what waits for the screen only the newest counts.
            if (newest.getAndSet(heard) == null) publishFrom(from) { UiState.Listening(model.about, newest.getAndSet(null) ?: heard) }
        }
        val problem = problemIn { from.deliver(loop) }
        publishFrom(from) {
            source = null // a prediction that is still being computed comes too late
            if (problem != null) UiState.Failed(problem, model.about) else UiState.Stopped(model.about, state.run ?: run)
        }
    }

    /** A source that was stopped or replaced has nothing more to say. */
    private fun publishFrom(from: AudioSource, next: () -> UiState) = main.execute { if (source === from) publish(next()) }

    private fun report(step: Step) = main.execute { publish(UiState.Preparing(step)) }

    private fun publish(next: UiState) {
        state = next
        observers.toList().forEach { it.show(next, library) }
    }
}
