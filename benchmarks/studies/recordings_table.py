"""The table on real recordings: every model beside what others have, on all songs of a corpus, in folds by artist.

    python -m benchmarks.studies.recordings_table --preset demo --music /path/to/4q

Each row is trained in every fold and predicts that fold's test songs; together they are all songs, each predicted by
models that never heard its artist. A fold is a run folder in RUN/folds: what a row trains there is the project's own
stages, which are finished once and continue after a kill. Rows whose needs are missing are named with what they lack.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import STAGE_FILE, Stage

NAME = "benchmarks.studies.recordings_table"
DESCRIPTION = """Measure every model on real recordings, in folds by artist.

Reads a corpus; writes a table (.md and .json) after every row. floor, svm and musicnn-ridge take minutes; ast, vit,
student and int8 take a teacher, a student and an export per fold. A killed study continues."""


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
    folds = [make_fold(whole, split, whole.beside("folds") / str(number)) for number, split in enumerate(splits)]

    found: dict[str, Scores] = {}
    missing: dict[str, str] = {}
    for name in config.rows:
        if lack := lacks(name, config):
            missing[name] = lack
            print(f"{title(name)}: NOT MEASURED, {lack}", flush=True)
            continue
        parts = of_row(name, config, whole, folds)
        ids = [id_ for part in parts for id_ in part.ids]
        emotion, labels = (
            np.concatenate(arrays) for arrays in zip(*((p.emotion, p.labels) for p in parts), strict=True)
        )
        found[name] = of_model(emotion, labels, ids)
        print(f"{title(name)}: {found[name].axes['valence']['auc']} {found[name].axes['arousal']['auc']}", flush=True)
        write(config, typed, whole, found, missing)
    write(config, typed, whole, found, missing)
    print(table(found), flush=True)
    return 0


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


def table(found: Mapping[str, Scores]) -> str:
    """Lay out the rows that were measured."""
    rows = []
    for name, scores in found.items():
        ccc = np.mean([scores.axes[axis]["ccc"].value for axis in scores.axes])
        figures: list[Figure | None] = [scores.axes[axis]["auc"] for axis in ("valence", "arousal")]
        cells = [_three(figure) for figure in [*figures, scores.quadrant_accuracy]]
        rows.append([title(name), *cells, "" if name == "svm" else f"{ccc:.3f}"])
    return markdown_table(["model", "AUC V", "AUC A", "quadrants", "CCC (of signs)"], rows)


def write(
    config: RecordingsTableConfig, typed: str, whole: RunFolder, found: Mapping[str, Scores], missing: Mapping[str, str]
) -> None:
    """Write the table with what must stand beside it: what the labels are, doubts, and rows that are missing."""
    record = whole.data_record
    notes = [
        f"{record.songs} songs of {record.corpus} ({record.label_set}), {record.artists} artists; {config.folds} folds "
        "by artist, each song predicted by models that heard none of its artist's. Of the other folds' songs, 15 % "
        "choose epochs and penalties. Intervals: 95 % over the songs of all folds together."
    ]
    notes += [f"{title(name)}: {doubt}." for name in found if name in ROWS for doubt in ROWS[name].doubts]
    notes += [f"NOT MEASURED: {title(name)} ({lack})." for name, lack in missing.items()]
    left = [title(name) for name in ALL_ROWS if name not in config.rows]
    notes += [f"Not asked for (--rows): {', '.join(left)}."] if left else []
    values: dict[str, Any] = {
        "songs": record.songs,
        "citations": [corpus.citation for corpus in record.corpora],
        "folds": config.folds,
        "seed": config.seed,
        "python": platform.python_version(),
        "rows": {name: {"title": title(name), **scores.as_json()} for name, scores in found.items()},
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
