"""What the study of the generator found, epoch by epoch: read from its folders, laid out as tables and sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe
from benchmarks.studies.gan_arms import ARMS
from benchmarks.studies.result_files import markdown_table
from benchmarks.table import number
from pocketmood.runs import read_json
from teacher.gan.config import GanConfig

if TYPE_CHECKING:
    from teacher.gan.turns import TurnRecord

MEASURED, PLAYED, SETTINGS = "measured.json", "epochs.jsonl", "settings.json"
PARTS = ("frechet", "kernel", "moments", "smoothness", "profile", "range")


@dataclass(frozen=True)
class Played:
    """One epoch of a training: means over its turns, and what the balance rules did."""

    epoch: int
    """From 1."""
    turns: int
    """In this epoch."""
    cpu_s: float
    """Seconds of the processor, measuring left out."""
    generator_loss: float
    discriminator_loss: float
    accuracy_real: float
    accuracy_fake: float
    """Means over the turns."""
    generator_steps: int
    discriminator_steps: int
    """Optimiser steps of each network."""
    weak_turns: int
    """Turns in which the adversary was too weak and stepped again."""
    strong_turns: int
    """Turns after which it was too strong."""

    @classmethod
    def of(cls, epoch: int, turns: Sequence[TurnRecord], cpu_s: float, strong: float) -> Played:
        """Sum up the turns of an epoch; strong: accuracy above which the adversary has won for now."""

        def mean(name: str) -> float:
            return float(sum(getattr(turn, name) for turn in turns) / len(turns))

        return cls(
            epoch,
            len(turns),
            round(cpu_s, 2),
            mean("generator_loss"),
            mean("discriminator_loss"),
            mean("accuracy_real"),
            mean("accuracy_fake"),
            sum(turn.generator_steps for turn in turns),
            sum(turn.discriminator_steps for turn in turns),
            sum(turn.discriminator_steps > 1 for turn in turns),
            sum((turn.accuracy_real + turn.accuracy_fake) / 2 > strong for turn in turns),
        )


_GOES_ON = (
    " A training that is not finished was stopped early: the command goes on with it, given more `--minutes`, and "
    "`--arms` names it."
)


def read_played(folder: Path) -> list[Played]:
    """Read the epochs of a training so far."""
    path = folder / PLAYED
    return [Played(**json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []


def differences(config: GanConfig) -> dict[str, Any]:
    """Return the fields in which a config differs from the recipe's."""
    # A field that is new, and at its default, changes no training: its folder must go on fitting.
    recipe = GanConfig()
    names = [field.name for field in fields(config)]
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(recipe, name)}


def collect(folder: Path, facts: dict[str, Any], epochs: int, minutes: float) -> dict[str, Any]:
    """Read every training of a run, in the order of the arms; epochs, CPU minutes: either makes one finished."""
    arms = []
    for arm in ARMS.values():
        played = read_played(folder / arm.name)
        if not played:
            continue
        points = [_point(path.parent, played) for path in sorted((folder / arm.name).glob(f"epoch-*/{MEASURED}"))]
        last, spent = played[-1], sum(epoch.cpu_s for epoch in played) / 60
        arms.append(
            {
                "name": arm.name,
                "title": arm.title,
                "settings": read_json(folder / arm.name / SETTINGS)["gan"],
                "epochs": last.epoch,
                "finished": last.epoch >= epochs or spent >= minutes > 0,
                "cpu_minutes": round(spent, 1),
                "points": points,
            }
        )
    return {"arms": arms, **facts, "machine": describe()}


def _point(folder: Path, played: Sequence[Played]) -> dict[str, Any]:
    """Put a measurement beside what had been played until then, and the losses of the epochs since the one before."""
    epoch = int(folder.name.removeprefix("epoch-"))
    until = [row for row in played if row.epoch <= epoch]
    sums = {name: sum(getattr(row, name) for row in until) for name in _SUMS}
    recent = asdict(until[-1]) if until else {}
    means = {name: recent.get(name) for name in _MEANS}
    # A name, by which pages quote a point.
    return {"name": f"epoch {epoch}", "epoch": epoch, **sums, **means, **read_json(folder / MEASURED)}


