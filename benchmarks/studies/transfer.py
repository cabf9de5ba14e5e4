"""How a bundle does on a corpus that it was not trained on, beside descriptors that anybody computes in a line.

    python -m benchmarks.studies.transfer --bundle runs/demo/bundle --corpus 4q --music /path/to/4q

Per axis: AUC of the label's sign, rank correlation, CCC, bias and range, each with its interval over songs. The corpus
is made by the data stage in RUN (`runs/transfer-4q` unless --run says where), so a killed study continues, and clips
are the middle 30 s that training hears. `unseen_corpus` asks another question: what a student keeps of its teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.studies import transfer_scores
from benchmarks.studies.descriptors import describe
from benchmarks.studies.known_songs import refuse_known_songs
from benchmarks.studies.result_files import RESULTS, parse_command, write_result
from pocketmood import command
from pocketmood.bundle import SUFFIXES, Bundle
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.stage import DataConfig
from pocketmood.data.stage import run as make_data
from pocketmood.errors import ConfigError, DataError
from pocketmood.label_kind import QUADRANTS
from pocketmood.metrics import AXES
from pocketmood.runs import STAGE_FILE, read_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.studies.transfer_scores import Scores
    from pocketmood.data.clips import ClipStore
    from pocketmood.data.record import DataRecord

NAME = "benchmarks.studies.transfer"
LEAST_SONGS = 20
"""With fewer an interval says nothing."""


@dataclass(frozen=True)
class TransferConfig:
    """Which program, and which songs it has not met."""

    bundle: Path
    """The bundle's folder."""
    corpus: str = ""
    """Corpus as in `pocketmood data --corpus`; leave it out where --run has a finished data stage."""
    music: tuple[Path, ...] = ()
    """Folder of each corpus, as in `pocketmood data --music`."""
    run: Path | None = None
    """Run folder whose data stage holds the songs; made from --music where that is given."""
    runtime: Literal["onnxruntime", "executorch"] = "onnxruntime"
    """Which runtime's program predicts."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Which of its programs."""
    out: Path = RESULTS / "transfer"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse a study without songs."""
        if bool(self.corpus) != bool(self.music):
            raise ConfigError(f'--corpus "{self.corpus}" and --music go together: --corpus 4q --music /path/to/4q')
        if not self.corpus and self.run is None:
            raise ConfigError("no songs: pass --corpus 4q --music /path/to/4q, or --run RUN with a finished data stage")

    @property
    def songs(self) -> RunFolder:
        """The run whose data stage holds the songs."""
        return RunFolder(self.run or Path("runs") / f"transfer-{self.corpus}")

    @property
    def program(self) -> str:
        """Name of the program's file."""
        return f"model.{self.precision}.{SUFFIXES[self.runtime]}"


def main(args: Sequence[str] | None = None) -> int:
    """Score a bundle from the command line."""
    return run(*parse_command(TransferConfig, NAME, __doc__, args))


def run(config: TransferConfig, typed: str = f"python -m {NAME}") -> int:
    """Score the program and the descriptors on all songs with labels; print and write the tables."""
    bundle = Bundle.open(config.bundle)
    if config.corpus:
        make_data(DataConfig(run=config.songs.path, corpus=config.corpus, music=config.music))
    other = config.songs
    ids = [clip.id for clip in other.store.clips if clip.label is not None]
    if len(ids) < LEAST_SONGS:
        raise DataError(f"{other.path}: {len(ids)} songs; give at least {LEAST_SONGS}, or intervals say nothing")
    notes = met_before(config.bundle, other, ids)

    # The window that the program takes, from the middle of each clip: descriptors hear what it hears.
    store = other.store_of(bundle.samples)
    if store.sample_rate != bundle.spec.sample_rate:
        raise DataError(f"{other.path}: {store.sample_rate} Hz, the bundle takes {bundle.spec.sample_rate} Hz")
    emotion = predictions(bundle, config, store, ids)
    labels = store.labels(ids).astype(np.float64)
    scored = {config.program: transfer_scores.of_model(emotion, labels, ids)}
    for name, values in describe(store, ids).named().items():
        scored[name] = transfer_scores.of_order(np.stack([values, values], 1), labels, ids)

    record = other.data_record
    parts = [transfer_scores.table(scored, axis, record.label_kind == QUADRANTS) for axis in AXES]
    parts += [sentence(scored[config.program], len(ids), record), *notes]
    found = {
        "songs": len(ids),
        "corpora": [asdict(corpus) for corpus in record.corpora],
        "notes": notes,
        "rows": {name: scores.as_json() for name, scores in scored.items()},
    }
    write_result(config.out, f"A bundle on {record.corpus}, which it was not trained on", typed, found, parts)
    print("\n\n".join(parts), flush=True)
    return 0


def met_before(bundle: Path, other: RunFolder, ids: Sequence[str]) -> list[str]:
    """Say what the bundle was trained on; DataError where these songs, or unseen songs of the same corpus, may be it.

    Songs are compared sample by sample where the bundle still lies in its run, beside the clips that it learnt from;
    elsewhere by the corpus's name alone.
    """
    labels = read_json(bundle / "bundle.json").get("labels", {})
    trained = labels.get("corpus") or labels.get("set") or "an unknown corpus"
    same = {corpus.title for corpus in other.data_record.corpora} & set(trained.split(" + "))
    known = RunFolder(bundle.parent)
    if (known.folder("data") / STAGE_FILE).is_file():
        try:
            clips = known.store
        except DataError as error:
            if same:
                raise
            return [f"The bundle was trained on {trained}; songs were not compared: {error}."]
        refuse_known_songs(clips, other.store, ids)
        compared = f"None of these songs is, sample by sample, one of the {len(clips)} clips of its run."
        if same:
            compared += f" BUT IT WAS TRAINED ON OTHER SONGS OF {', '.join(sorted(same))}: this is no transfer."
        return [f"The bundle was trained on {trained}. {compared}"]

    if same:
        raise DataError(
            f"{bundle}: trained on {trained}, and its clips do not lie beside it to compare songs with. Give another "
            "corpus, or the bundle in its run (RUN/bundle beside RUN/data)"
        )
    return [f"The bundle was trained on {trained}; songs were not compared, for its clips do not lie beside it."]


def predictions(bundle: Bundle, config: TransferConfig, store: ClipStore, ids: Sequence[str]) -> NDArray[np.float64]:
    """Predict the clips one by one with the chosen program: emotion [N, 2]."""
    predict = bundle.predictor(config.runtime, config.precision)
    return np.array([predict(store.waveform(id_))[0] for id_ in ids], np.float64)


def sentence(scores: Scores, songs: int, record: DataRecord) -> str:
    """Say what the labels are, how many quadrants were right, and how to read the tables."""
    kind = ": only signs can be right or wrong" if record.label_kind == QUADRANTS else ""
    right = f" Quadrants right: {scores.quadrant_accuracy}." if scores.quadrant_accuracy else ""
    return (
        f"{songs} songs of {record.corpus} ({record.label_set}{kind}).{right} AUC of the label's sign; bias: mean "
        "prediction less mean label; range: standard deviation of the prediction over that of the label. In brackets "
        "95 % over songs. A descriptor has no scale of its own, so only its order is scored; below a half it orders "
        "songs the other way round."
    )


if __name__ == "__main__":
    command.start(main)
