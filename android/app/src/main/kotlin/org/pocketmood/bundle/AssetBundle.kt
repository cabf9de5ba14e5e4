package org.pocketmood.bundle

import android.content.res.AssetManager
import java.io.IOException
import java.io.InputStream

/** What `make android` copied into the app's assets; [open] gives null for what is not there. */
class AssetBundle(private val assets: AssetManager) : ShippedBundle {
    override fun id(): String? = open(Bundle.ABOUT)?.use(Bundle::idOf)

    override fun names(): List<String> {
        val programs = assets.list(FOLDER).orEmpty().filter { it.endsWith(Bundle.PROGRAM_SUFFIX) }
        return programs + Bundle.GOLDEN + Bundle.PARITY + Bundle.ABOUT
    }

    override fun open(name: String): InputStream? =
        try {
            assets.open("$FOLDER/$name")
        } catch (_: IOException) {
            null
        }

    private companion object {
        const val FOLDER = "bundle"
    }
}
