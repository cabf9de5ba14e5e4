package org.pocketmood

/**
 * Known errors, one type each. Every one has a message on the screen with what to do (`ui/ErrorMessages.kt`); nothing
 * here knows about Android, so that every layer may raise one.
 */
sealed interface Problem {
    data object MicrophoneNotAllowed : Problem

    data object MicrophoneRevoked : Problem

    data object MicrophoneBusy : Problem

    data object MicrophoneLost : Problem

    /** [file] is no sound that this device can decode. */
    data class NotMusic(val file: String) : Problem

    data class SoundTooLong(val file: String, val hours: Double) : Problem

    data class SoundTooShort(val file: String) : Problem

    /** Decoding [file] stopped before its end. */
    data class SoundDamaged(val file: String) : Problem

    /** The app was built without a bundle and none was imported. */
    data object NoModel : Problem

    /** The file picked is no zip, or holds no bundle.json that can be read. */
    data object NotABundle : Problem

    /** Bundle or program was exported before the schema that this app reads. */
    data class OlderSchema(val found: Long, val known: Int) : Problem

    /** Bundle or program is of a schema that this app does not know: a newer one, or none. */
    data class OtherSchema(val found: Long, val known: Int) : Problem

    /** The bundle names [file] and does not hold it. */
    data class FileMissing(val file: String) : Problem

    /** The bytes of [file] are not those that were exported, or the runtime cannot load it. */
    data class FileDamaged(val file: String) : Problem

    /** A constant that the program carries differs from what bundle.json says. */
    data class ContractBroken(val constant: String, val program: String, val bundle: String) : Problem

    /** The export's own gate did not pass [program], or no record of it is there. */
    data class NotProven(val program: String) : Problem

    /** A zip entry wants to be written outside of its folder. */
    data class UnsafePath(val path: String) : Problem

    data class TooLarge(val limitMegabytes: Long) : Problem

    data object NoSpace : Problem

    /** The golden pairs came out further apart on this device than the bundle's tolerance. */
    data class SelfTestFailed(val difference: Float, val tolerance: Float) : Problem

    /** This device's processor has no ExecuTorch library in the app. */
    data object NoRuntime : Problem

    /** A fault of ours; [what] is what a bug report needs. */
    data class Unexpected(val what: String) : Problem
}

/** Carries a [Problem] to whoever draws the screen. */
class PocketmoodException(val problem: Problem, cause: Throwable? = null) : Exception(problem.toString(), cause)

/** Returns the problem behind any error: ours as it is, everything else as [Problem.Unexpected]. */
fun problemOf(error: Throwable): Problem =
    (error as? PocketmoodException)?.problem
        ?: Problem.Unexpected("${error.javaClass.simpleName}: ${error.message?.trimEnd('.') ?: "no message"}")

/** Runs [work] and returns what it failed with; null where it did not. */
inline fun problemIn(work: () -> Unit): Problem? =
    try {
        work()
        null
    } catch (error: Exception) {
        problemOf(error)
    }
