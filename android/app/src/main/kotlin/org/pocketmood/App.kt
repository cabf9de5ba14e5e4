package org.pocketmood

import android.app.Application
import android.net.Uri
import android.os.Handler
import android.os.Looper
import android.provider.OpenableColumns
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import org.pocketmood.audio.AudioSource
import org.pocketmood.audio.Microphone
import org.pocketmood.audio.MusicFile
import org.pocketmood.bundle.AssetBundle
import org.pocketmood.bundle.BundleImporter
import org.pocketmood.bundle.BundleStore
import org.pocketmood.bundle.ShippedBundle
import org.pocketmood.model.ExecuTorchModel
import org.pocketmood.model.ModelLoader
import org.pocketmood.session.ModelManager
import org.pocketmood.session.Session
import org.pocketmood.session.Source

/** Composition root: builds every part and hands each what it needs. Tests replace the open ones. */
open class App : Application() {
    /** Up to two tasks at a time: a source that delivers sound, and a prediction for it; or a change of the model. */
    protected open val background: Executor = Executors.newCachedThreadPool { Thread(it, "pocketmood").apply { isDaemon = true } }
    protected open val loader: ModelLoader = ExecuTorchModel
    // Read when asked: an Application has no assets yet while it is constructed.
    protected open val shipped: ShippedBundle get() = AssetBundle(assets)

    private val handler = Handler(Looper.getMainLooper())

    /** Runs at once what the main thread itself hands in, and posts the rest. */
    private val main = Executor { task -> if (handler.looper.isCurrentThread) task.run() else handler.post(task) }

    // Lazy for the same reason: there is no filesDir yet.
    val session: Session by lazy {
        val home = File(filesDir, "models")
        val models = ModelManager(BundleStore(home), BundleImporter(home), loader, shipped, System::nanoTime)
        Session(models, background, main, System::nanoTime)
    }

    open fun microphone(): AudioSource = Microphone(this)

    open fun musicFile(uri: Uri, name: String): AudioSource = MusicFile(this, uri, name)

    fun listenToMicrophone() = session.listen(Source.Microphone, microphone())

    /** Asks for the file's name first, which another app gives in its own time. */
    fun listenTo(uri: Uri) =
        background.execute {
            val name = nameOf(uri)
            main.execute { session.listen(Source.File(name), musicFile(uri, name)) }
        }

    fun importFrom(uri: Uri) = session.import { openZip(uri) }

    private fun openZip(uri: Uri): InputStream =
        try {
            contentResolver.openInputStream(uri)
        } catch (error: IOException) {
            throw PocketmoodException(Problem.NotABundle, error)
        } catch (error: SecurityException) { // the permission that came with the picked file has ended
            throw PocketmoodException(Problem.NotABundle, error)
        } ?: throw PocketmoodException(Problem.NotABundle)

    private fun nameOf(uri: Uri): String {
        val name =
            try {
                contentResolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use { rows ->
                    if (rows.moveToFirst()) rows.getString(0) else null
                }
            } catch (_: RuntimeException) { // whatever another app's provider throws
                null
            }

        // Only for the screen: any name is better than no music.
        return name ?: uri.lastPathSegment ?: "$uri"
    }
}
