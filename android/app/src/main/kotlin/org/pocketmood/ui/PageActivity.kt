package org.pocketmood.ui

import android.app.Activity
import android.os.Bundle
import org.pocketmood.App
import org.pocketmood.bundle.ModelEntry
import org.pocketmood.session.Observer
import org.pocketmood.session.UiState

/** A second screen, which draws the session's state on a [Page] for as long as it is seen. */
abstract class PageActivity(private val heading: Int) : Activity() {
    protected val app get() = application as App
    protected val session get() = app.session
    protected lateinit var page: Page
        private set
    private val observer = Observer(::show)

    /** Draws the page anew. */
    protected abstract fun show(state: UiState, library: List<ModelEntry>)

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        page = Page(this, heading)
        // The system may restore this screen first, in a new process.
        session.start()
    }

    override fun onStart() {
        super.onStart()
        session.observe(observer)
    }

    override fun onStop() {
        session.forget(observer)
        super.onStop()
    }
}
