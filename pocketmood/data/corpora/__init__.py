"""Data sets, one module each: what it is, citation, licence, source, parsers of open files, `clips()`."""
