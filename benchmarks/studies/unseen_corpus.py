"""How floor, teacher and student of a run do on a corpus that none of them has met: more songs, narrower intervals.

    python -m pocketmood render --songs 400 --seed 1 --out runs/other/corpus
    make data RUN=runs/other CORPUS=rendered MUSIC=runs/other/corpus
    python -m benchmarks.studies.unseen_corpus --run runs/demo --songs runs/other

A run's own test songs number 121 in the demo, and their intervals are as wide as what is to be shown. All rated songs
of the other run are predicted, whatever their part there; one whose sound the first run has trained on is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.studies.known_songs import refuse_known_songs
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from pocketmood import command, signs
from pocketmood.calibration import coverage
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import DataError
from pocketmood.label_kind import IN_WORDS, RATINGS, TARGETS, ccc_name, has_signs
from pocketmood.metrics import NO_SHARE, Array, Paired, paired_difference, share_kept
from pocketmood.predictions import Predictions
from student.metrics import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore

NAME = "benchmarks.studies.unseen_corpus"
LEAST_SONGS = 20
"""With fewer an interval says nothing."""


@dataclass(frozen=True)
class UnseenCorpusConfig:
    """Whose models to score, and on which songs."""

    run: Path
    """Run folder with finished stages data, teacher, student."""
    songs: Path
    """Run folder whose data stage holds the other corpus."""
    out: Path = RESULTS / "held-out"
    """Result files without their endings."""


@dataclass(frozen=True)
class UnseenResult:
    """Floor, teacher and student side by side on the songs of another corpus."""

    songs: int
    """Songs that were scored."""
    models: dict[str, Scores]
    """Of floor, teacher and student."""
    differences: dict[str, Paired]
    """Of the mean CCC, under "teacher - floor" and so on."""
    kept_of_teacher: dict[str, float] | None
    """Share of the teacher's CCC that the student keeps: ratio, low, high; None where no share can be told."""
    coverage: Mapping[str, Any]
    """Shares of songs and listeners inside the student's intervals, as `pocketmood.calibration.coverage` gives them."""
    label_kind: str = RATINGS
    """Kind of the other corpus's labels, of `pocketmood.label_kind`: it decides which metrics there are."""

    def as_json(self) -> dict[str, Any]:
        """Return all of it by name, as the result's file holds it."""
        return {
            "songs": self.songs,
            "label_kind": self.label_kind,
            "models": {name: scores.as_json() for name, scores in self.models.items()},
            "differences": {name: gain._asdict() for name, gain in self.differences.items()},
            "kept_of_teacher": self.kept_of_teacher,
            "coverage": self.coverage,
        }


def main(args: Sequence[str] | None = None) -> int:
    """Score the three from the command line."""
    return run(*parse_command(UnseenCorpusConfig, NAME, __doc__, args))


def run(config: UnseenCorpusConfig, typed: str = f"python -m {NAME}") -> int:
    """Score the three on the other corpus; print and write the table."""
    known, other = RunFolder(config.run), RunFolder(config.songs)
    store = other.store
    ids = [clip.id for clip in store.clips if clip.label is not None]
    # Before anything is opened that takes long: both refusals are of the songs alone.
    if len(ids) < LEAST_SONGS:
        raise DataError(
            f"{config.songs}: {len(ids)} rated songs; give at least {LEAST_SONGS}, or intervals say nothing"
        )
    refuse_known_songs(known.store, store, ids)

    emotion, interval68 = predictions(known, store, ids)
    labels = store.labels(ids).astype(float)
    # By the deviations of the other corpus: how its listeners scatter is nothing that the run's own could tell.
    covered = coverage(emotion["student"], interval68, labels, store.deviations(ids))
    result = compare(emotion, labels, ids, covered, other.data_record.label_kind)
    parts = [table(result), *notes(result)]
    write_result(config.out, "A corpus that none of them has met", typed, result.as_json(), parts)
    print("\n\n".join(parts), flush=True)
    return 0


