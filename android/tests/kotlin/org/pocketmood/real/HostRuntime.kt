package org.pocketmood.real

import com.facebook.soloader.nativeloader.NativeLoader
import com.facebook.soloader.nativeloader.NativeLoaderDelegate
import java.io.File
import org.junit.Assume.assumeTrue
import org.pocketmood.bundle.Bundle

/** Points the Android library's classes at our JNI library over the executorch wheel. */
object HostRuntime : NativeLoaderDelegate {
    private var loaded = false

    fun install() {
        assumeTrue("skipped: no executorch wheel to run programs with (tools/android.sh test builds it)", library.isFile)
        if (!NativeLoader.isInitialized()) NativeLoader.init(this)
    }

    private val library get() = File(System.getProperty("pocketmood.native").orEmpty())

    // A JVM binds a library file to one class loader, and Robolectric brings loaders of its own: each gets a copy.
    private val copy: File by lazy {
        File.createTempFile("etjni", ".so").also {
            it.deleteOnExit()
            library.copyTo(it, overwrite = true)
        }
    }

    @Synchronized
    override fun loadLibrary(shortName: String, flags: Int): Boolean {
        if (loaded) return false
        System.load(copy.path)
        loaded = true
        return true
    }

    override fun getLibraryPath(libName: String): String = copy.path

    override fun getSoSourcesVersion() = 0
}

/** The bundle under test; without one the test is skipped, and says so. */
fun bundleFolder(): File {
    val folder = File(System.getProperty("pocketmood.bundle").orEmpty())
    assumeTrue("skipped: no bundle (make smoke makes one, or pass -Dbundle=FOLDER)", File(folder, Bundle.ABOUT).isFile)
    return folder
}

/** What Python predicted for the same sound: `tools/android_reference.py` writes it. */
fun reference(name: String): FloatArray {
    val file = File(System.getProperty("pocketmood.reference").orEmpty(), name)
    assumeTrue("skipped: no $name from Python (tools/android.sh test makes it)", file.isFile)
    return Bundle.floats(file.readBytes())
}
