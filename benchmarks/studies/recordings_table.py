"""The table on real recordings: every model beside what others have, on all songs of a corpus, in folds by artist.

    python -m benchmarks.studies.recordings_table --preset recordings --music /path/to/4q

Each row is trained in every fold and predicts that fold's test songs; together they are all songs, each predicted by
models that never heard its artist. A fold is a run folder in RUN/folds (RUN/company, RUN/apart): what a
row trains there is the project's own stages, which are finished once and continue after a kill. Rows whose needs are
missing are named with what they lack.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.studies import recordings_stages as stages
from benchmarks.studies.recordings_config import ALL_ROWS, PRESETS, RecordingsTableConfig
from benchmarks.studies.recordings_rows import ROWS, Row
from benchmarks.studies.result_files import markdown_table, parse_command, write_result
from benchmarks.studies.transfer_scores import Figure, Scores, of_model
from pocketmood import command
from pocketmood.data.folds import artist_folds, make_fold
from pocketmood.data.run_folder import PREDICTIONS_FILE, RunFolder
from pocketmood.data.stage import DataConfig
from pocketmood.data.stage import run as make_data
from pocketmood.errors import ConfigError, RunError
from pocketmood.metrics import Paired, paired_difference
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import STAGE_FILE, Stage
from pocketmood.standing_warnings import of_musicnn, once

NAME = "benchmarks.studies.recordings_table"
DESCRIPTION = """Measure every model on real recordings, in folds by artist.

Reads a corpus; writes a table (.md and .json) after every row. floor, svm, musicnn-ridge and the members of the company
take minutes; ast, vit, student and int8 a training or an export per fold. A killed study continues."""


def main(args: Sequence[str] | None = None) -> int:
    """Make the table from the command line."""
    return run(*parse_command(PRESETS, NAME, DESCRIPTION, args))


def run(config: RecordingsTableConfig, typed: str = f"python -m {NAME}") -> int:
    """Measure row by row in all folds; the table is written anew after each row."""
    if config.music:
        make_data(DataConfig(run=config.run, corpus=config.corpus, music=config.music))
    elif not (RunFolder(config.run).folder("data") / STAGE_FILE).is_file():
        raise ConfigError(f"{config.run}: no songs yet; pass --music /path/to/{config.corpus}")
    whole = RunFolder(config.run)
    splits = artist_folds(whole.store.clips, config.folds, config.seed)
    folds = {
        place: [make_fold(whole, split, whole.beside(place) / str(number)) for number, split in enumerate(splits)]
        for place in ("folds", "company", "apart")
    }

    found: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for name in config.rows:
        if lack := lacks(name, config):
            missing[name] = lack
            print(f"{title(name)}: NOT MEASURED, {lack}", flush=True)
            continue
        found[name] = measured = Measured.of(of_row(name, config, whole, folds[_place(name)]))
        axes = measured.scores.axes
        print(f"{title(name)}: {axes['valence']['auc']} {axes['arousal']['auc']}", flush=True)
        write(config, typed, whole, found, missing)
    # Last, in one go: rows that are timed hours apart are timed on different machines.
    opened = {name: RunFolder(folds[_place(name)][0].path) for name in found if name in stages.STAGE_ROWS}
    for name, median_ms in stages.latencies_ms(opened).items():
        found[name] = replace(found[name], latency_ms=median_ms)
    write(config, typed, whole, found, missing)
    print(table(found), flush=True)
    return 0


@dataclass(frozen=True)
class Measured:
    """What is known of a row."""

    predicted: Predictions
    """For all songs, each by the models of its fold."""
    scores: Scores
    """Of these predictions."""
    latency_ms: float | None = None
    """Median time of a prediction, waveform in; None where it was not timed."""

    @classmethod
    def of(cls, parts: Sequence[Predictions]) -> Measured:
        """Join the folds' predictions, and score them."""
        ids = tuple(id_ for part in parts for id_ in part.ids)
        emotion, labels = (
            np.concatenate(arrays) for arrays in zip(*((p.emotion, p.labels) for p in parts), strict=True)
        )
        return cls(stages.of_test(ids, emotion, labels), of_model(emotion, labels, ids))


def _place(name: str) -> str:
    """Return the folder of RUN in which a row's folds lie."""
    return stages.STAGE_ROWS[name].place if name in stages.STAGE_ROWS else "folds"


def lacks(name: str, config: RecordingsTableConfig) -> str:
    """Say what a row needs and is not here; empty where nothing is missing."""
    return ROWS[name].lacks(config) if name in ROWS else stages.lacks(name, config)


def title(name: str) -> str:
    """Return what the table calls a row."""
    return ROWS[name].title if name in ROWS else stages.STAGE_ROWS[name].title


def of_row(name: str, config: RecordingsTableConfig, whole: RunFolder, folds: Sequence[RunFolder]) -> list[Predictions]:
    """Return a row's predictions for the test songs of every fold, made where they are not there yet."""
    if name in ROWS:
        return _fitted(name, ROWS[name], config, whole, folds)
    made = []
    for number, fold in enumerate(folds):
        print(f"{name}, fold {number + 1} of {len(folds)}", flush=True)
        stages.make(name, config, fold)
        # Opened anew: a run folder remembers what it read before the stages were made.
        made.append(stages.predictions(name, RunFolder(fold.path)))
    return made


