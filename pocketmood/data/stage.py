"""The data stage: a folder of music and ratings becomes a clip store, a split, and pictures of both.

Writes `data/` of a run: `store/`, `split.json`, `rejects.csv` (what was left out, and why), `audit.txt`, `plots/`, and
`truth.csv` where the corpus knows its true scores.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pocketmood import command
from pocketmood.data import decode, plots, sources, unlabelled
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.corpora.contract import Options
from pocketmood.data.corpora.files import Reject, named_hash
from pocketmood.data.record import DataRecord, SplitSizes
from pocketmood.data.run_folder import REJECTS_FILE, SPLIT_FILE, TRUTH_FILE
from pocketmood.data.sources import Source
from pocketmood.data.split import PARTS, Shares, Split, artist_key, natural, refuse_leaks, split_clips
from pocketmood.errors import ConfigError, DataError
from pocketmood.runs import Stage, fingerprint, write_text
from pocketmood.spec import MelSpec

SPEC = MelSpec()
_SHOWN_REASONS = 5
"""Reasons for which something was left out that are printed, those of most things first."""


@dataclass(frozen=True)
class DataConfig:
    """What to make data of, and how."""

    run: Path
    """Run folder; the stage writes `data/` in it."""
    music: tuple[Path, ...]
    """Folder of each corpus, in the order of `--corpus`: audio and labels are found in it by name."""
    corpus: str = "deam"
    """Which corpus it is: deam, pmemo, 4q, table, rendered; several as deam+table."""
    label_fix: str = "none"
    """Of DEAM: "swap-2013" exchanges valence and arousal of the songs up to id 1000, "none" keeps them as shipped."""
    scale: str = ""
    """Of a table of one's own: lowest and highest rating that its raters could give, such as 1..9."""
    unlabelled: Path | None = None
    """Folder of more music without ratings, for distillation."""
    unlabelled_clips: int = 1
    """Clips of 30 s that a piece of it gives at most, evenly over the piece and none over another."""
    seed: int = 0
    """Seed of the split."""
    split: Shares = field(default_factory=Shares)
    """How many songs train, and how many are held out."""
    workers: int = 0
    """Processes that decode; 0 means one per core."""

    def __post_init__(self) -> None:
        """Refuse what is misspelled before any work."""
        sources.check(self.corpus, self.music, self.options)
        if self.workers < 0 or self.seed < 0:
            raise ConfigError(f"workers ({self.workers}) and seed ({self.seed}) cannot be negative")
        if self.unlabelled_clips < 1:
            raise ConfigError(f"--unlabelled-clips {self.unlabelled_clips} must be at least 1")

    @property
    def options(self) -> Options:
        """What was chosen about the labels."""
        return Options(label_fix=self.label_fix, scale=self.scale)


def main(args: Sequence[str] | None = None) -> int:
    """Read the words of a command line and run the stage."""
    description = "Decode, label, audit and split a folder of rated music into RUN/data."
    return run(command.parse(DataConfig, "pocketmood data", description, args))


def run(config: DataConfig) -> int:
    """Bring `RUN/data` up to date with the config and the files it names; returns 0."""
    found = sources.find(config.corpus, config.music, config.options, exclude=config.unlabelled)
    extra = unlabelled.files(config.unlabelled)
    inputs = {source.corpus.name: source.fingerprint() for source in found}
    inputs["unlabelled"] = fingerprint([named_hash(path) for path in extra])
    # Without the folders' own paths: the same music elsewhere is the same data.
    settings = {
        "corpora": [source.corpus.name for source in found],
        "options": vars(config.options),
        "seed": config.seed,
        "split": asdict(config.split),
        "spec": SPEC.to_dict(),
    }
    # No word of it where each piece gives one clip: such data are what they were before pieces could give more.
    if config.unlabelled_clips > 1:
        settings["unlabelled_clips"] = config.unlabelled_clips
    stage = Stage(config.run, "data", settings, inputs)
    if stage.up_to_date():
        return 0
    with stage.work() as folder:
        stage.record |= asdict(_fill(config, found, extra, folder))
    print(f"data: done, in {stage.folder}", flush=True)
    return 0


