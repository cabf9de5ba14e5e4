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
from pocketmood.data import decode, plots, unlabelled
from pocketmood.data.clips import Clip, ClipStore
from pocketmood.data.corpora import deam, deam_audit
from pocketmood.data.corpora.deam import Files, Reject
from pocketmood.data.record import DataRecord, SplitSizes
from pocketmood.data.run_folder import REJECTS_FILE, SPLIT_FILE, TRUTH_FILE
from pocketmood.data.split import PARTS, Shares, Split, artist_key, natural, refuse_leaks, split_clips
from pocketmood.errors import ConfigError, DataError
from pocketmood.runs import Stage, file_hash, fingerprint, write_text
from pocketmood.spec import MelSpec

SPEC = MelSpec()
SYNTHETIC_NAME = "rendered stand-in corpus"
SYNTHETIC_LABEL_SET = "simulated raters on rendered music, in DEAM's layout"
_SHOWN_REJECTS = 5


@dataclass(frozen=True)
class DataConfig:
    """What to make data of, and how."""

    run: Path
    """Run folder; the stage writes `data/` in it."""
    deam: Path
    """Folder that holds DEAM, or a corpus in its layout: audio and annotations are found in it by name."""
    label_fix: str = "none"
    """"swap-2013" exchanges valence and arousal of the songs up to id 1000, "none" keeps them as shipped."""
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
        if self.label_fix not in deam.LABEL_FIXES:
            raise ConfigError(f'label fix "{self.label_fix}" is unknown; choose from {", ".join(deam.LABEL_FIXES)}')
        if self.workers < 0 or self.seed < 0:
            raise ConfigError(f"workers ({self.workers}) and seed ({self.seed}) cannot be negative")
        if self.unlabelled_clips < 1:
            raise ConfigError(f"--unlabelled-clips {self.unlabelled_clips} must be at least 1")


def main(args: Sequence[str] | None = None) -> int:
    """Read the words of a command line and run the stage."""
    description = "Decode, label, audit and split a folder of rated music into RUN/data."
    return run(command.parse(DataConfig, "pocketmood data", description, args))


