package org.pocketmood.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.pocketmood.FakeModel
import org.pocketmood.FakeSource
import org.pocketmood.Later
import org.pocketmood.Problem
import org.pocketmood.TinyBundle
import org.pocketmood.contract
import org.pocketmood.loaderOf
import org.pocketmood.prediction
import org.pocketmood.tone

class SessionTest : SessionFixture() {
    private val background = Later()

    private fun steps() = seen.filterIsInstance<UiState.Preparing>().map { it.step }.distinct()

    @Test
    fun theFirstStartUnpacksLoadsAndTests() {
        session().start()
        assertEquals(listOf(Step.LOADING, Step.UNPACKING, Step.TESTING), steps())
        val ready = seen.last() as UiState.Ready
        assertEquals(2, ready.model.selfTest.pairs)
        assertTrue(ready.model.selfTest.passed)
        assertEquals("int8", library.single().precision)
    }

    @Test
    fun theSecondStartOnlyLoads() {
        session().start()
        seen.clear()
        session().start()
        assertEquals(listOf(Step.LOADING), steps())
        assertTrue(seen.last() is UiState.Ready)
    }

    @Test
    fun startingTwiceDoesNothingMore() {
        val session = session()
        session.start()
        val states = seen.size
        session.start()
        assertEquals(states, seen.size)
    }

    @Test
    fun aNewAppBringsItsNewModelIntoService() {
        session().start()
        val newer = TinyBundle(name = "newer").write(temporary.newFolder("newer"))
        session(shipped = newer).start()
        assertEquals("newer", (seen.last() as UiState.Ready).model.entry.bundle.name)
        assertEquals(2, library.size)
    }

    @Test
    fun withoutAModelItSaysSo() {
        session(shipped = null).start()
        assertEquals(UiState.Failed(Problem.NoModel, null), seen.last())
    }

    @Test
    fun aFailedSelfTestKeepsTheModelOutOfService() {
        // The golden pairs want -.2 and 0: 1.1 away.
        val model = FakeModel { prediction(.9f, .9f) }
        val session = session(loader = loaderOf(model))
        session.start()
        val failed = seen.last() as UiState.Failed
        val (difference, tolerance) = failed.problem as Problem.SelfTestFailed
        assertEquals(1.1f, difference, 1e-6f)
        assertEquals(.008f, tolerance, 0f)
        assertTrue(model.closed)
        session.listen(Source.Microphone, FakeSource(tone(9)))
        assertEquals(failed, seen.last())
    }

    @Test
    fun aContractThatDoesNotFitKeepsTheModelOutOfService() {
        session(loader = loaderOf(FakeModel(contract.copy(sampleRate = 16_000)))).start()
        assertEquals(UiState.Failed(Problem.ContractBroken("sample_rate", "16000", "1000"), null), seen.last())
    }

    @Test
    fun listeningEndsInAPictureThatStays() {
        val session = session()
        session.start()
        session.listen(Source.File("song"), FakeSource(tone(12), seconds = 12.0))
        val stopped = seen.last() as UiState.Stopped
        assertEquals(listOf(5f, 10f), stopped.run.moments.map { it.atS })
    }

    @Test
    fun stoppingSilencesTheSource() {
        val session = ready(background)
        val source = FakeSource(tone(9))
        session.listen(Source.Microphone, source)
        session.stop()
        background.runAll()
        assertTrue(source.stopped)
        assertTrue(seen.last() is UiState.Stopped)
        // Stopped before its thread began.
        assertEquals(0f, seen.last().run!!.heardS)
    }

    @Test
    fun aNewSourceReplacesTheOldOne() {
        val session = ready(background)
        val first = FakeSource(tone(9))
        session.listen(Source.Microphone, first)
        session.listen(Source.File("song"), FakeSource(tone(6), seconds = 6.0))
        background.runAll()
        assertTrue(first.stopped)
        assertEquals(Source.File("song"), seen.last().run?.source)
    }

    @Test
    fun aProblemOfTheSourceKeepsTheModel() {
        val session = session()
        session.start()
        session.listen(Source.Microphone, FakeSource(tone(6), problem = Problem.MicrophoneLost))
        val failed = seen.last() as UiState.Failed
        assertEquals(Problem.MicrophoneLost, failed.problem)
        session.dismiss()
        assertEquals(UiState.Ready(failed.model!!), seen.last())
    }

    @Test
    fun sharedMusicWaitsForTheModel() {
        val session = session(background = background)
        session.start()
        session.listen(Source.File("shared"), FakeSource(tone(6), seconds = 6.0))
        background.runAll()
        assertEquals(Source.File("shared"), (seen.last() as UiState.Stopped).run.source)
    }

    @Test
    fun aFailedImportLeavesTheModelInService() {
        val session = session()
        session.start()
        val before = seen.last().model
        session.import { "no zip".byteInputStream() }
        assertEquals(UiState.Failed(Problem.NotABundle, before), seen.last())
        session.listen(Source.Microphone, FakeSource(tone(6)))
        assertEquals(listOf(5f, 6f), seen.last().run!!.moments.map { it.atS })
    }

    @Test
    fun anImportedModelComesIntoServiceAndTheOldOneIsKept() {
        val session = session()
        session.start()
        val old = library.single()
        val newer = TinyBundle(name = "newer").write(temporary.newFolder("newer"))
        session.import { TinyBundle.zip(newer).inputStream() }
        assertEquals("newer", seen.last().model?.entry?.bundle?.name)
        assertEquals(2, library.size)
        session.choose(old.id)
        assertEquals(old.id, seen.last().model?.entry?.id)
        session.remove(old)
        assertEquals("newer", seen.last().model?.entry?.bundle?.name)
        assertEquals(1, library.size)
    }

    @Test
    fun theModelBeforeIsClosed() {
        val models = mutableListOf<FakeModel>()
        val session = session(loader = { _ -> FakeModel().also(models::add) })
        session.start()
        session.choose(library.single().id)
        assertEquals(listOf(true, false), models.map { it.closed })
    }

    @Test
    fun theSelfTestCanBeRunAgain() {
        var drift = 0f
        val session = session(loader = { _ -> FakeModel { prediction(it.last() + drift, 0f) } })
        session.start()
        assertTrue(seen.last() is UiState.Ready)
        drift = .5f
        session.test()
        assertTrue((seen.last() as UiState.Failed).problem is Problem.SelfTestFailed)
    }

    @Test
    fun whatNobodyForesawHasAMessageToo() {
        session(loader = { throw IllegalStateException("surprise") }).start()
        assertEquals(Problem.Unexpected("IllegalStateException: surprise"), (seen.last() as UiState.Failed).problem)
    }

    @Test
    fun whoeverNoLongerObservesIsNotShownAnything() {
        val session = session()
        val shown = mutableListOf<UiState>()
        val observer = Observer { state, _ -> shown += state }
        session.observe(observer)
        session.forget(observer)
        session.start()
        assertEquals(1, shown.size)
        assertFalse(seen.size == 1)
    }
}
