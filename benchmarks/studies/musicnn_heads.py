"""What to put on frozen MSD_musicnn: which of its layers, beside the floor's statistics or not, a ridge or a kernel.

    python -m benchmarks.studies.musicnn_heads --run RUN

Five folds by artist over the run's rated songs, each song predicted once by a head that has not met its artist. Inside
a fold, penalties are chosen out of fold among its other songs, and so is the arm of the row "chosen inside": that row
is what one may expect of the choice, the best row is what looking at all folds makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from pocketmood import signs, standing_warnings
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from teacher.musicnn.features import Listener

NAME = "benchmarks.studies.musicnn_heads"
CHOSEN = "chosen inside"
ARMS = {
    "floor alone, ridge": (("floor",), "linear"),
    "tags, ridge": (("tags",), "linear"),
    "units below the tags, ridge": (("units",), "linear"),
    "units and tags, ridge": (("units", "tags"), "linear"),
    "means in time, ridge": (("mean",), "linear"),
    "all layers, ridge": (("mean", "max", "deviation", "units", "tags"), "linear"),
    "all layers and floor, ridge": (("mean", "max", "deviation", "units", "tags", "floor"), "linear"),
    "units and tags, kernel": (("units", "tags"), "gaussian"),
    "all layers, kernel": (("mean", "max", "deviation", "units", "tags"), "gaussian"),
    "all layers and floor, kernel": (("mean", "max", "deviation", "units", "tags", "floor"), "gaussian"),
}
"""Name -> features, and the head above them."""
DEFAULT = "all layers, kernel"
"""The teacher's own (`teacher/musicnn/frozen.py`): differences are taken to it."""


@dataclass(frozen=True)
class MusicnnHeadsConfig:
    """The study of heads: on which run, how many folds."""

    run: Path
    """Run folder; its data stage must be finished. The split is not used, all rated songs are dealt to folds."""
    weights: Path | None = None
    """Folder with the network's weights; those of `make weights` if left out."""
    folds: int = 5
    """Folds by artist."""
    seeds: int = 2
    """Ways to deal artists to folds; predictions are the mean over them, each out of fold."""
    out: Path = RESULTS / "musicnn-heads"
    """Where the table goes, without its endings .md and .json."""

    def __post_init__(self) -> None:
        """Refuse what has nothing to compare."""
        if self.folds < 3 or self.seeds < 1:
            raise ConfigError(f"--folds {self.folds} must be at least 3, --seeds {self.seeds} at least 1")


@dataclass(frozen=True)
class Row:
    """One arm."""

    name: str
    """What it is called."""
    features: int
    """Numbers that describe a clip; 0 for the row that chooses among arms."""
    auc_valence: tuple[float, float, float]
    auc_arousal: tuple[float, float, float]
    quadrant_accuracy: tuple[float, float, float]
    """Value, and ends of its 95 % interval over songs."""
    difference: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Metric -> this arm less the default, with its paired interval."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the study from the command line."""
    return run(*parse_command(MusicnnHeadsConfig, NAME, __doc__, args))


def run(config: MusicnnHeadsConfig, typed: str = f"python -m {NAME}") -> int:
    """Describe the songs, cross-validate every arm, write and print the table."""
    from pocketmood.training.weights import find
    from teacher.musicnn.config import published
    from teacher.musicnn.features import Listener

    run = RunFolder(config.run)
    # Found before anything is computed: without weights there is nothing to study.
    first = find(published(config.weights))
    store = run.store
    # The run's split plays no part: all rated songs are dealt anew.
    songs = [clip.id for clip in store.clips if clip.label is not None]
    parts = describe(store, songs, Listener.open(first))

    labels = store.labels(songs).astype(np.float64)
    predicted = cross_validate(store, songs, parts, labels, config)
    rows = [_row(name, predicted, parts, labels, songs) for name in predicted]
    table = _table(rows)
    notes = [
        f"{len(songs)} songs, {config.folds} folds by artist, {config.seeds} ways to deal them; intervals over songs.",
        f"Differences in the JSON are to {DEFAULT!r}, the teacher's default. {CHOSEN!r} takes, in each fold, the arm "
        "of the least squared error among the fold's other songs, out of fold; the other rows were all looked at.",
        *standing_warnings.of_musicnn(),
    ]
    print(table)
    write_result(
        config.out,
        "Heads on frozen MSD_musicnn",
        typed,
        {"songs": len(songs), "weights": str(first), "warnings": standing_warnings.of_musicnn()}
        | {"rows": [asdict(row) for row in rows]},
        [table, *notes],
    )
    return 0


