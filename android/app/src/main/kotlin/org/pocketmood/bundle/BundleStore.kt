package org.pocketmood.bundle

import java.io.File
import org.pocketmood.PocketmoodException
import org.pocketmood.Problem
import org.pocketmood.model.SelfTestResult

/** A program that can be chosen. [id] is stable across restarts. */
data class ModelEntry(val bundle: Bundle, val program: Program) {
    val id: String get() = "${bundle.id}/${program.file}"

    /** "int8" or "fp32", from `model.<precision>.pte`. */
    val precision: String get() = program.file.removeSuffix(Bundle.PROGRAM_SUFFIX).substringAfterLast('.')
}

/** Repository of bundles: those on this device, the chosen program, and results of self-tests. Plain files below [home]. */
class BundleStore(private val home: File) {
    private val choice = File(home, "chosen")

    /** All programs that can be chosen, bundle by bundle, oldest first. */
    fun entries(): List<ModelEntry> = bundles().flatMap { bundle -> bundle.programs.map { ModelEntry(bundle, it) } }

    /** The chosen program, or the first where none was chosen; null where there is none. Raises what is wrong with it. */
    fun chosen(): ModelEntry? {
        val id = if (choice.isFile) choice.readText() else ""
        val folder = File(home, id.substringBefore('/'))
        // The chosen one may have been removed.
        if (id.isEmpty() || !folder.isDirectory) return entries().firstOrNull()
        val bundle = Bundle.open(folder)
        val file = id.substringAfter('/')
        val program = bundle.programs.firstOrNull { it.file == file } ?: throw PocketmoodException(Problem.FileMissing(file))
        return ModelEntry(bundle, program)
    }

    fun has(bundleId: String) = File(home, bundleId).isDirectory

    fun choose(id: String) {
        home.mkdirs()
        choice.writeText(id)
    }

    fun remove(entry: ModelEntry) {
        entry.bundle.folder.deleteRecursively()
    }

    /** The result of the last self-test of a program on this device. */
    fun selfTest(entry: ModelEntry): SelfTestResult? = record(entry).takeIf(File::isFile)?.let { SelfTestResult.parse(it.readText()) }

    /** Keeps what passed; what failed is tested again at the next start. */
    fun keep(entry: ModelEntry, result: SelfTestResult) {
        if (result.passed) record(entry).writeText(result.format()) else record(entry).delete()
    }

    private fun record(entry: ModelEntry) = File(entry.bundle.folder, "${entry.program.file}.selftest")

    private fun bundles(): List<Bundle> {
        // A name with a dot is an import that has not finished.
        val folders = home.listFiles { file -> File(file, Bundle.ABOUT).isFile && !file.name.startsWith(".") }
        return folders.orEmpty().sortedBy { it.lastModified() }.mapNotNull { folder ->
            try {
                Bundle.open(folder)
            } catch (_: PocketmoodException) { // one that broke must not hide the others; `chosen` names what is wrong
                null
            }
        }
    }
}
