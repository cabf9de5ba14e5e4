"""The `pocketmood` command; `predict` imports numpy, onnxruntime, soundfile and soxr, and nothing heavier."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    words = sys.argv[1:] if args is None else list(args)
    if words and words[0] in DELEGATED:
        return int(importlib.import_module(DELEGATED[words[0]]).main(words[1:]) or 0)
    chosen = parser().parse_args(words)
    answers = predict(chosen.files, find_bundle(chosen.bundle), chosen.runtime, chosen.precision, chosen.json)
    return int(any("error" in answer for answer in answers))


def parser() -> argparse.ArgumentParser:
    """Build the parser of `predict` and of the help that names the other commands."""
    top = argparse.ArgumentParser(prog="pocketmood", description="Tell how music feels.")
    top.add_argument("--version", action="version", version=f"pocketmood {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "predict",
        help="tell the emotion of audio files",
        description="Print one line per file: valence and arousal in [-1, 1], each with its spread (the mean rating of "
        "68 percent of songs lies that near), mood word, quadrant, and the time from file to answer.",
    )
    one.add_argument("files", nargs="+", metavar="FILE", type=Path, help="audio in any format libsndfile reads")
    one.add_argument("--bundle", type=Path, metavar="FOLDER", help=f"bundle folder (default: ${BUNDLE_VARIABLE})")
    one.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0], help="default: %(default)s")
    one.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="default: %(default)s")
    one.add_argument("--json", action="store_true", help="print one JSON list instead of lines")
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


def predict(files: Sequence[Path], folder: Path, runtime: str, precision: str, as_json: bool) -> list[dict[str, Any]]:
    """Answer file by file, printing as it goes; what is no music gets a line on stderr and the rest goes on."""
    from pocketmood.bundle import Bundle

    bundle = Bundle.open(folder)
    predictor = bundle.predictor(runtime, precision)
    width = max(len(str(file)) for file in files)
    answers = []
    for file in files:
        answer = answer_file(file, bundle.spec, predictor)
        answers.append(answer)
        if "error" in answer:
            print(answer["error"], file=sys.stderr, flush=True)
        elif not as_json:
            print(line(answer, width), flush=True)
    if as_json:
        print(json.dumps(answers, indent=2))
    return answers


def answer_file(file: Path, spec: MelSpec, predictor: Predictor) -> dict[str, Any]:
    """Decode one file and ask the model; return the answer, or the file and its "error"."""
    from pocketmood.audio import load
    from pocketmood.emotion import mood_word, quadrant

    started = time.perf_counter()
    try:
        wave = load(file, spec)
    except AudioError as error:
        return {"file": str(file), "error": str(error)}
    emotion, spread = predictor(wave)
    return {
        "file": str(file),
        "valence": round(float(emotion.valence), 4),
        "arousal": round(float(emotion.arousal), 4),
        "valence_spread": round(float(spread.valence), 4),
        "arousal_spread": round(float(spread.arousal), 4),
        "mood": mood_word(emotion),
        "quadrant": quadrant(emotion),
        "milliseconds": round(1000 * (time.perf_counter() - started), 1),
    }


def line(answer: dict[str, Any], width: int = 0) -> str:
    """Write an answer as one line for people."""
    return (
        f"{answer['file']:<{width}}"
        f"  valence {answer['valence']:+.2f} ± {answer['valence_spread']:.2f}"
        f"  arousal {answer['arousal']:+.2f} ± {answer['arousal_spread']:.2f}"
        f"  {answer['mood']} ({answer['quadrant']})"
        f"  {answer['milliseconds']:.0f} ms"
    )
