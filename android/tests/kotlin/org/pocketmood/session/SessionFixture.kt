package org.pocketmood.session

import java.io.File
import java.util.concurrent.Executor
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import org.pocketmood.FakeModel
import org.pocketmood.Later
import org.pocketmood.ShippedFolder
import org.pocketmood.TinyBundle
import org.pocketmood.bundle.BundleImporter
import org.pocketmood.bundle.BundleStore
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.loaderOf
import org.pocketmood.model.ModelLoader

/** Sessions over bundles on disk and fake models; what they show is kept in [seen] and [library]. */
abstract class SessionFixture {
    @get:Rule val temporary = TemporaryFolder()
    protected val made by lazy { TinyBundle().write(temporary.newFolder("made")) }
    protected val home get() = File(temporary.root, "home")
    protected val seen = mutableListOf<UiState>()
    protected var library = emptyList<ModelEntry>()

    protected fun session(
        shipped: File? = made,
        loader: ModelLoader = loaderOf(FakeModel()),
        background: Executor = Executor(Runnable::run),
        main: Executor = Executor(Runnable::run),
    ): Session {
        val models = ModelManager(BundleStore(home), BundleImporter(home), loader, ShippedFolder(shipped), { 0 })
        return Session(models, background, main) { 0 }.also {
            it.observe { state, entries ->
                seen += state
                library = entries
            }
        }
    }

    /** A session with its model in service; from then on [background] waits for its runAll. */
    protected fun ready(background: Later, loader: ModelLoader = loaderOf(FakeModel())): Session {
        val session = session(loader = loader, background = background)
        session.start()
        background.runAll()
        assertTrue("${seen.last()}", seen.last() is UiState.Ready)
        return session
    }
}
