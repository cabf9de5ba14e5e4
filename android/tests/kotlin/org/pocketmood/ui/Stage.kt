package org.pocketmood.ui

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import java.io.File
import java.util.concurrent.Executor
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.pocketmood.App
import org.pocketmood.FakeModel
import org.pocketmood.ShippedFolder
import org.pocketmood.TinyBundle
import org.pocketmood.audio.AudioSource
import org.pocketmood.bundle.ShippedBundle
import org.pocketmood.loaderOf
import org.pocketmood.model.ModelLoader
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config

/** The app with a fake model, and with sound from [source] where one is given. */
class TestApp : App() {
    override val background: Executor get() = Stage.background
    override val loader = ModelLoader { Stage.loader.load(it) }
    override val shipped: ShippedBundle get() = Stage.shipped

    override fun microphone(): AudioSource = Stage.source ?: super.microphone()

    override fun musicFile(uri: Uri, name: String): AudioSource = Stage.source ?: super.musicFile(uri, name)
}

/** What a test puts on: set before the first activity is made. */
object Stage {
    lateinit var background: Executor
    lateinit var loader: ModelLoader
    lateinit var shipped: ShippedBundle
    var source: AudioSource? = null
}

/** Real activities, drawn by Android's own code, on a JVM. */
@RunWith(RobolectricTestRunner::class)
@Config(application = TestApp::class)
abstract class ScreenTest {
    @get:Rule val temporary = TemporaryFolder()
    protected val app get() = RuntimeEnvironment.getApplication() as TestApp

    @Before
    fun dress() {
        // At once and on the test's thread, which is Robolectric's main one: nothing to wait for.
        Stage.background = Executor(Runnable::run)
        Stage.loader = loaderOf(FakeModel())
        Stage.shipped = ShippedFolder(TinyBundle().write(temporary.newFolder("shipped")))
        Stage.source = null
    }

    inline fun <reified A : Activity> open(work: (ActivityController<A>) -> Unit) =
        Robolectric.buildActivity(A::class.java).use { controller ->
            controller.setup()
            settle()
            work(controller)
        }

    /** Runs what waits for the main thread: states on their way to the screen, and layout. */
    fun settle() = shadowOf(Looper.getMainLooper()).idle()

    protected fun Activity.text(id: Int): String = findViewById<TextView>(id).text.toString()

    protected fun Activity.touch(id: Int) {
        // performClick ignores whether a finger could.
        assertTrue("disabled", findViewById<View>(id).isEnabled)
        findViewById<View>(id).performClick()
        settle()
    }

    /** All that can be read on the screen. */
    protected fun Activity.words(): String = words(window.decorView)

    private fun words(view: View): String =
        when {
            view.visibility != View.VISIBLE -> ""
            view is TextView -> view.text.toString()
            view is ViewGroup -> (0 until view.childCount).map { words(view.getChildAt(it)) }.filter(String::isNotEmpty).joinToString("\n")
            else -> ""
        }

    /** Draws the screen as a picture, and keeps it as [name].png where a folder for that is given. */
    protected fun shot(activity: Activity, name: String): Bitmap {
        settle()
        val view = activity.window.decorView
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val file = File(checkNotNull(System.getProperty("pocketmood.shots")), "$name.png")
        file.parentFile!!.mkdirs()
        file.outputStream().use { assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, it)) }
        return bitmap
    }
}
