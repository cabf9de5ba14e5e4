package org.pocketmood.session

import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeModel
import org.pocketmood.FakeSource
import org.pocketmood.Later
import org.pocketmood.Problem
import org.pocketmood.TinyBundle
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.model.ModelLoader
import org.pocketmood.tone

/** What may happen while something else is still on its way. */
class SessionQueueTest : SessionFixture() {
    private val background = Later()
    private val models = mutableListOf<FakeModel>()

    /** Two models on the device, the newer in service. */
    private fun two(): Pair<Session, List<ModelEntry>> {
        val session = ready(background, loader = { _ -> FakeModel().also(models::add) })
        val newer = TinyBundle(name = "newer").write(temporary.newFolder("newer"))
        session.import { TinyBundle.zip(newer).inputStream() }
        background.runAll()
        models.clear()
        seen.clear()
        return session to library.sortedBy { it.bundle.name == "newer" }
    }

    @Test
    fun twoCommandsInARowAreCarriedOutOneAfterTheOther() {
        val (session, entries) = two()
        session.choose(entries[0].id)
        session.choose(entries[1].id)
        assertEquals("the second waits for the first", 1, background.size)
        background.runAll()
        val served = seen.filterIsInstance<UiState.Ready>().map { it.model.entry.id }
        assertEquals(entries.map { it.id }, served)
        assertEquals("one model is left open", listOf(true, false), models.map { it.closed })
    }

    @Test
    fun aFailureInsideIsShownAndTheNextCommandIsCarriedOut() {
        val (session, entries) = two()
        session.import { throw IllegalStateException("surprise") }
        session.choose(entries[0].id)
        background.runAll()
        val failed = seen.filterIsInstance<UiState.Failed>().single()
        assertEquals(Problem.Unexpected("IllegalStateException: surprise"), failed.problem)
        assertEquals("the model before was still there", "newer", failed.model?.entry?.bundle?.name)
        assertEquals(entries[0].id, (seen.last() as UiState.Ready).model.entry.id)
    }

    @Test
    fun aModelThatCannotBeOpenedLeavesNoneAndTheNextCommandIsCarriedOut() {
        val (session, entries) = two()
        session.choose("${entries[0].bundle.id}/gone.pte")
        session.choose(entries[0].id)
        background.runAll()
        assertEquals(UiState.Failed(Problem.FileMissing("gone.pte"), null), seen.filterIsInstance<UiState.Failed>().single())
        assertEquals(entries[0].id, (seen.last() as UiState.Ready).model.entry.id)
    }

    @Test
    fun closingTheScreenWhileAModelIsOpenedDisturbsNothing() {
        val session = session(background = background)
        val shown = mutableListOf<UiState>()
        val observer = Observer { state, _ -> shown += state }
        session.observe(observer)
        session.start()
        session.forget(observer)
        session.stop()
        val before = shown.size
        background.runAll()
        assertEquals("who no longer observes is left alone", before, shown.size)
        session.observe(observer)
        assertTrue("${shown.last()}", shown.last() is UiState.Ready)
    }

    @Test
    fun theModelBeforeStaysOpenUntilTheNextOneIs() {
        val closedWhileOpening = mutableListOf<Boolean>()
        val loader = ModelLoader { _ ->
            models.forEach { closedWhileOpening += it.closed }
            FakeModel().also(models::add)
        }
        val session = ready(background, loader)
        session.choose(library.single().id)
        background.runAll()
        // A phone that cannot open the next model would have none in between.
        assertEquals(listOf(false), closedWhileOpening)
        assertEquals(listOf(true, false), models.map { it.closed })
    }

    @Test
    fun whileTheModelIsChangedNothingUsesIt() {
        val session = ready(background)
        session.choose(library.single().id)
        session.fail(Problem.MicrophoneNotAllowed)
        assertNull(session.state.model)
        session.test()
        session.listen(Source.Microphone, FakeSource(tone(6)))
        assertEquals("neither was begun", 1, background.size)
        assertEquals(UiState.Failed(Problem.MicrophoneNotAllowed, null), session.state)
        background.runAll()
        assertTrue("${seen.last()}", seen.last() is UiState.Ready)
    }

    @Test
    fun aPredictionThatComesAfterTheEndDoesNotBringTheRunBack() {
        val session = ready(background)
        session.listen(Source.Microphone, FakeSource(tone(6), problem = Problem.MicrophoneLost))
        background.runOne()
        assertEquals("a prediction is on its way", 1, background.size)
        val failed = session.state as UiState.Failed
        background.runAll()
        assertEquals(failed, session.state)
    }

    @Test
    fun ofWhatWaitsForTheScreenOnlyTheNewestIsShown() {
        val main = Later()
        val session = session(main = main)
        session.start()
        main.runAll()
        seen.clear()
        session.listen(Source.File("song"), FakeSource(tone(12), seconds = 12.0))
        main.runAll()
        val (started, newest, end) = seen.map { checkNotNull(it.run) }
        assertEquals(3, seen.size)
        assertEquals(0f, started.heardS)
        // A file is published once a second of sound.
        assertEquals(11.9f, newest.heardS, .2f)
        assertEquals(newest, end)
        assertEquals(listOf(5f, 10f), end.moments.map { it.atS })
    }

    @Test
    fun aChangedToleranceChangesTheVerdict() {
        fun shipped(tolerance: Double) =
            TinyBundle(goldenValence = .306f, tolerance = mapOf("model.int8.pte" to tolerance)).write(temporary.newFolder())
        session(shipped = shipped(.007)).start()
        assertTrue("${seen.last()}", seen.last() is UiState.Ready)
        session(shipped = shipped(.005)).start()
        val problem = (seen.last() as UiState.Failed).problem as Problem.SelfTestFailed
        assertEquals(.006f, problem.difference, 1e-6f)
        assertEquals(.005f, problem.tolerance, 1e-7f)
    }

    @Test
    fun withRealThreadsEverythingIsShownOnTheMainOne() {
        val main = Executors.newSingleThreadExecutor()
        val background = Executors.newCachedThreadPool()
        val open = AtomicInteger()
        val mostOpening = AtomicInteger()
        val loader = { _: Any ->
            mostOpening.accumulateAndGet(open.incrementAndGet(), ::maxOf)
            // Long enough for a second opening to overlap, if one could.
            Thread.sleep(5)
            open.decrementAndGet()
            FakeModel()
        }

        val threads = mutableSetOf<Thread>()
        val end = CountDownLatch(1)
        main.submit {
            val session = session(loader = loader, background = background, main = main)
            session.observe { state, _ ->
                threads += Thread.currentThread()
                if (state is UiState.Stopped) end.countDown()
            }
            session.start()
            // Six commands and a song, before any of them is done.
            repeat(5) { session.restart() }
            session.listen(Source.File("song"), FakeSource(tone(60), seconds = 60.0))
        }.get()

        assertTrue("no end after a minute", end.await(60, TimeUnit.SECONDS))
        main.submit { assertEquals(List(12) { 5f * (it + 1) }, seen.last().run?.moments?.map { it.atS }) }.get()
        listOf(main, background).forEach { it.shutdown() }
        assertEquals("threads that draw", 1, threads.size)
        assertFalse("the thread of the test draws", Thread.currentThread() in threads)
        assertEquals("models that are opened at a time", 1, mostOpening.get())
    }
}
