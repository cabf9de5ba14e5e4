"""Exceptions of the project, under one root. A message names the thing, the value, and what to do next."""


class PocketmoodError(Exception):
    """The root of all errors that a command turns into one line instead of a traceback."""


class ConfigError(PocketmoodError):
    """A setting that a config refuses: out of range, unknown, or at odds with another one."""


class AudioError(PocketmoodError):
    """A file that is no usable audio; the message says in which way."""


class DataError(PocketmoodError):
    """A data set, a label file, a split or a store that cannot be used as it is."""


class RunError(PocketmoodError):
    """A run folder that lacks a stage, or holds one that does not fit."""


class BundleError(PocketmoodError):
    """A bundle that is missing, damaged, of another schema, or lacks what was asked of it."""


class ExportError(PocketmoodError):
    """An artefact that could not be written, read back, or proven."""