def describe(store: ClipStore, songs: Sequence[str], listener: Listener) -> dict[str, NDArray[np.floating[Any]]]:
    """Describe whole clips, by part of the network and by the floor: name -> [N, F]."""
    from teacher import floor
    from teacher.musicnn.config import FEATURES
    from teacher.musicnn.features import make_table

    whole = [(0.0, store.samples / store.sample_rate)]
    table = make_table(store, songs, whole, listener, FEATURES)[:, 0]
    channels, units = listener.network.channels, listener.network.units
    # In the order in which `features.py` joins them.
    ends = np.cumsum([channels, channels, channels, units])
    named = dict(zip(("mean", "max", "deviation", "units", "tags"), np.split(table, ends, axis=1), strict=True))
    return named | {"floor": floor.store_features(store, songs)}


def cross_validate(
    store: ClipStore,
    songs: Sequence[str],
    parts: Mapping[str, NDArray[np.floating[Any]]],
    labels: NDArray[np.float64],
    config: MusicnnHeadsConfig,
) -> dict[str, NDArray[np.float64]]:
    """Predict every song by every arm, and by the arm that is chosen inside its fold: name -> [N, 2]."""
    from teacher.musicnn.frozen import folds_by_artist
    from teacher.musicnn.head import fit

    predicted = {name: np.zeros_like(labels) for name in (*ARMS, CHOSEN)}
    for seed in range(config.seeds):
        folds = folds_by_artist(store, songs, config.folds, seed)
        for fold in range(config.folds):
            train, test = folds != fold, folds == fold
            # By artist again: penalties chosen on songs of known artists would be too small.
            inner = folds_by_artist(store, [name for name, met in zip(songs, train, strict=True) if met], 5, seed)
            errors = {}
            for name, (wanted, kernel) in ARMS.items():
                features = np.concatenate([parts[part] for part in wanted], 1)
                head = fit(features[train], labels[train], inner, kernel)  # type: ignore[arg-type]
                predicted[name][test] += head.predict(features[test]) / config.seeds
                errors[name] = float(((head.predict(features[train], inner + 1) - labels[train]) ** 2).mean())
                # The least so far; after the last arm it is the least of all.
                if errors[name] == min(errors.values()):
                    best = head.predict(features[test])
            predicted[CHOSEN][test] += best / config.seeds
    return predicted


def _row(
    name: str,
    predicted: Mapping[str, NDArray[np.float64]],
    parts: Mapping[str, NDArray[np.floating[Any]]],
    labels: NDArray[np.float64],
    songs: Sequence[str],
) -> Row:
    """Score an arm, and compare it with the default."""
    values = signs.score(predicted[name], labels)
    intervals = signs.score_intervals(predicted[name], labels, songs)
    scored = {metric: (values[metric], *intervals[metric]) for metric in signs.NAMES}
    # The default less itself is zero, and no finding.
    paired = signs.paired_differences(predicted[name], predicted[DEFAULT], labels, songs) if name != DEFAULT else {}
    # The row that chooses has no width of its own.
    width = sum(parts[part].shape[1] for part in ARMS[name][0]) if name in ARMS else 0
    difference = {metric: (found[0], found[1], found[2]) for metric, found in paired.items()}
    valence, arousal, quadrants = (scored[metric] for metric in signs.NAMES)
    return Row(name, width, valence, arousal, quadrants, difference)


def _table(rows: Sequence[Row]) -> str:
    """Lay the rows out."""

    def cell(value: tuple[float, float, float]) -> str:
        return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"

    headings = ["head", "features", *(signs.TITLES[name] for name in signs.NAMES)]
    cells = [
        [row.name, str(row.features or ""), *(cell(getattr(row, metric)) for metric in signs.NAMES)] for row in rows
    ]
    return markdown_table(headings, cells)


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
