"""The table of `soft_target_crops`: four arms per network, each measure beside the first arm's, and what follows.

Conventions: predictions are those of one training for the test songs, N songs, K crops each; a measure is a mean CCC
over seeds, and every interval is paired over songs and seeds (`benchmarks.studies.ablation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from benchmarks.studies import ablation
from benchmarks.studies.ablation import Arm
from benchmarks.studies.result_files import markdown_table, write_result
from pocketmood.metrics import Array


class Choice(NamedTuple):
    """An arm: lengths of the teacher's training batches, and what it hears for a crop's soft target."""

    trained: Literal["whole", "both"]
    ask: Literal["crops", "whole"]

    @property
    def name(self) -> str:
        """The arm as tables and stages call it."""
        return f"{self.trained}, {self.ask}"


ARMS = (Choice("whole", "crops"), Choice("both", "crops"), Choice("whole", "whole"), Choice("both", "whole"))
"""The first is what the others are measured against: the full preset as it was."""
NETWORKS = {
    "picture": "A small vision transformer, which resizes whatever it hears to a square picture",
    "hybrid": "The hybrid, which takes every length as it is",
}
"""The teachers' networks, with the headings of their tables."""
MEASURES = {
    "whole": "teacher, whole clips",
    "song": "teacher, mean of a song's crops",
    "single": "teacher, single crops",
    "student": "student, whole clips",
}
"""Of which predictions a mean CCC is taken: by name, with the heading of its column."""


@dataclass(frozen=True)
class Found:
    """What the trainings so far predict for the test songs."""

    predictions: dict[str, dict[Choice, list[Mapping[str, Array]]]]
    """By network, arm, seed and measure: [N, 2], or [N * K, 2] for single crops."""
    songs: Sequence[str]
    """The test songs."""
    labels: Array
    """[N, 2] their ratings."""

    @property
    def seeds(self) -> int:
        """How many seeds all arms have."""
        return min(len(seeds) for arms in self.predictions.values() for seeds in arms.values())

    def compare(self, network: str, measure: str) -> list[Arm]:
        """Compare the arms of a network in one measure."""
        arms = {choice.name: self._of(network, choice, measure) for choice in ARMS}
        # Single crops are rated as their song is, and resampled with it.
        times = next(iter(arms.values())).shape[1] // len(self.songs)
        labels = np.repeat(np.asarray(self.labels, np.float64), times, 0)
        return ablation.compare(arms, labels, np.repeat(self.songs, times).tolist())

    def conclusions(self, network: str) -> list[str]:
        """Say of a network's students what each arm is worth, and whether the two remedies differ."""
        arms = self.compare(network, "student")
        sentences = [
            ablation.verdict(arm, f"For the student, ({arm.name}) against ({arms[0].name})") for arm in arms[1:]
        ]
        crops, whole = Choice("both", "crops"), Choice("whole", "whole")
        pair = {choice.name: self._of(network, choice, "student") for choice in (crops, whole)}
        between = ablation.compare(pair, self.labels, self.songs)[1]
        return [*sentences, ablation.verdict(between, f"For the student, ({whole.name}) against ({crops.name})")]

    def write(self, out: Path, typed: str, trainings: str, wanted: int) -> None:
        """Write and print the table of the seeds so far; trainings: what they were; wanted: seeds asked for."""
        rows = {network: {name: self.compare(network, name) for name in MEASURES} for network in self.predictions}
        parts: list[str] = []
        for network in rows:
            parts += [f"## {NETWORKS[network]}", table(rows[network]), *self.conclusions(network)]
        state = "" if self.seeds == wanted else f" UNFINISHED: {wanted} were asked for, and the command goes on."
        parts += [
            "## What was done",
            "The picture stands for `full`, whose ViT-B/16 sees 1292 frames of a whole clip or 320 of a crop on "
            "224 x 224. Its first weights are random, so what a pretrained network would lose is not measured.",
            f"Mean CCC of valence and arousal on {len(self.songs)} test songs, {self.seeds} seeds.{state} {trainings} "
            + ablation.intervals(self.seeds),
        ]
        values: dict[str, Any] = {
            network: {name: [asdict(arm) for arm in arms] for name, arms in of_network.items()}
            for network, of_network in rows.items()
        }
        values |= {"test_songs": len(self.songs), "seeds": self.seeds, "seeds_wanted": wanted, "notes": parts[-2:]}
        write_result(out, "What the teacher trains on and what it is asked", typed, values, parts)
        print("\n\n".join(parts), flush=True)

    def _of(self, network: str, choice: Choice, measure: str) -> Array:
        """Return the predictions of all seeds of an arm, [seeds, N, 2]."""
        return np.stack([of_seed[measure] for of_seed in self.predictions[network][choice]])


def table(rows: Mapping[str, Sequence[Arm]]) -> str:
    """Lay the arms of a network out: every measure's CCC, and what it is beside the first arm's."""
    first, head = ARMS[0].name, ["trained, asked for"]
    for title in MEASURES.values():
        head += [title, f"less {first}"]
    lines = []
    for number, choice in enumerate(ARMS):
        line = [choice.name]
        for arms in rows.values():
            arm = arms[number]
            difference = ablation.difference_text(arm.difference, arm.difference_low, arm.difference_high)
            line += [f"{arm.ccc:.3f}", difference]
        lines.append([*line, ablation.scatter(rows["student"][number].seed_deviation)])
    return markdown_table([*head, "over seeds"], lines)
