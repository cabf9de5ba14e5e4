"""`python -m teacher.predict SONG...`: what a trained teacher says of any audio files, as lines and on the plane."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pocketmood.emotion import Emotion, mood_word, quadrant, to_nine
from pocketmood.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pocketmood.spec import MelSpec

    Asked = Callable[[NDArray[np.float32]], tuple[Emotion, Emotion]]
    """A waveform [S] -> its emotion and rater_sd."""

LONGEST_NAME = 32
"""Characters of a name in the picture; longer ones lose their middle."""


class Answer(NamedTuple):
    """What the teacher said of one file."""

    file: Path
    emotion: Emotion
    rater_sd: Emotion
    """Standard deviation expected of one listener's rating."""


def main(args: Sequence[str] | None = None) -> int:
    """Answer file by file and draw the plane; return 1 if a file could not be read, else 0.

    A file that is no music gets a line on stderr, and the others go on. RunError where RUN has no trained teacher.
    """
    chosen = parser().parse_args(args)
    spec, teacher = open_teacher(chosen.run / "teacher")
    answers = answer_files(chosen.songs, spec, teacher)
    if answers:
        import numpy as np

        from teacher import plots

        names = [short(answer.file.stem) for answer in answers]
        emotion, rater_sd = (
            np.array([getattr(answer, part) for answer in answers]) for part in ("emotion", "rater_sd")
        )
        out = chosen.out or chosen.run / "try.png"
        plots.answers_on_plane(names, emotion, rater_sd, out)
        print(f"drawn: {out}", flush=True)
    return int(len(answers) < len(chosen.songs))


def parser() -> argparse.ArgumentParser:
    """Build the parser; nothing heavy is imported for it."""
    made = argparse.ArgumentParser(
        prog="python -m teacher.predict",
        description="Print one line per file: valence and arousal in [-1, 1], each with the standard "
        "deviation expected of one listener's rating and its place on the 1-9 scale, then mood word and "
        "quadrant; and draw them on the plane.",
    )
    made.add_argument("songs", nargs="+", metavar="SONG", type=Path, help="audio in any format libsndfile reads")
    made.add_argument("--run", type=Path, default=Path("runs/demo"), help="run with a trained teacher (%(default)s)")
    made.add_argument("--out", type=Path, metavar="PNG", help="picture to write (default: RUN/try.png)")
    return made


def open_teacher(folder: Path) -> tuple[MelSpec, Asked]:
    """Return the spectrogram of a trained teacher, and a function from a waveform [S] to emotion and rater_sd."""
    import torch

    from pocketmood.mel import MelFrontEnd
    from pocketmood.spec import MelSpec
    from pocketmood.training.device import default_device
    from teacher.finetune import answer_mels
    from teacher.vit import load_teacher

    teacher, values = load_teacher(folder)
    spec = MelSpec.from_dict(values["spec"])
    place = default_device()
    front = MelFrontEnd(spec, values["vit"]["stride"], values["vit"]["frames"]).to(place)
    teacher.to(place)

    def ask(wave: NDArray[np.float32]) -> tuple[Emotion, Emotion]:
        with torch.no_grad():
            mel = front(torch.from_numpy(wave)[None].to(place))
        emotion, rater_sd = (Emotion(*map(float, part[0])) for part in answer_mels(teacher, mel)[:2])
        return emotion, rater_sd

    return spec, ask


def answer_files(files: Sequence[Path], spec: MelSpec, ask: Asked) -> list[Answer]:
    """Decode and ask one file after the other, printing as it goes; what cannot be decoded is left out."""
    from pocketmood.audio import load

    width = max(len(str(file)) for file in files)
    answers = []
    for file in files:
        try:
            wave = load(file, spec)
        except AudioError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            continue
        answers.append(Answer(file, *ask(wave)))
        print(line(answers[-1], width), flush=True)
    return answers


def line(answer: Answer, width: int = 0) -> str:
    """Write an answer as one line for people."""
    axes = "  ".join(
        f"{axis} {value:+.2f} ± {rater_sd:.2f} ({to_nine(value):.1f} on 1-9)"
        for axis, value, rater_sd in zip(Emotion._fields, answer.emotion, answer.rater_sd, strict=True)
    )
    return f"{answer.file!s:<{width}}  {axes}  {mood_word(answer.emotion)} ({quadrant(answer.emotion)})"


def short(name: str) -> str:
    """Cut the middle out of a long name."""
    half = (LONGEST_NAME - 1) // 2
    return name if len(name) <= LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


if __name__ == "__main__":
    from pocketmood import command

    command.start(main)
