package org.pocketmood.ui

import org.pocketmood.Problem
import org.pocketmood.R
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.model.SelfTestResult
import org.pocketmood.session.OpenModel
import org.pocketmood.session.Step
import org.pocketmood.session.UiState
import org.pocketmood.session.model
import org.pocketmood.session.run

/** Self-test, speed, and what the model is. */
class DetailsActivity : PageActivity(R.string.details_title) {
    override fun show(state: UiState, library: List<ModelEntry>) {
        page.clear()
        // Without a model there is nothing to test: then opening one is what is tried again.
        val again = if (state.model == null) session::restart else session::test
        page.button(Choice(R.string.run_again, enabled = state !is UiState.Preparing, action = again))
        val problem = (state as? UiState.Failed)?.problem
        // A self-test that failed has its own card below.
        if (problem != null && problem !is Problem.SelfTestFailed) {
            val message = problem.message(resources)
            page.card(message.title, message.text, color = R.color.angry_tense)
        }
        selfTest(state, problem as? Problem.SelfTestFailed)
        val model = state.model ?: return
        page.card(getString(R.string.interval), getString(R.string.interval_text))
        speed(model, state.run?.latencyMs ?: 0f)
        model(model)
    }

    private fun selfTest(state: UiState, failed: Problem.SelfTestFailed?) {
        val result = state.model?.selfTest
        val (verdict, color) =
            when {
                failed != null -> R.string.self_test_failed to R.color.angry_tense
                state is UiState.Preparing && state.step == Step.TESTING -> R.string.self_test_running to R.color.text
                result == null -> R.string.self_test_none to R.color.text
                else -> R.string.self_test_passed to R.color.content_relaxed
            }
        val outcome = failed?.message(resources)?.text ?: result?.let(::difference)
        val text = listOfNotNull(outcome, getString(R.string.self_test_text)).joinToString("\n\n")
        page.card("${getString(R.string.self_test)}: ${getString(verdict)}", text, color = color)
    }

    private fun difference(result: SelfTestResult) =
        getString(R.string.self_test_difference, result.difference, result.pairs, result.tolerance).replaceFirstChar(Char::uppercase) + "."

    private fun speed(model: OpenModel, runMs: Float) {
        fun ms(value: Float) = if (value > 0) getString(R.string.milliseconds, value) else getString(R.string.not_measured)
        page.card(
            getString(R.string.speed),
            rows = listOf(R.string.latency_test to ms(model.selfTest.latencyMs), R.string.latency_run to ms(runMs)),
        )
    }

    private fun model(model: OpenModel) {
        val (bundle, program) = model.entry
        val contract = model.contract
        page.card(
            getString(R.string.model),
            rows =
                listOf(
                    R.string.row_name to bundle.name,
                    R.string.row_precision to model.entry.precision,
                    R.string.row_size to getString(R.string.megabytes, program.sizeBytes / 1e6f),
                    R.string.row_parameters to getString(R.string.millions, bundle.parameters / 1e6f),
                    R.string.row_backend to model.backends.joinToString(),
                    R.string.row_input to getString(R.string.input_value, contract.seconds, contract.sampleRate),
                    R.string.row_labels to contract.labels,
                    R.string.row_exporter to contract.exporter,
                    R.string.row_mel to contract.melHash,
                    R.string.row_bundle to bundle.id,
                ),
        )
    }
}
