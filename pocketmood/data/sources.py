"""The corpora of a run with their folders: checked, found, and joined into clips whose ids never collide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketmood.data.clips import Clip
from pocketmood.data.corpora import registry
from pocketmood.data.corpora.contract import Corpus, Options
from pocketmood.data.corpora.files import Files, Reject
from pocketmood.data.record import CorpusRecord
from pocketmood.errors import ConfigError
from pocketmood.runs import fingerprint


@dataclass(frozen=True)
class Source:
    """One corpus of a run, with what lies in its folder."""

    corpus: Corpus
    """What it is."""
    files: Files
    """What was found of it."""
    options: Options
    """What was chosen for it; options that it does not take are at their defaults."""

    def fingerprint(self) -> str:
        """Hash its files; two corpora with the same files are two inputs."""
        return fingerprint([self.corpus.name, self.files.fingerprint()])

    def record(self, clips: Sequence[Clip], audit: str) -> CorpusRecord:
        """Say what it is, and what its labels are worth; clips: those of the whole store."""
        corpus = self.corpus
        return CorpusRecord(
            name=corpus.name,
            title=corpus.title,
            songs=sum(clip.corpus == corpus.name and clip.label is not None for clip in clips),
            label_set=corpus.label_set,
            label_kind=corpus.label_kind,
            scale=corpus.scale or self.options.scale,
            label_fix=self.options.label_fix,
            synthetic_labels=corpus.synthetic_labels,
            citation=corpus.citation,
            licence=corpus.licence,
            source=corpus.source,
            audit=audit,
        )


def check(words: str, music: Sequence[Path], options: Options) -> None:
    """Raise ConfigError for an unknown corpus, another number of folders, or an option that none of them takes."""
    corpora = registry.named(words)
    if len(music) != len(corpora):
        folders = " ".join(f"/path/to/{corpus.name}" for corpus in corpora)
        raise ConfigError(
            f"{words} needs {len(corpora)} folder{'s' * (len(corpora) > 1)} of music, one per corpus in this order; "
            f"{len(music)} given: --corpus {words} --music {folders} "
            f"(make: CORPUS={words} MUSIC={folders.replace(' ', ':')})"
        )
    for option, value in options.chosen().items():
        if not any(option in corpus.options for corpus in corpora):
            raise ConfigError(f"{registry.flag(option)} {value} means nothing to {words}; leave it out")
    for corpus in corpora:
        corpus.check(options.only(corpus.options))


def find(words: str, music: Sequence[Path], options: Options, exclude: Path | None = None) -> list[Source]:
    """Find the files of every corpus in its folder; exclude: a folder to stay out of."""
    sources = []
    for corpus, root in zip(registry.named(words), music, strict=True):
        name = corpus.really(root) if corpus.really else corpus.name
        if name != corpus.name:
            print(f"data: {root} holds the {name} corpus; it is taken as that, not as {corpus.name}", flush=True)
        found = registry.corpus(name)
        sources.append(Source(found, found.find(root, exclude), options.only(found.options)))
    twice = {source.corpus.name for source in sources if [s.corpus.name for s in sources].count(source.corpus.name) > 1}
    if twice:
        raise ConfigError(f"two of the folders hold the corpus {twice.pop()}; name each corpus once")
    return sources


def join(sources: Sequence[Source]) -> tuple[list[Clip], list[Reject]]:
    """Return the clips of all corpora and all that was left out, each with its corpus's name.

    One corpus alone keeps its ids. Several have theirs with the corpus's name before them, all of them, whether or not
    two are alike: `deam-12`. So a song keeps its id when songs are added to the other corpus.
    """
    clips: list[Clip] = []
    rejects: list[Reject] = []
    for source in sources:
        name = source.corpus.name
        start = f"{name}-" if len(sources) > 1 else ""
        songs, left_out = source.corpus.clips(source.files, source.options)
        clips += [replace(song, id=f"{start}{song.id}", corpus=name) for song in songs]
        rejects += [replace(item, id=item.id and f"{start}{item.id}", corpus=name) for item in left_out]
    return clips, rejects


def place(clip: Clip, sources: Sequence[Source]) -> str:
    """Name a clip's file below the data set's folder if it lies there."""
    path = clip.path or Path()
    # Unlabelled music may lie below any of the folders, and is named by the first.
    ours = [s.files for s in sources if clip.corpus in ("", s.corpus.name) and path.is_relative_to(s.files.root)]
    return ours[0].name(path) if ours else str(path)
