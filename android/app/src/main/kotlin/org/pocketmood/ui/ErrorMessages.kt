package org.pocketmood.ui

import android.content.res.Resources
import org.pocketmood.Problem
import org.pocketmood.R

/** What a button below a problem offers. */
enum class Remedy(val label: Int) {
    ALLOW(R.string.allow),
    TRY_AGAIN(R.string.try_again),
    CHOOSE_MODEL(R.string.choose_model),
    OTHER_FILE(R.string.other_file),
}

/** A problem for the screen: a title, a text that says what to do, and the button that does it. */
data class ErrorMessage(val title: String, val text: String, val remedy: Remedy)

/** The message of every problem; a new one that has none does not compile. */
fun Problem.message(resources: Resources): ErrorMessage {
    fun say(title: Int, text: Int, remedy: Remedy, vararg values: Any) =
        ErrorMessage(resources.getString(title), resources.getString(text, *values), remedy)
    return when (this) {
        Problem.MicrophoneNotAllowed -> say(R.string.microphone_not_allowed_title, R.string.microphone_not_allowed, Remedy.ALLOW)
        Problem.MicrophoneRevoked -> say(R.string.microphone_revoked_title, R.string.microphone_revoked, Remedy.ALLOW)
        Problem.MicrophoneBusy -> say(R.string.microphone_busy_title, R.string.microphone_busy, Remedy.TRY_AGAIN)
        Problem.MicrophoneLost -> say(R.string.microphone_lost_title, R.string.microphone_lost, Remedy.TRY_AGAIN)
        is Problem.NotMusic -> say(R.string.not_music_title, R.string.not_music, Remedy.OTHER_FILE, file)
        is Problem.SoundTooLong -> say(R.string.too_long_title, R.string.too_long, Remedy.OTHER_FILE, file, hours)
        is Problem.SoundTooShort -> say(R.string.too_short_title, R.string.too_short, Remedy.OTHER_FILE, file)
        is Problem.SoundDamaged -> say(R.string.sound_damaged_title, R.string.sound_damaged, Remedy.OTHER_FILE, file)
        Problem.NoModel -> say(R.string.no_model_title, R.string.no_model, Remedy.CHOOSE_MODEL)
        Problem.NotABundle -> say(R.string.not_a_bundle_title, R.string.not_a_bundle, Remedy.CHOOSE_MODEL)
        is Problem.OlderSchema -> say(R.string.older_schema_title, R.string.older_schema, Remedy.CHOOSE_MODEL, found, known)
        is Problem.OtherSchema -> say(R.string.other_schema_title, R.string.other_schema, Remedy.CHOOSE_MODEL, found, known)
        is Problem.FileMissing -> say(R.string.file_missing_title, R.string.file_missing, Remedy.CHOOSE_MODEL, file)
        is Problem.FileDamaged -> say(R.string.file_damaged_title, R.string.file_damaged, Remedy.CHOOSE_MODEL, file)
        is Problem.ContractBroken ->
            say(R.string.contract_broken_title, R.string.contract_broken, Remedy.CHOOSE_MODEL, constant, program, bundle)
        is Problem.NotProven -> say(R.string.not_proven_title, R.string.not_proven, Remedy.CHOOSE_MODEL, program)
        is Problem.UnsafePath -> say(R.string.unsafe_path_title, R.string.unsafe_path, Remedy.CHOOSE_MODEL, path)
        is Problem.TooLarge -> say(R.string.too_large_title, R.string.too_large, Remedy.CHOOSE_MODEL, limitMegabytes)
        Problem.NoSpace -> say(R.string.no_space_title, R.string.no_space, Remedy.CHOOSE_MODEL)
        is Problem.SelfTestFailed ->
            say(R.string.self_test_failed_title, R.string.self_test_failed_text, Remedy.CHOOSE_MODEL, difference, tolerance)
        Problem.NoRuntime -> say(R.string.no_runtime_title, R.string.no_runtime, Remedy.CHOOSE_MODEL)
        is Problem.Unexpected -> say(R.string.unexpected_title, R.string.unexpected, Remedy.TRY_AGAIN, what)
    }
}
