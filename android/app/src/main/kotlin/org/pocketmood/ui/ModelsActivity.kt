package org.pocketmood.ui

import android.content.Intent
import org.pocketmood.R
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.session.UiState
import org.pocketmood.session.model

/** The models on this device: import, choose, remove. */
class ModelsActivity : PageActivity(R.string.models_title) {
    override fun onActivityResult(code: Int, result: Int, data: Intent?) {
        val uri = data?.data ?: return
        if (code == PICK_BUNDLE && result == RESULT_OK) app.importFrom(uri)
    }

    override fun show(state: UiState, library: List<ModelEntry>) {
        val idle = state !is UiState.Preparing
        page.clear()
        page.button(Choice(R.string.import_bundle, idle, ::pickBundle))
        if (state is UiState.Preparing) page.card(getString(state.step.label), getString(R.string.preparing_text))
        if (state is UiState.Failed) {
            val message = state.problem.message(resources)
            page.card(message.title, message.text, color = R.color.angry_tense)
        }
        // While a model is prepared the buttons rest: a second change would only wait for the first.
        for (entry in library) card(entry, entry.id == state.model?.entry?.id, idle)
        if (library.isEmpty() && idle) page.card(getString(R.string.models_title), getString(R.string.models_empty))
    }

    private fun card(entry: ModelEntry, used: Boolean, idle: Boolean) {
        val text = getString(R.string.model_row, entry.precision, entry.program.sizeBytes / 1e6f, entry.bundle.id)
        val use = Choice(R.string.use_model, idle && !used) { session.choose(entry.id) }
        val remove = Choice(R.string.remove_model, idle) { session.remove(entry) }
        val title = if (used) "${entry.bundle.name} · ${getString(R.string.model_in_use)}" else entry.bundle.name
        page.card(title, text, choices = listOf(use, remove), color = if (used) R.color.content_relaxed else R.color.text)
    }

    private fun pickBundle() {
        // Some file managers call a zip an octet stream.
        val open = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        startActivityForResult(open, PICK_BUNDLE)
    }

    private companion object {
        const val PICK_BUNDLE = 3
    }
}
