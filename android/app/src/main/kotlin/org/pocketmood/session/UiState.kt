package org.pocketmood.session

import org.pocketmood.Problem
import org.pocketmood.audio.Level
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.model.Contract
import org.pocketmood.model.Prediction
import org.pocketmood.model.SelfTestResult

/** State of the screens: all that they draw. Immutable: a new one is published for every change. */
sealed interface UiState {
    /** A model is being brought into service. */
    data class Preparing(val step: Step) : UiState

    /** A model is there, nothing was heard yet. */
    data class Ready(val model: OpenModel) : UiState

    data class Listening(val model: OpenModel, val run: Run) : UiState

    /** The picture stays after the end of a file, or after the user's stop. */
    data class Stopped(val model: OpenModel, val run: Run) : UiState

    /** [model] is the one in service all the same, where there is one. */
    data class Failed(val problem: Problem, val model: OpenModel?) : UiState
}

/** Step of bringing a model into service, for the screen. */
enum class Step { UNPACKING, IMPORTING, LOADING, TESTING }

/** A loaded program that passed its self-test. */
data class OpenModel(val entry: ModelEntry, val contract: Contract, val backends: List<String>, val selfTest: SelfTestResult)

/** Where the sound of a run comes from. */
sealed interface Source {
    data object Microphone : Source

    data class File(val name: String) : Source
}

/** One listening session, from start to stop. Times are seconds of sound. */
data class Run(
    val source: Source,
    /** Length of what is heard; null where it ends only when told to. */
    val lengthS: Float? = null,
    val heardS: Float = 0f,
    val level: Level = Level.NONE,
    val impression: Impression = Impression.Gathering(FIRST_PREDICTION_S),
    val moments: List<Moment> = emptyList(),
    /** Median time of a prediction so far; 0 before the first. */
    val latencyMs: Float = 0f,
)

/** Result for the newest sound. */
sealed interface Impression {
    /** Too little was heard for a prediction. */
    data class Gathering(val secondsLeft: Float) : Impression

    /** Nothing to score. */
    data object Silence : Impression

    data class Felt(val prediction: Prediction) : Impression
}

/** A prediction and the second of sound at which it was made. */
data class Moment(val atS: Float, val prediction: Prediction)

/** Sound that must be heard before the first prediction. */
const val FIRST_PREDICTION_S = 5f

/** The state of [state]'s run, where one is or was. */
val UiState.run: Run?
    get() =
        when (this) {
            is UiState.Listening -> run
            is UiState.Stopped -> run
            else -> null
        }

val UiState.model: OpenModel?
    get() =
        when (this) {
            is UiState.Preparing -> null
            is UiState.Ready -> model
            is UiState.Listening -> model
            is UiState.Stopped -> model
            is UiState.Failed -> model
        }
