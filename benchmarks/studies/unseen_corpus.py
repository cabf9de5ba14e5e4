"""How floor, teacher and student of a run do on a corpus that none of them has met: more songs, narrower intervals.

    python -m pocketmood render --songs 400 --seed 1 --out runs/other/corpus
    make data RUN=runs/other DEAM=runs/other/corpus
    python -m benchmarks.studies.unseen_corpus --run runs/demo --songs runs/other

A run's own test songs number 121 in the demo, and their intervals are as wide as what is to be shown. All rated songs
of the other run are asked, whatever their part there; one whose sound the first run has trained on is refused.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.studies.result_files import command_line, markdown_table, write_result
from pocketmood import command
from pocketmood.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore

OUT = Path("benchmarks/studies/results/held-out")
LEAST_SONGS = 20
"""With fewer an interval says nothing."""


def main(args: Sequence[str] | None = None) -> None:
    """Score the three on the other corpus; print and write the table."""
    top = argparse.ArgumentParser(prog="python -m benchmarks.studies.unseen_corpus", description=__doc__.split("\n")[0])
    top.add_argument("--run", type=Path, required=True, help="run folder with finished stages data, teacher, student")
    top.add_argument("--songs", type=Path, required=True, help="run folder whose data stage holds the other corpus")
    top.add_argument("--out", type=Path, default=OUT, help=f"result files without their endings ({OUT})")
    given = top.parse_args(args)
    from pocketmood.calibration import coverage
    from pocketmood.data.clips import ClipStore
    from pocketmood.runs import stage_fingerprint

    for run in (given.run, given.songs):
        stage_fingerprint(run / "data", f"make data RUN={run}")
    ours, store = (ClipStore.open(run / "data" / "store") for run in (given.run, given.songs))
    ids = [clip.id for clip in store.clips if clip.label is not None]
    if len(ids) < LEAST_SONGS:
        raise DataError(f"{given.songs}: {len(ids)} rated songs; give at least {LEAST_SONGS}, or intervals say nothing")
    refuse_known_songs(ours, store, ids)
    said, interval68 = answers(given.run, store, ids)
    labels = store.labels(ids).astype(float)
    values = compare(said, labels, ids)
    values["coverage"] = coverage(said["student"], interval68, labels, store.deviations(ids))
    text = table(values)
    words = [given.run.as_posix(), given.songs.as_posix()]
    line = command_line("benchmarks.studies.unseen_corpus", ["--run", words[0], "--songs", words[1]])
    write_result(given.out, "A corpus that none of them has met", line, values, [text, *notes(values)])
    print("\n".join([text, "", *notes(values)]), flush=True)


def refuse_known_songs(ours: ClipStore, other: ClipStore, ids: Sequence[str]) -> None:
    """Raise DataError if any of these songs sounds, sample by sample, like one of `ours`."""
    known = {_sound_hash(row): id_ for row, id_ in zip(ours.raw, ours.ids, strict=True)}
    for id_ in ids:
        twin = known.get(_sound_hash(other.raw[other.index(id_)]))
        if twin is not None:
            raise DataError(f"song {id_} is song {twin} of the run itself: choose songs that it has not met")


def answers(run: Path, store: ClipStore, ids: list[str]) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Ask floor, teacher and student of a run: emotion [N, 2] each, and the student's interval68 [N, 2]."""
    from pocketmood.mel import MelFrontEnd
    from pocketmood.training.device import default_device
    from student.distill import answer, whole_clips
    from student.mobilevit import load_student
    from teacher import finetune, floor
    from teacher.config import VitConfig
    from teacher.vit import load_teacher

    ridge = floor.Ridge.load(run / "teacher" / "floor" / "ridge.safetensors")
    teacher, facts = load_teacher(run / "teacher")
    student, _ = load_student(run / "student")
    heard = whole_clips(store, ids, MelFrontEnd(student.spec, student.stride, student.frames))
    ours = answer(student, heard)
    said = {
        "floor": ridge.predict(floor.store_features(store, ids)),
        "teacher": finetune.predict(teacher.to(default_device()), store, ids, VitConfig(**facts["vit"]))[0],
        "student": ours.emotion,
    }
    return said, ours.interval68


def compare(said: dict[str, NDArray[Any]], labels: NDArray[Any], songs: Sequence[str]) -> dict[str, Any]:
    """Score all, and compare the student with teacher and floor on the same resampled songs."""
    from pocketmood.metrics import bootstrap, paired_difference, score, share_kept

    rows = {}
    for name, emotion in said.items():
        low, high = bootstrap(emotion, labels, songs)
        rows[name] = score(emotion, labels) | {"ccc_mean_low": low, "ccc_mean_high": high}
    pairs = (("teacher", "floor"), ("student", "floor"), ("student", "teacher"))
    return {
        "songs": len(songs),
        "models": rows,
        "differences": {f"{a} - {b}": paired_difference(said[a], said[b], labels, songs)._asdict() for a, b in pairs},
        "kept_of_teacher": share_kept(said["student"], said["teacher"], labels, songs),
    }


def table(values: dict[str, Any]) -> str:
    """Lay out the scores."""
    rows = []
    for name, row in values["models"].items():
        interval = f"{row['ccc_mean_low']:.3f} .. {row['ccc_mean_high']:.3f}"
        rows.append([name, *(f"{row[f'ccc_{axis}']:.3f}" for axis in ("valence", "arousal", "mean")), interval])
    return markdown_table(["model", "CCC V", "CCC A", "mean", "95 %"], rows)


def notes(values: dict[str, Any]) -> list[str]:
    """Say what the student kept, and who is above whom."""
    from pocketmood.metrics import NO_SHARE

    kept = values["kept_of_teacher"]
    share = (
        f"The student keeps {kept['ratio']:.1%} [{kept['low']:.1%}, {kept['high']:.1%}] of the teacher's CCC."
        if kept
        else f"Kept of the teacher's CCC: {NO_SHARE}."
    )
    pairs = [
        f"{name}: {gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        for name, gain in values["differences"].items()
    ]
    covered = values["coverage"]
    inside = ", ".join(
        f"the {level} % interval holds the mean rating of {songs['mean']:.0%} of songs and "
        f"{covered['listeners'][level]['mean']:.0%} of single ratings (expected)"
        for level, songs in covered["songs"].items()
        if covered["listeners"][level]
    )
    lines = [f"{values['songs']} songs. {share}", "; ".join(pairs) + "."]
    return [*lines, f"Its intervals: {inside}."] if inside else lines


def _sound_hash(wave: NDArray[np.int16]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(wave).tobytes()).digest()


if __name__ == "__main__":
    command.start(main)
