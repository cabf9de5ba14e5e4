package org.pocketmood.ui

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.provider.Settings
import android.view.View
import org.pocketmood.App
import org.pocketmood.Problem
import org.pocketmood.R
import org.pocketmood.session.Observer
import org.pocketmood.session.Source
import org.pocketmood.session.UiState
import org.pocketmood.session.run

/** The listening screen: turns touches into events, and lets [ListenScreen] draw the state. */
class ListenActivity : Activity() {
    private val app get() = application as App
    private val session get() = app.session
    private lateinit var observer: Observer

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_listen)
        val screen = ListenScreen(this)
        observer = Observer { state, _ -> screen.show(state) }
        onTouch(R.id.listen) { if (session.state is UiState.Listening) session.stop() else listen() }
        onTouch(R.id.open_file, ::pickMusic)
        onTouch(R.id.remedy, ::help)
        onTouch(R.id.open_details) { startActivity(Intent(this, DetailsActivity::class.java)) }
        onTouch(R.id.open_models) { startActivity(Intent(this, ModelsActivity::class.java)) }
        session.start()
        // After a rotation the intent is an old one.
        if (savedInstanceState == null) sharedMusic(intent)?.let(app::listenTo)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        sharedMusic(intent)?.let(app::listenTo)
    }

    override fun onStart() {
        super.onStart()
        session.observe(observer)
    }

    override fun onStop() {
        session.forget(observer)
        // Nobody is listened to in secret; a file goes on, and so does a rotation.
        if (!isChangingConfigurations && session.state.run?.source == Source.Microphone) session.stop()
        super.onStop()
    }

    override fun onRequestPermissionsResult(code: Int, permissions: Array<out String>, results: IntArray) {
        // Results are empty where the dialog was interrupted: that is no refusal.
        if (code != ASK_MICROPHONE || results.isEmpty()) return
        if (results[0] == PackageManager.PERMISSION_GRANTED) app.listenToMicrophone() else session.fail(Problem.MicrophoneNotAllowed)
    }

    override fun onActivityResult(code: Int, result: Int, data: Intent?) {
        val uri = data?.data ?: return
        if (code == PICK_MUSIC && result == RESULT_OK) app.listenTo(uri)
    }

    private fun listen() {
        val allowed = checkSelfPermission(Manifest.permission.RECORD_AUDIO) == PackageManager.PERMISSION_GRANTED
        if (allowed) app.listenToMicrophone() else requestPermissions(arrayOf(Manifest.permission.RECORD_AUDIO), ASK_MICROPHONE)
    }

    private fun pickMusic() {
        val open = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("audio/*")
        startActivityForResult(open, PICK_MUSIC)
    }

    /** Does what the button below a problem offers. */
    private fun help() {
        val failed = session.state as? UiState.Failed ?: return
        when (failed.problem.message(resources).remedy) {
            Remedy.ALLOW -> allow()
            // Without a model it was the opening that failed.
            Remedy.TRY_AGAIN -> if (failed.model == null) session.restart() else listen()
            Remedy.CHOOSE_MODEL -> startActivity(Intent(this, ModelsActivity::class.java))
            Remedy.OTHER_FILE -> pickMusic()
        }
    }

    /** After two refusals the system asks no more: then only its settings can allow. */
    private fun allow() {
        if (shouldShowRequestPermissionRationale(Manifest.permission.RECORD_AUDIO)) return listen()
        startActivity(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))
        session.dismiss()
    }

    @Suppress("DEPRECATION") // the successor of getParcelableExtra needs API 33
    private fun sharedMusic(intent: Intent): Uri? =
        when (intent.action) {
            Intent.ACTION_VIEW -> intent.data
            Intent.ACTION_SEND -> intent.getParcelableExtra(Intent.EXTRA_STREAM)
            else -> null
        }

    private fun onTouch(id: Int, action: () -> Unit) = findViewById<View>(id).setOnClickListener { action() }

    private companion object {
        const val ASK_MICROPHONE = 1
        const val PICK_MUSIC = 2
    }
}
