package org.pocketmood.bundle

import java.io.InputStream

/** The bundle that was built into the app, if any. */
interface ShippedBundle {
    /** Its [Bundle.id]; null where the app was built without one. */
    fun id(): String?

    /** Paths of its files, relative to the bundle. */
    fun names(): List<String>

    /** Returns null for what is not there. */
    fun open(name: String): InputStream?
}