def _fitted(
    name: str, row: Row, config: RecordingsTableConfig, whole: RunFolder, folds: Sequence[RunFolder]
) -> list[Predictions]:
    """Fit a row on features of its own in every fold; features are computed once, and only where a fold needs them."""
    store, inputs = whole.store, row.made_from(config)
    ids = [clip.id for clip in store.clips if clip.label is not None]
    place = {id_: number for number, id_ in enumerate(ids)}
    labels = store.labels(ids).astype(np.float64)
    features: np.ndarray | None = None
    made = []
    for number, fold in enumerate(folds):
        known = inputs | {"fold": fold.fingerprint("data")}
        stage = Stage(whole.beside("folds") / "rows", f"{name}-{number}", {"row": name}, known)
        if not stage.up_to_date(quiet=True):
            with stage.work() as work:
                features = row.features(config, store, ids) if features is None else features
                train, held, test = ([place[id_] for id_ in part] for part in _parts(fold))
                predict = row.fit(features[train], labels[train], features[held], labels[held])
                predicted = stages.of_test(fold.split.test, predict(features[test]), labels[test])
                write_predictions(work / PREDICTIONS_FILE, predicted)
        made.append(read_predictions(stage.folder / PREDICTIONS_FILE))
    return made


def _parts(fold: RunFolder) -> tuple[tuple[str, ...], ...]:
    return fold.split.train, fold.split.validation, fold.split.test


def table(found: Mapping[str, Measured]) -> str:
    """Lay out the rows that were measured."""
    rows = []
    for name, measured in found.items():
        scores = measured.scores
        ccc = np.mean([scores.axes[axis]["ccc"].value for axis in scores.axes])
        figures: list[Figure | None] = [scores.axes[axis]["auc"] for axis in ("valence", "arousal")]
        cells = [_three(figure) for figure in [*figures, scores.quadrant_accuracy]]
        time = "" if measured.latency_ms is None else f"{measured.latency_ms:.0f}"
        rows.append([title(name), *cells, "" if name == "svm" else f"{ccc:.3f}", time])
    return markdown_table(["model", "AUC V", "AUC A", "quadrants", "CCC (of signs)", "ms a clip"], rows)


PAIRS = (
    ("company", "musicnn"),
    ("teacher", "company"),
    ("student", "teacher"),
    ("student", "vit"),
    ("int8", "student"),
)
"""Rows whose difference is told, the first less the second."""


def _differences(found: Mapping[str, Measured]) -> dict[str, Paired]:
    """Return paired differences of mean CCC, by "first - second"."""
    return {
        f"{first} - {second}": paired_difference(
            found[first].predicted.emotion,
            found[second].predicted.emotion,
            found[first].predicted.labels,
            found[first].predicted.ids,
        )
        for first, second in PAIRS
        if first in found and second in found
    }


def write(
    config: RecordingsTableConfig,
    typed: str,
    whole: RunFolder,
    found: Mapping[str, Measured],
    missing: Mapping[str, str],
) -> None:
    """Write the table with what must stand beside it: what the labels are, doubts, and rows that are missing."""
    record, differences = whole.data_record, _differences(found)
    notes = [
        f"{record.songs} songs of {record.corpus} ({record.label_set}), {record.artists} artists; {config.folds} folds "
        "by artist, each song predicted by models that heard none of its artist's. Of the other folds' songs, 15 % "
        "choose epochs and penalties. Intervals: 95 % over the songs of all folds together."
    ]
    notes += [
        f"CCC (of signs), {name}: {gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], paired over songs."
        for name, gain in differences.items()
    ]
    machine = describe()
    if any(measured.latency_ms for measured in found.values()):
        notes.append(
            f"Time: median of {stages.TURNS.repeats} predictions for a clip, waveform in, all rows in turn, on "
            f"{machine['cores']} cores ({machine['cpu']}); of a company one member after the other."
        )
    notes += [f"{title(name)}: {doubt}." for name in found if name in ROWS for doubt in ROWS[name].doubts]
    # Whatever learnt from a network that has heard music has its doubts.
    taught = [member for name in found if name in stages.STAGE_ROWS for member in stages.heard_by(name, config)]
    notes += [
        f"Whatever learnt from musicnn networks, student and programs included: {doubt}."
        for doubt in once(*map(of_musicnn, taught))
    ]
    notes += [f"NOT MEASURED: {title(name)} ({lack})." for name, lack in missing.items()]
    left = [title(name) for name in ALL_ROWS if name not in config.rows]
    notes += [f"Not asked for (--rows): {', '.join(left)}."] if left else []
    values: dict[str, Any] = {
        "songs": record.songs,
        "citations": [corpus.citation for corpus in record.corpora],
        "folds": config.folds,
        "seed": config.seed,
        "python": platform.python_version(),
        "rows": {
            name: {"title": title(name), **measured.scores.as_json(), "latency_ms": measured.latency_ms}
            for name, measured in found.items()
        },
        "differences": {name: gain._asdict() for name, gain in differences.items()},
        "missing": dict(missing),
        "notes": notes,
    }
    write_result(config.out, f"Models on real recordings: {record.corpus}", typed, values, [table(found), *notes])


def _three(figure: Figure | None) -> str:
    if figure is None:
        raise RunError("a row without a figure; measure it again")
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


if __name__ == "__main__":
    command.start(main)
