"""CoreML: writer, reader that needs no Mac, and the check on a Mac."""