_SUMS = ("turns", "cpu_s", "generator_steps", "discriminator_steps", "weak_turns", "strong_turns")
_MEANS = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake")


def line(arm: str, folder: Path, played: Played) -> str:
    """Say in one line what was just measured."""
    point = read_json(folder / f"epoch-{played.epoch:04d}" / MEASURED)
    parts = " ".join(f"{name} {point[f'similarity_{name}']:.2f}" for name in PARTS)
    return (
        f"{arm} epoch {played.epoch}: score {point['score']:.1f} ({parts}), read back {point['conditioning_ccc']:.2f}, "
        f"right on real {played.accuracy_real:.2f}, on synthetic {played.accuracy_fake:.2f}"
    )


def report(results: dict[str, Any]) -> list[str]:
    """Lay out a table per training, and one that compares them, as paragraphs of Markdown."""
    parts = [_sentence(results), _comparison(results)]
    for arm in results["arms"]:
        parts += [f"## {arm['title']}", _curve(arm)]
    return parts


def _sentence(results: dict[str, Any]) -> str:
    """Say what the numbers are."""
    machine = results["machine"]
    goes_on = "" if all(arm["finished"] for arm in results["arms"]) else _GOES_ON
    return (
        f"{results['songs']} training songs; every generator is measured on {results['clips']} clips against as many "
        f"real ones, of which the other half reaches {results['real_half']['score']:.1f}. Score: 0 to 100, formula in "
        "`teacher/gan/quality.py`. Variety: how much the mean levels of bands differ from clip to clip, as a share of "
        "what they do in songs; 0 is one clip over and over. Read back: mean CCC of the emotions asked for and those "
        f"that the ridge floor reads. CPU minutes: of one core of {machine['cpu']}, training alone. Steps, turns and "
        "minutes are counted from the beginning; losses and shares of right judgements are means of the epoch."
        f"{goes_on}"
    )


def _comparison(results: dict[str, Any]) -> str:
    """Compare the trainings at equal epochs with the first, and at their best."""
    first, rows = results["arms"][0], []
    for arm in results["arms"]:
        best, last = max(arm["points"], key=lambda point: point["score"]), arm["points"][-1]
        same = next((point["score"] for point in first["points"] if point["epoch"] == last["epoch"]), None)
        cells = [str(arm["epochs"]), "yes" if arm["finished"] else "no", number(arm["cpu_minutes"], 1)]
        cells += [number(last["score"], 1), number(same, 1), number(best["score"], 1), str(best["epoch"])]
        rows.append([arm["title"], *cells, number(last["conditioning_ccc"], 2)])
    headings = ["training", "epochs", "finished", "CPU minutes", "score", f"{first['title']} then", "best score"]
    return markdown_table([*headings, "at epoch", "read back"], rows)


def _curve(arm: dict[str, Any]) -> str:
    """Lay out one training, a row per measurement."""
    headings = ["epoch", "CPU minutes", "score", *PARTS, "variety", "read back", "loss G", "loss D", "right on real"]
    headings += ["right on synthetic", "steps G", "steps D", "turns with D weak", "with D strong"]
    rows = []
    for point in arm["points"]:
        cells = [number(point["cpu_s"] / 60, 1), number(point["score"], 1)]
        cells += [number(point[f"similarity_{name}"], 2) for name in PARTS]
        cells += [number(point.get("variety"), 2), number(point["conditioning_ccc"], 2)]
        cells += [number(point[name], 2) for name in _MEANS]
        counts = ("generator_steps", "discriminator_steps", "weak_turns", "strong_turns")
        rows.append([str(point["epoch"]), *cells, *(str(point[name]) for name in counts)])
    return markdown_table(headings, rows)
