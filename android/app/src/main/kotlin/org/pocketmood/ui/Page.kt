package org.pocketmood.ui

import android.app.Activity
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import org.pocketmood.R

/** A button's words and what it does. */
class Choice(val label: Int, val enabled: Boolean = true, val action: () -> Unit)

/** A second screen: a title with a way back, cards, and one button at the bottom. */
class Page(private val activity: Activity, title: Int) {
    private val cards: ViewGroup

    init {
        activity.setContentView(R.layout.page)
        activity.findViewById<TextView>(R.id.page_title).setText(title)
        activity.findViewById<View>(R.id.back).setOnClickListener { activity.finish() }
        cards = activity.findViewById(R.id.cards)
    }

    fun button(choice: Choice) = set(activity.findViewById(R.id.page_button), choice)

    fun clear() = cards.removeAllViews()

    /** Adds a card; empty parts take no room. [color] is the title's. */
    fun card(
        title: String,
        text: String = "",
        rows: List<Pair<Int, String>> = emptyList(),
        choices: List<Choice> = emptyList(),
        color: Int = R.color.text,
    ) {
        val card = activity.layoutInflater.inflate(R.layout.card, cards, false)
        card.findViewById<TextView>(R.id.card_title).apply {
            this.text = title
            setTextColor(activity.getColor(color))
        }
        card.findViewById<TextView>(R.id.card_text).apply {
            this.text = text
            visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
        }
        rows.forEach { (name, value) -> row(card.findViewById(R.id.card_rows), name, value) }
        card.findViewById<View>(R.id.card_buttons).visibility = if (choices.isEmpty()) View.GONE else View.VISIBLE
        set(card.findViewById(R.id.card_first), choices.getOrNull(0))
        set(card.findViewById(R.id.card_second), choices.getOrNull(1))
        cards.addView(card)
    }

    private fun row(rows: ViewGroup, name: Int, value: String) {
        val row = activity.layoutInflater.inflate(R.layout.row, rows, false)
        row.findViewById<TextView>(R.id.row_name).setText(name)
        row.findViewById<TextView>(R.id.row_value).text = value
        rows.addView(row)
    }

    private fun set(button: Button, choice: Choice?) {
        button.visibility = if (choice == null) View.GONE else View.VISIBLE
        if (choice == null) return
        button.setText(choice.label)
        button.isEnabled = choice.enabled
        // A disabled button keeps its colours in these styles.
        button.alpha = if (choice.enabled) 1f else .4f
        button.setOnClickListener { choice.action() }
    }
}