def run(config: DataConfig) -> int:
    """Bring `RUN/data` up to date with the config and the files it names; returns 0."""
    files = deam.find(config.deam, exclude=config.unlabelled)
    extra = unlabelled.files(config.unlabelled)
    inputs = {"corpus": _corpus_fingerprint(files), "unlabelled": fingerprint([_named_hash(path) for path in extra])}
    # Without the folders' own paths: the same music elsewhere is the same data.
    settings = {
        "label_fix": config.label_fix,
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
        stage.record |= asdict(_fill(config, files, extra, folder))
    print(f"data: done, in {stage.folder}", flush=True)
    return 0


def _fill(config: DataConfig, files: Files, extra: Sequence[Path], folder: Path) -> DataRecord:
    """Do the work in the stage's folder; return what is to be said of it."""
    songs, rejects = deam.clips(files, config.label_fix)
    more, more_rejects = unlabelled.clips(extra, SPEC.seconds, config.unlabelled_clips)
    rejects += more_rejects
    _refuse_nothing(songs, rejects, files, folder)

    store, failures = decode.build([*songs, *more], SPEC, folder, config.workers)
    places = {clip.id: _place(clip, files) for clip in [*songs, *more]}
    paths = {clip.id: clip.path for clip in [*songs, *more]}
    # A decoder's reason begins with the file's whole path, which the table's own column shows shorter.
    rejects += [Reject(id_, places[id_], reason.removeprefix(f"{paths[id_]}: ")) for id_, reason in failures]

    # Asked again: all songs may have had ratings, and none of them sound that can be decoded.
    labelled = [clip for clip in store.clips if clip.label is not None]
    _refuse_nothing(labelled, rejects, files, folder)
    rejects.sort(key=lambda reject: (natural(reject.id), reject.file, reject.reason))
    _write_rejects(folder / REJECTS_FILE, rejects)
    split = split_clips(labelled, config.seed, config.split)
    refuse_leaks(split, store.clips)
    split.save(folder / SPLIT_FILE)

    verdict, lines = deam_audit.report(files, deam.ratings(files, []), config.label_fix)
    write_text(folder / "audit.txt", f"{verdict}\n{lines}\n")
    truth = config.deam / TRUTH_FILE
    if truth.is_file():
        shutil.copyfile(truth, folder / TRUTH_FILE)
    record = replace(_record(config, store, split, truth.is_file()), rejects=len(rejects), audit=verdict)
    _summarise(record, rejects, store, split)
    return replace(record, plots=tuple(plots.draw(store, split, folder / "plots", SPEC, record)))


def _record(config: DataConfig, store: ClipStore, split: Split, synthetic: bool) -> DataRecord:
    """Tell later stages what the data are, and what their labels are worth; rejects and audit are still to come."""
    labelled = [clip for clip in store.clips if clip.label is not None]
    return DataRecord(
        corpus=SYNTHETIC_NAME if synthetic else deam.NAME,
        synthetic_labels=synthetic,
        label_set=SYNTHETIC_LABEL_SET if synthetic else deam.LABEL_SET,
        label_fix=config.label_fix,
        songs=len(labelled),
        unlabelled=len(store) - len(labelled),
        rejects=0,
        split=SplitSizes(len(split.train), len(split.validation), len(split.test), split.by),
        artists=len({artist_key(clip) for clip in labelled if clip.artist}),
        citation="" if synthetic else deam.CITATION,
        licence="" if synthetic else deam.LICENCE,
    )


def _refuse_nothing(songs: Sequence[Clip], rejects: Sequence[Reject], files: Files, folder: Path) -> None:
    if not songs:
        _write_rejects(folder / REJECTS_FILE, rejects)
        first = f" First: {rejects[0].file}: {rejects[0].reason}." if rejects else ""
        raise DataError(
            f"{files.root}: no usable song; {len(rejects)} things were left out.{first} All: {folder / 'rejects.csv'}"
        )


def _summarise(record: DataRecord, rejects: Sequence[Reject], store: ClipStore, split: Split) -> None:
    """Print what was made, for people."""
    made = f"{record.songs} songs of {record.corpus}"
    if record.synthetic_labels:
        made += " (synthetic labels on rendered music: proves the toolchain, not the taste of a model)"
    if record.unlabelled:
        made += f", {record.unlabelled} more without ratings"
    print(f"data: {made}; {store.raw.nbytes / 1e6:.0f} MB")
    print(f"  labels: {record.label_set}; label fix: {record.label_fix}")
    print(f"  {record.audit}")

    sizes = ", ".join(f"{getattr(record.split, part)} {part}" for part in PARTS)
    by = f"by artist ({record.artists} known)" if split.by == "artist" else "by song (no artists known)"
    print(f"  split {by}: {sizes}; seed {split.seed}")
    print(f"  left out: {len(rejects)}" + (", all in rejects.csv" if rejects else ""), flush=True)
    # A mirror that lacks a folder gives hundreds of rejects, and they are all alike.
    for reject in rejects[:_SHOWN_REJECTS]:
        print(f"    {reject.file}: {reject.reason}")
    if len(rejects) > _SHOWN_REJECTS:
        print(f"    ... and {len(rejects) - _SHOWN_REJECTS} more", flush=True)


def _write_rejects(path: Path, rejects: Sequence[Reject]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "file", "reason"))
    writer.writerows((reject.id, reject.file, reject.reason) for reject in rejects)
    write_text(path, text.getvalue())


def _place(clip: Clip, files: Files) -> str:
    """Name a clip's file below the data set's folder if it lies there."""
    path = clip.path or Path()
    return files.name(path) if path.is_relative_to(files.root) else str(path)


def _corpus_fingerprint(files: Files) -> str:
    """Hash the tables whole and the audio by size and middle; where it all lies, and since when, does not matter."""
    truth = files.root / TRUTH_FILE
    tables = {name: file_hash(path) for name, path in sorted(files.tables.items())}
    sounds = [_named_hash(path) for _, path in sorted(files.audio.items())]
    return fingerprint([tables, sounds, file_hash(truth) if truth.is_file() else "", list(map(repr, files.rejects))])


def _named_hash(path: Path) -> str:
    return f"{path.name} {decode.sample_hash(path)}"


if __name__ == "__main__":
    command.start(main)
