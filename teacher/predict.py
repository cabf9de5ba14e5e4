"""Predictions of a trained teacher for audio files: one line per file, the plane, and where the teacher looked.

python -m teacher.predict SONG... [--run RUN] [--out PNG]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pocketmood import command
from pocketmood.emotion import Emotion, mood_word, quadrant, to_nine
from pocketmood.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pocketmood.bundle import Predictor
    from pocketmood.spec import MelSpec

DESCRIPTION = """Print one line per file: valence and arousal in [-1, 1], each with the standard deviation expected of
one listener's rating (or, of a teacher whose songs had no deviations, of its own misses) and its place on the 1-9
scale, then mood word and quadrant; draw them on the plane, and where in each spectrogram the teacher looked (attention
rollout)."""
LONGEST_NAME = 32
"""Characters of a name in the picture; longer ones lose their middle."""


@dataclass(frozen=True)
class PredictConfig:
    """Which songs, and which teacher."""

    songs: tuple[Path, ...]
    """Audio files in any format that libsndfile reads."""
    run: Path = Path("runs/demo")
    """Run with a trained teacher."""
    out: Path | None = None
    """Picture to write (PNG); RUN/predict.png if left out."""
    attention: int = 6
    """Songs, from the first on, for which a second picture shows where the teacher looked: attention rollout over the
    spectrogram, in seconds and Hz, beside the first as ...-attention.png. 0: no such picture."""

    def __post_init__(self) -> None:
        """Refuse to predict for nothing."""
        if not self.songs:
            raise ConfigError("no song was named; type: python -m teacher.predict SONG... --run RUN")
        if self.attention < 0:
            raise ConfigError(f"attention {self.attention} must not be negative")


class Prediction(NamedTuple):
    """A teacher's prediction for one file."""

    file: Path
    emotion: Emotion
    rater_sd: Emotion
    """Standard deviation expected of one listener's rating."""


def main(args: Sequence[str] | None = None) -> int:
    """Predict for the files of a command line."""
    return run(command.parse(PredictConfig, "python -m teacher.predict", DESCRIPTION, args, positional=True))


def run(config: PredictConfig) -> int:
    """Predict file by file and draw both pictures; return 1 if a file could not be read, else 0.

    A file that is no music gets a line on stderr, and the others go on. RunError where RUN has no trained teacher.
    """
    from pocketmood.data.run_folder import RunFolder

    # The folder, not `made`: a copied teacher without its stage.json predicts as well.
    folder = RunFolder(config.run).folder("teacher")
    spec, predict = open_teacher(folder)
    predictions = predict_files(config.songs, spec, predict)
    if predictions:
        import numpy as np

        from teacher import plots

        names = [short(prediction.file.stem) for prediction in predictions]
        emotion = np.array([prediction.emotion for prediction in predictions])
        rater_sd = np.array([prediction.rater_sd for prediction in predictions])
        out = config.out or config.run / "predict.png"
        plots.predictions_on_plane(names, emotion, rater_sd, out)
        print(f"drawn: {out}", flush=True)
        if config.attention:
            looked = out.with_name(f"{out.stem}-attention.png")
            draw_attention(folder, [prediction.file for prediction in predictions[: config.attention]], looked)
            # The company may have no network with attention, which was said then.
            if looked.is_file():
                print(f"drawn: {looked}", flush=True)
    return int(len(predictions) < len(config.songs))


def open_teacher(folder: Path) -> tuple[MelSpec, Predictor]:
    """Return the spectrogram of a trained teacher, and a function from a waveform [S] to emotion and rater_sd."""
    # Inside the function: torch and transformers take seconds to import, and --help needs neither.
    from teacher.company.open import open_company

    company = open_company(folder)
    return company.spec, company.hear


def predict_files(files: Sequence[Path], spec: MelSpec, predict: Predictor) -> list[Prediction]:
    """Decode file after file and predict, printing as it goes; what cannot be decoded is left out."""
    from pocketmood.audio import load

    # Lines appear as files are done, so the widest name must be known before the first.
    width = max(len(str(file)) for file in files)
    predictions = []
    for file in files:
        try:
            wave = load(file, spec)
        except AudioError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            continue
        predictions.append(Prediction(file, *predict(wave)))
        print(line(predictions[-1], width), flush=True)
    return predictions


def draw_attention(folder: Path, files: Sequence[Path], out: Path) -> None:
    """Draw where the teacher of a folder looked in the spectrograms of audio files that can be decoded."""
    from pocketmood.audio import load
    from pocketmood.training.device import default_device
    from teacher import attention_picture
    from teacher.company.open import network_folder
    from teacher.vit import load_teacher

    # Decoded once more: a list of a thousand songs must not wait in memory for a picture of six.
    # Attention is one network's: in a company, that of the first member that has any.
    looking = network_folder(folder)
    if looking is None:
        print("no picture of attention: no member of this company is a network with attention", flush=True)
        return
    teacher, saved = load_teacher(looking)
    teacher.to(default_device())
    looks = [
        attention_picture.look(teacher, saved, load(file, saved.training.spec), short(file.stem)) for file in files
    ]
    attention_picture.draw(looks, out, saved.training.spec)


def line(prediction: Prediction, width: int = 0) -> str:
    """Write a prediction as one line for people."""
    axes = "  ".join(
        f"{axis} {value:+.2f} ± {rater_sd:.2f} ({to_nine(value):.1f} on 1-9)"
        for axis, value, rater_sd in zip(Emotion._fields, prediction.emotion, prediction.rater_sd, strict=True)
    )
    return f"{prediction.file!s:<{width}}  {axes}  {mood_word(prediction.emotion)} ({quadrant(prediction.emotion)})"


def short(name: str) -> str:
    """Cut the middle out of a long name."""
    # The middle, because songs of one album share their beginning and often differ in their end.
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


if __name__ == "__main__":
    command.start(main)
