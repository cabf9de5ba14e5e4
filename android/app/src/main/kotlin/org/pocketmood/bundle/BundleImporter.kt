package org.pocketmood.bundle

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.util.zip.ZipException
import java.util.zip.ZipInputStream
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem

/** How much a bundle may bring along. A real one holds about 40 MB in 15 files. */
data class ImportLimits(val bytes: Long = 256L shl 20, val entries: Int = 1000)

/** Brings bundles from zips into [home], checked; what fails leaves nothing behind. */
class BundleImporter(private val home: File, private val limits: ImportLimits = ImportLimits()) {
    /** Unpacks a zip with a bundle in it, at any depth, and returns the bundle; an older copy of the same is replaced. */
    fun import(zip: InputStream): Bundle = staged { folder -> unpack(zip, folder) }

    /** Installs the bundle whose files [open] gives by name, or null for what is not there. */
    fun install(names: List<String>, open: (String) -> InputStream?): Bundle = staged { folder ->
        var left = limits.bytes
        for (name in names) {
            val stream = open(name) ?: continue
            stream.use { left -= write(it, File(folder, name), left) }
        }
    }

    private fun staged(fill: (File) -> Unit): Bundle {
        // What a killed process left behind would be taken for this bundle.
        val staging = File(home, STAGING)
        staging.deleteRecursively()
        if (!staging.mkdirs()) throw PocketmoodException(Problem.NoSpace)

        try {
            fill(staging)
            val abouts = staging.walk().filter { it.name == Bundle.ABOUT }
            // People zip a folder around the bundle, or several: the outermost is meant.
            val about = abouts.minByOrNull { it.toPath().nameCount } ?: throw PocketmoodException(Problem.NotABundle)
            return settle(Bundle.open(checkNotNull(about.parentFile)))
        } catch (error: ZipException) {
            throw PocketmoodException(Problem.NotABundle, error)
        } catch (error: IOException) {
            // An input that breaks off looks the same; in both cases another try is what helps.
            throw PocketmoodException(if (home.usableSpace < ROOM_BYTES) Problem.NoSpace else Problem.NotABundle, error)
        } finally {
            staging.deleteRecursively()
        }
    }

    /** Checks every file that the app will use and moves those, and no others, to their place. */
    private fun settle(bundle: Bundle): Bundle {
        if (bundle.programs.isEmpty()) throw PocketmoodException(Problem.FileMissing("*${Bundle.PROGRAM_SUFFIX}"))
        val kept = Bundle.GOLDEN + Bundle.PARITY + bundle.programs.map { it.file }

        val target = File(home, bundle.id)
        // Gathered beside its place and moved there in one step: a folder of that name is always whole.
        val fresh = File(home, "$STAGING.${bundle.id}")
        fresh.deleteRecursively()
        for (file in kept.map(bundle::checked) + File(bundle.folder, Bundle.ABOUT)) {
            move(file, File(fresh, file.relativeTo(bundle.folder).path))
        }
        target.deleteRecursively()
        move(fresh, target)

        // Its files have moved since they were read.
        return Bundle.open(target)
    }

    private fun move(from: File, to: File) {
        to.parentFile?.mkdirs()
        if (!from.renameTo(to)) throw IOException("cannot move $from to $to")
    }

    private fun unpack(zip: InputStream, folder: File) {
        var left = limits.bytes
        var entries = 0
        ZipInputStream(zip.buffered()).use { stream ->
            while (true) {
                val entry = stream.nextEntry ?: break
                // Empty files cost no bytes, but time and inodes.
                if (++entries > limits.entries) throw tooLarge()
                val target = inside(folder, entry.name)
                // Declared sizes may lie: the bytes that come out are counted.
                if (!entry.isDirectory) left -= write(stream, target, left)
            }
        }
        if (entries == 0) throw PocketmoodException(Problem.NotABundle)
    }

    /** Refuses names that lead out of [folder]: absolute ones, and ones with enough `..`. */
    private fun inside(folder: File, name: String): File {
        val target = File(folder, name).canonicalFile
        if (name.startsWith("/") || !target.startsWith(folder.canonicalFile)) throw PocketmoodException(Problem.UnsafePath(name))
        return target
    }

    /** Copies at most [left] bytes; returns how many there were. */
    private fun write(from: InputStream, to: File, left: Long): Long {
        to.parentFile?.mkdirs()
        return to.outputStream().use { copy(from, it, left) }
    }

    private fun copy(from: InputStream, to: OutputStream, left: Long): Long {
        val block = ByteArray(1 shl 16)
        var copied = 0L
        while (true) {
            val count = from.read(block)
            if (count < 0) return copied
            copied += count
            if (copied > left) throw tooLarge()
            to.write(block, 0, count)
        }
    }

    private fun tooLarge() = PocketmoodException(Problem.TooLarge(limits.bytes shr 20))

    private companion object {
        const val STAGING = ".staging"
        const val ROOM_BYTES = 1L shl 20
    }
}
