"""The `pocketmood` command; `predict` imports numpy, onnxruntime, soundfile and soxr, and nothing heavier."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketmood import __version__
from pocketmood.errors import AudioError, BundleError

if TYPE_CHECKING:
    from pocketmood.bundle import Predictor
    from pocketmood.spec import MelSpec

BUNDLE_VARIABLE = "POCKETMOOD_BUNDLE"
RUNTIMES = ("onnxruntime", "executorch")
PRECISIONS = ("fp32", "int8")
DELEGATED = {
    "data": "pocketmood.data.stage",
    "render": "pocketmood.data.corpora.rendered",
    "archive": "pocketmood.archive",
}
"""Commands with a module of their own, which reads its own flags and is imported only when it is asked for."""


@dataclass(frozen=True)
class FilePrediction:
    """What a model predicts for one file: an entry of the list that `--json` prints."""

    file: str
    """Path of the file."""
    valence: float
    """Unpleasant to pleasant, in [-1, 1]."""
    arousal: float
    """Calm to excited, in [-1, 1]."""
    valence_interval68: float
    """Half the width of the 68 % interval of the song's mean rating."""
    arousal_interval68: float
    """The same for arousal."""
    mood: str
    """The emotion in one word, as "relaxed"."""
    quadrant: str
    """The quadrant of the emotion, in words."""
    milliseconds: float
    """From opening the file to the prediction."""

    def line(self, width: int = 0) -> str:
        """Write it as one line for people, the file's name filled up to so many characters."""
        return (
            f"{self.file:<{width}}"
            f"  valence {self.valence:+.2f} ± {self.valence_interval68:.2f}"
            f"  arousal {self.arousal:+.2f} ± {self.arousal_interval68:.2f}"
            f"  {self.mood} ({self.quadrant})"
            f"  {self.milliseconds:.0f} ms"
        )


@dataclass(frozen=True)
class UnreadableFile:
    """A file that is no usable audio; stands in the list of `--json`, too."""

    file: str
    """Path of the file."""
    error: str
    """A whole sentence that begins with the file's name."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code: 1 where a file could not be read."""
    words = sys.argv[1:] if args is None else list(args)
    # Looked at before argparse, so that the parsers of other commands, and tyro with them, load only when asked for.
    if words and words[0] in DELEGATED:
        return int(importlib.import_module(DELEGATED[words[0]]).main(words[1:]) or 0)
    chosen = parser().parse_args(words)
    predictions = predict(chosen.files, find_bundle(chosen.bundle), chosen.runtime, chosen.precision, chosen.json)
    return int(any(isinstance(prediction, UnreadableFile) for prediction in predictions))


def parser() -> argparse.ArgumentParser:
    """Build the parser of `predict` and of the help that names the other commands."""
    top = argparse.ArgumentParser(prog="pocketmood", description="Tell how music feels.")
    top.add_argument("--version", action="version", version=f"pocketmood {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    files = commands.add_parser(
        "predict",
        help="tell the emotion of audio files",
        description="Print one line per file: valence and arousal in [-1, 1], each with half the width of its interval "
        "(the mean rating of 68 percent of songs lies that near), mood word, quadrant, and the time that it took.",
    )
    files.add_argument("files", nargs="+", metavar="FILE", type=Path, help="audio in any format libsndfile reads")
    files.add_argument("--bundle", type=Path, metavar="FOLDER", help=f"bundle folder (default: ${BUNDLE_VARIABLE})")
    files.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0], help="default: %(default)s")
    files.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="default: %(default)s")
    files.add_argument("--json", action="store_true", help="print one JSON list instead of lines")

    # Named for the help alone: `main` hands these to their own modules.
    commands.add_parser("data", help="decode, label and split a music folder (needs the extra `train`)", add_help=False)
    commands.add_parser("render", help="render the stand-in corpus (needs the extra `demo`)", add_help=False)
    commands.add_parser("archive", help="zip what is worth keeping of a run", add_help=False)
    return top


def find_bundle(folder: Path | None) -> Path:
    """Return the bundle that was asked for, by flag or by environment."""
    if folder is None and os.environ.get(BUNDLE_VARIABLE):
        folder = Path(os.environ[BUNDLE_VARIABLE])
    if folder is None:
        raise BundleError(
            f"no bundle to predict with: pass --bundle FOLDER or set {BUNDLE_VARIABLE}. "
            "`make demo` in a checkout makes one: runs/demo/bundle"
        )
    return folder


def predict(
    files: Sequence[Path], folder: Path, runtime: str, precision: str, as_json: bool
) -> list[FilePrediction | UnreadableFile]:
    """Predict file by file, printing as it goes; what is no music gets a line on stderr and the rest goes on."""
    from pocketmood.bundle import Bundle

    bundle = Bundle.open(folder)
    predictor = bundle.predictor(runtime, precision)
    # Once, and not among the predictions: those may go through a pipe.
    for sentence in bundle.warnings:
        print(f"warning: {sentence}", file=sys.stderr, flush=True)
    width = max(len(str(file)) for file in files)
    predictions = []
    for file in files:
        prediction = predict_file(file, bundle.spec, predictor)
        predictions.append(prediction)
        # Flushed line by line: whoever pipes a long list sees each prediction when it is there.
        if isinstance(prediction, UnreadableFile):
            print(prediction.error, file=sys.stderr, flush=True)
        elif not as_json:
            print(prediction.line(width), flush=True)
    if as_json:
        print(json.dumps([asdict(prediction) for prediction in predictions], indent=2))
    return predictions


def predict_file(file: Path, spec: MelSpec, predictor: Predictor) -> FilePrediction | UnreadableFile:
    """Decode one file and let the model predict; numbers are rounded to what the model is good for."""
    from pocketmood.audio import load
    from pocketmood.emotion import mood_word, quadrant

    # Started after the imports: they cost once per command, whatever the number of files.
    started = time.perf_counter()
    try:
        wave = load(file, spec)
    except AudioError as error:
        return UnreadableFile(str(file), str(error))
    emotion, interval68 = predictor(wave)
    return FilePrediction(
        file=str(file),
        valence=round(float(emotion.valence), 4),
        arousal=round(float(emotion.arousal), 4),
        valence_interval68=round(float(interval68.valence), 4),
        arousal_interval68=round(float(interval68.arousal), 4),
        mood=mood_word(emotion),
        quadrant=quadrant(emotion),
        milliseconds=round(1000 * (time.perf_counter() - started), 1),
    )