def predictions(
    run: RunFolder, store: ClipStore, ids: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Predict with floor, teacher and student of a run: emotion [N, 2] each, and the student's interval68 [N, 2]."""
    from student.mobilevit import load_student
    from student.predict import predict_clips
    from teacher import floor
    from teacher.company.open import open_company

    company = open_company(run.made("teacher"))
    ridge = floor.Ridge.load(run.ridge)
    student, _ = load_student(run.made("student"))

    # Each model with its own frames: the teacher may look at more of the spectrogram than the student.
    of_student = predict_clips(student, store, ids)
    emotion: dict[str, NDArray[Any]] = {
        "floor": ridge.predict(floor.store_features(store, ids)),
        "teacher": company.whole(store, ids)[0],
        "student": of_student.emotion,
    }
    return emotion, of_student.interval68


def compare(
    emotion: Mapping[str, Array],
    labels: Array,
    songs: Sequence[str],
    covered: Mapping[str, Any],
    kind: str = RATINGS,
) -> UnseenResult:
    """Score all, and compare the student with teacher and floor on the same resampled songs.

    kind: of the labels, of `pocketmood.label_kind`.
    """
    names = tuple(songs)
    scored = {
        name: Scores.of(Predictions(names, ("test",) * len(names), predicted, labels), kind)
        for name, predicted in emotion.items()
    }
    # The teacher against the floor too: a student cannot show what its teacher does not.
    pairs = (("teacher", "floor"), ("student", "floor"), ("student", "teacher"))
    gains = {f"{a} - {b}": paired_difference(emotion[a], emotion[b], labels, songs) for a, b in pairs}
    kept = share_kept(emotion["student"], emotion["teacher"], labels, songs)
    return UnseenResult(len(songs), scored, gains, kept, covered, kind)


def table(result: UnseenResult) -> str:
    """Lay out the scores: those of signs first, where the labels are tags."""
    rows = []
    for name, scores in result.models.items():
        of_signs = [
            cell
            for metric, ends in scores.of_signs.items()
            for cell in (f"{scores.values[metric]:.3f}", f"{ends.low:.3f} .. {ends.high:.3f}")
        ]
        columns = [f"{scores.values[f'ccc_{axis}']:.3f}" for axis in ("valence", "arousal", "mean")]
        rows.append([name, *of_signs, *columns, f"{scores.low:.3f} .. {scores.high:.3f}"])
    # As in every table: what tags can tell stands before what they can tell in part only.
    titles = signs.TITLES.values() if has_signs(result.label_kind) else ()
    first = [head for title in titles for head in (title, "95 %")]
    ccc = ccc_name(result.label_kind)
    return markdown_table(["model", *first, f"{ccc} V", f"{ccc} A", "mean", "95 %"], rows)


def notes(result: UnseenResult) -> list[str]:
    """Say what the student kept, who is above whom, and what the intervals hold."""
    kept, kind = result.kept_of_teacher, result.label_kind
    ccc = ccc_name(kind)
    share = (
        f"The student keeps {kept['ratio']:.1%} [{kept['low']:.1%}, {kept['high']:.1%}] of the teacher's {ccc}."
        if kept
        else f"Kept of the teacher's {ccc}: {NO_SHARE}."
    )
    pairs = [
        f"{name}: {gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        for name, gain in result.differences.items()
    ]

    # Without deviations nobody knows what single listeners said, and that half of a sentence is left out.
    single = result.coverage["listeners"]
    inside = ", ".join(
        f"the {level} % interval holds the {TARGETS[kind]} of {songs['mean']:.0%} of songs"
        + (f" and {single[level]['mean']:.0%} of single ratings (expected)" if single[level] else "")
        for level, songs in result.coverage["songs"].items()
    )
    # A reader of figures on tags must not take them for agreement with listeners.
    labels = [f"Labels: {IN_WORDS[kind]}."] if has_signs(kind) else []
    return [f"{result.songs} songs. {share}", *labels, "; ".join(pairs) + ".", f"Its intervals: {inside}."]


if __name__ == "__main__":
    command.start(main)
