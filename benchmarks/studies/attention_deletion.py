"""Does attention rollout show what matters to a prediction? Hide it, and see.

A share of each test song's patches is hidden, by the mean of its spectrogram: those with most rollout, as many by lot,
those with least. If rollout says anything, hiding the first moves the prediction most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError
from pocketmood.metrics import Paired

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pocketmood.data.clips import ClipStore

NAME = "benchmarks.studies.attention_deletion"
ORDERS = ("most", "lot", "least")
REPEATS = 1000


@dataclass(frozen=True)
class AttentionDeletionConfig:
    """Whose attention, and how much is hidden."""

    run: Path
    """Run folder with a finished teacher; its AST baseline is measured as well, if there is one."""
    share: float = 0.125
    """Share of the patches that is hidden."""
    seed: int = 0
    """Decides the lot, and the resampling of songs."""
    out: Path = RESULTS / "attention-deletion"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse to hide nothing, or everything."""
        if not 0 < self.share < 1:
            raise ConfigError(f"--share {self.share} must lie between 0 and 1")


@dataclass(frozen=True)
class Moved:
    """How far hiding patches moves a network's predictions, mean over songs and both axes."""

    name: str
    """The network."""
    most: float
    lot: float
    least: float
    """Mean absolute change of emotion where patches with most rollout, by lot, with least rollout are hidden."""
    difference: Paired
    """`most` less `lot`, with its 95 % interval over songs."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the study from the command line."""
    return run(*parse_command(AttentionDeletionConfig, NAME, __doc__, args))


def run(config: AttentionDeletionConfig, typed: str = f"python -m {NAME}") -> int:
    """Measure the teacher and its baseline, write and print the table."""
    folder = RunFolder(config.run)
    teacher = folder.made("teacher")
    networks = {"teacher": teacher, "AST baseline": teacher / "ast"}
    songs = folder.split.test
    rows = [
        judge(name, moves(path, folder.store, songs, config), config.seed)
        for name, path in networks.items()
        if path.is_dir()
    ]

    cells = [
        [row.name, *(f"{value:.3f}" for value in (row.most, row.lot, row.least)), _difference_text(row.difference)]
        for row in rows
    ]
    table = markdown_table(["network", "most rollout", "by lot", "least rollout", "most less lot"], cells)
    note = (
        f"Mean absolute change of valence and arousal where {config.share:.1%} of the patches are hidden; {len(songs)} "
        "test songs, intervals of 95 % over songs."
    )
    values = {"rows": [asdict(row) | {"difference": row.difference._asdict()} for row in rows], "songs": len(songs)}
    write_result(config.out, "What hiding the patches with most attention rollout does", typed, values, [table, note])
    print(f"{table}\n\n{note}", flush=True)
    return 0


def moves(path: Path, store: ClipStore, songs: Sequence[str], config: AttentionDeletionConfig) -> NDArray[np.float64]:
    """Return how far each song's prediction moves [N, 3], a column per order of `ORDERS`."""
    import torch

    from pocketmood.mel import MelFrontEnd
    from pocketmood.training.crops import whole_mels
    from pocketmood.training.device import default_device
    from teacher.attention import attend
    from teacher.vit import load_teacher

    teacher, saved = load_teacher(path)
    place = default_device()
    front = MelFrontEnd(saved.training.spec, saved.vit.stride, saved.vit.frames).to(place)
    teacher.to(place)
    # On the CPU, whose generator gives the same lot whatever the device.
    lot = torch.Generator().manual_seed(config.seed)

    found = []
    for _, mel in whole_mels(store, songs, front):
        seen = attend(teacher, mel)
        relevance = seen.relevance()
        drawn = torch.rand(relevance.shape, generator=lot).to(place)
        batch = []
        for scores in (relevance, drawn, -relevance):  # in the order of ORDERS
            with torch.no_grad():
                emotion = teacher(hidden(mel, scores, config.share)).emotion
            batch.append((emotion - seen.output.emotion).abs().mean(1))
        found.append(torch.stack(batch, 1))
    return torch.cat(found).double().cpu().numpy()


def hidden(mel: Tensor, scores: Tensor, share: float) -> Tensor:
    """Replace the patches with the highest scores [B, rows, columns] in spectrograms [B, 1, M, T] by the mean."""
    import torch

    flat = scores.flatten(1)
    count = max(1, round(share * flat.shape[1]))
    chosen = torch.zeros_like(flat).scatter_(1, flat.topk(count).indices, 1).reshape_as(scores)
    # Nearest: a patch's own area, whether it has 16 x 16 values or the spectrogram was resized.
    mask = torch.nn.functional.interpolate(chosen[:, None], mel.shape[2:], mode="nearest").bool()
    return torch.where(mask, mel.mean((2, 3), keepdim=True), mel)


def judge(name: str, moved: NDArray[np.float64], seed: int) -> Moved:
    """Average movements [N, 3] over songs, and compare the first two columns song by song."""
    gain = moved[:, 0] - moved[:, 1]
    rows = np.random.default_rng(seed).integers(len(gain), size=(REPEATS, len(gain)))
    low, high = np.percentile(gain[rows].mean(1), [2.5, 97.5])
    most, lot, least = map(float, moved.mean(0))
    return Moved(name, most, lot, least, Paired(float(gain.mean()), float(low), float(high)))


def _difference_text(difference: Paired) -> str:
    value, low, high = difference
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    command.start(main)
