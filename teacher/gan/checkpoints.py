"""Checkpoints of the adversarial training: safetensors and JSON, nothing pickled, only the newest complete one kept.

No random state is stored: every draw of the training is a function of (seed, epoch, step), see `train_gan`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file

from pocketmood.runs import read_json, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Optimizer

LOG_FILE = "metrics.jsonl"
_PREFIX = "checkpoint-"


def save_state(folder: Path, done: int, parts: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> None:
    """Write networks and optimisers after `done` epochs under a temporary name, rename, and drop older ones."""
    part = folder / f"{_PREFIX}{done:04d}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, module in parts.items():
        save_file(_plain(module.state_dict()), part / f"{name}.safetensors")
    for name, optimizer in optimizers.items():
        moments = optimizer.state_dict()["state"]
        flat = {f"{index}.{key}": value for index, entry in moments.items() for key, value in entry.items()}
        save_file(_plain(flat), part / f"{name}.optimizer.safetensors")
    write_json(part / "state.json", {"epochs_done": done})
    part.rename(folder / f"{_PREFIX}{done:04d}")
    for old in _checkpoints(folder)[:-1]:
        shutil.rmtree(old)


def load_state(folder: Path, parts: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> int:
    """Load the newest complete checkpoint in place and return its number of epochs; 0 where there is none."""
    found = _checkpoints(folder)
    if not found:
        return 0
    for name, module in parts.items():
        module.load_state_dict(load_file(found[-1] / f"{name}.safetensors"))
    for name, optimizer in optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in load_file(found[-1] / f"{name}.optimizer.safetensors").items():
            index, entry = key.split(".", 1)
            moments.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return int(read_json(found[-1] / "state.json")["epochs_done"])


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of `metrics.jsonl`; none where the file is missing."""
    path = folder / LOG_FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_log(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write `metrics.jsonl` whole, so that no kill leaves half a line or a line of an epoch that is done again."""
    write_text(folder / LOG_FILE, "".join(json.dumps(row) + "\n" for row in rows))


def _checkpoints(folder: Path) -> list[Path]:
    """List complete checkpoints, oldest first."""
    return sorted(
        path for path in folder.glob(f"{_PREFIX}*") if path.suffix != ".part" and (path / "state.json").exists()
    )


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring tensors to the CPU in the memory order that safetensors wants."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
