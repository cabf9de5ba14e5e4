"""Every corpus by the name that `--corpus` and `make CORPUS=` take; a module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from pocketmood.data.corpora.contract import Corpus
from pocketmood.errors import ConfigError

CORPORA = {
    "deam": "pocketmood.data.corpora.deam",
    "rendered": "pocketmood.data.corpora.rendered",
    "4q": "pocketmood.data.corpora.four_q",
    "pmemo": "pocketmood.data.corpora.pmemo",
    "table": "pocketmood.data.corpora.table",
}
"""Name -> the module whose `CORPUS` it is. A new corpus adds its line here."""


def corpus(name: str) -> Corpus:
    """Return a corpus by its name; ConfigError, with the list, for one that is not there."""
    if name not in CORPORA:
        raise ConfigError(f'corpus "{name}" is unknown; choose from {", ".join(CORPORA)}, or several as deam+table')
    found: Corpus = import_module(CORPORA[name]).CORPUS
    return found


def flag(option: str) -> str:
    """Return the flag of a field of `Options`."""
    return f"--{option.replace('_', '-')}"


def named(words: str) -> list[Corpus]:
    """Return the corpora of a flag such as "deam" or "deam+rendered", in its order; ConfigError for one named twice."""
    names = words.split("+")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f'corpus "{words}" names {name} twice; name each once')
    return [corpus(name) for name in names]