def _fill(config: DataConfig, found: Sequence[Source], extra: Sequence[Path], folder: Path) -> DataRecord:
    """Do the work in the stage's folder; return what is to be said of it."""
    songs, rejects = sources.join(found)
    more, more_rejects = unlabelled.clips(extra, SPEC.seconds, config.unlabelled_clips)
    rejects += more_rejects
    _refuse_nothing(songs, rejects, found, folder)

    store, failures = decode.build([*songs, *more], SPEC, folder, config.workers)
    clips = {clip.id: clip for clip in [*songs, *more]}
    # A decoder's reason begins with the file's whole path, which the table's own column shows shorter.
    rejects += [
        Reject(id_, sources.place(clip, found), reason.removeprefix(f"{clip.path}: "), clip.corpus)
        for id_, reason in failures
        if (clip := clips[id_])
    ]

    # Asked again: all songs may have had ratings, and none of them sound that can be decoded.
    labelled = [clip for clip in store.clips if clip.label is not None]
    _refuse_nothing(labelled, rejects, found, folder)
    rejects.sort(key=lambda reject: (natural(reject.id), reject.file, reject.reason))
    _write_rejects(folder / REJECTS_FILE, rejects)
    split = split_clips(labelled, config.seed, config.split)
    refuse_leaks(split, store.clips)
    split.save(folder / SPLIT_FILE)

    audits = _audit(found, folder)
    _copy_truth(found, folder)
    record = DataRecord(
        corpora=tuple(source.record(store.clips, audits[source.corpus.name]) for source in found),
        unlabelled=len(store) - len(labelled),
        rejects=len(rejects),
        split=SplitSizes(len(split.train), len(split.validation), len(split.test), split.by),
        artists=len({artist_key(clip) for clip in labelled if clip.artist}),
    )
    _summarise(record, rejects, store, split)
    return replace(record, plots=tuple(plots.draw(store, split, folder / "plots", SPEC, record)))


def _audit(found: Sequence[Source], folder: Path) -> dict[str, str]:
    """Audit the labels of every corpus; write all of it, and return the verdict per corpus."""
    audits, text = {}, ""
    for source in found:
        verdict, lines = source.corpus.audit(source.files, source.options)
        audits[source.corpus.name] = verdict
        text += (f"{source.corpus.title}\n" if len(found) > 1 else "") + f"{verdict}\n{lines}\n"
    write_text(folder / "audit.txt", text)
    return audits


def _copy_truth(found: Sequence[Source], folder: Path) -> None:
    """Keep the true scores of a rendered corpus; a mixed run has songs of which nobody knows them."""
    truth = found[0].files.tables.get(TRUTH_FILE)
    if truth and len(found) == 1:
        shutil.copyfile(truth, folder / TRUTH_FILE)


def _refuse_nothing(songs: Sequence[Clip], rejects: Sequence[Reject], found: Sequence[Source], folder: Path) -> None:
    """Raise DataError for a corpus without a usable song; what was left out of it is written down."""
    for source in found:
        name = source.corpus.name
        if any(song.corpus == name for song in songs):
            continue
        _write_rejects(folder / REJECTS_FILE, rejects)
        ours = [reject for reject in rejects if reject.corpus == name]
        first = f" First: {ours[0].file}: {ours[0].reason}." if ours else ""
        raise DataError(
            f"{source.files.root}: no usable song; {len(ours)} things were left out.{first} "
            f"All: {folder / REJECTS_FILE}"
        )


def _summarise(record: DataRecord, rejects: Sequence[Reject], store: ClipStore, split: Split) -> None:
    """Print what was made, for people."""
    made = f"{record.songs} songs of {record.corpus}"
    if record.synthetic_labels:
        made += " (synthetic labels on rendered music: proves the toolchain, not the taste of a model)"
    if record.unlabelled:
        made += f", {record.unlabelled} more without ratings"
    print(f"data: {made}; {store.raw.nbytes / 1e6:.0f} MB")
    for corpus in record.corpora:
        start = f"{corpus.title}: " if record.mixed else ""
        # Rows without audio and audio without a row are songs, too: a half that was never copied is seen here.
        met = {clip.id for clip in store.clips if clip.corpus == corpus.name and clip.label is not None}
        met |= {reject.id for reject in rejects if reject.corpus == corpus.name and reject.id}
        used = f"{corpus.songs} of {len(met)} songs used"
        print(f"  {start}{used}; labels: {corpus.label_set}; label fix: {corpus.label_fix}")
        print(f"  {corpus.audit}")

    sizes = ", ".join(f"{getattr(record.split, part)} {part}" for part in PARTS)
    by = f"by artist ({record.artists} known)" if split.by == "artist" else "by song (no artists known)"
    print(f"  split {by}: {sizes}; seed {split.seed}")
    print(f"  left out: {len(rejects)}" + (", all in rejects.csv" if rejects else ""), flush=True)
    # A mirror that lacks a folder gives hundreds of rejects, and they are all alike: a line for each reason.
    alike: dict[str, list[str]] = {}
    for reject in rejects:
        alike.setdefault(reject.reason, []).append(reject.file)
    reasons = sorted(alike, key=lambda reason: -len(alike[reason]))
    for reason in reasons[:_SHOWN_REASONS]:
        first, *others = alike[reason]
        print(f"    {first}{f' and {len(others)} more' if others else ''}: {reason}")
    if len(reasons) > _SHOWN_REASONS:
        rest = sum(len(alike[reason]) for reason in reasons[_SHOWN_REASONS:])
        print(f"    ... and {rest} more, for other reasons", flush=True)


def _write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "file", "reason", "corpus"))
    writer.writerows((reject.id, reject.file, reject.reason, reject.corpus) for reject in rejects)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    command.start(main)
