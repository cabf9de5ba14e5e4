"""Training state on disk as safetensors and JSON: nothing here is ever pickled, and a half-written one is never seen.

    checkpoints/step-00000120/   model.safetensors  averages.safetensors  optimizer.safetensors
                                 state.json

A checkpoint is written as `*.part` and renamed, then the older one is removed: killed at any moment, one whole
checkpoint is left. JSON keeps Python floats exactly, so learning rates survive to the last bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pocketmood.errors import RunError
from pocketmood.training.optimizer import match_layout

STATE_FILE = "state.json"
_OPTIMIZERS = "optimizers"
"""Key of what is no tensor in the optimisers' states."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors to one safetensors file, all or nothing.

    Copies to contiguous CPU memory first: safetensors refuses views of shared storage, which channels-last weights and
    swapped averages are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    save_file(plain, part, metadata=dict(metadata or {}))
    # Under its own name only when it is whole: readers take the presence of a file for its completeness.
    part.replace(path)


def load_tensors(path: Path, then: str = "delete it and run the stage again") -> dict[str, Tensor]:
    """Read the tensors of a safetensors file on the CPU; RunError where it is missing or damaged.

    then: what to do about a damaged one, the error's last words.
    """
    return read_tensors(path, then)[0]


def read_tensors(
    path: Path, then: str = "delete it and run the stage again"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file, like `load_tensors`."""
    if not path.is_file():
        raise RunError(f"{path}: no such weights. Has the stage that writes them finished?")
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise RunError(f"{path}: damaged, not a readable safetensors file ({error}); {then}") from error


def write_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write `folder/step-N` whole, then remove every other checkpoint in `folder`.

    tensors: file stem -> named tensors. state: what JSON can hold of the rest.
    """
    part = folder / f"step-{step:08d}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for stem, named in tensors.items():
        save_tensors(part / f"{stem}.safetensors", named)
    # Last, because `newest_checkpoint` takes its presence for the completeness of the rest.
    (part / STATE_FILE).write_text(json.dumps(state))
    final = part.with_suffix("")
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    # Only now: a kill before this line leaves two whole checkpoints, never none.
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other, ignore_errors=True)
    return final


def newest_checkpoint(folder: Path) -> Path | None:
    """Find the newest complete checkpoint of `folder`, or None."""
    found = [path for path in folder.glob("step-*") if path.suffix != ".part" and (path / STATE_FILE).is_file()]
    return max(found, default=None, key=lambda path: path.name)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint's own JSON state."""
    state: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text())
    return state


@dataclass(frozen=True)
class Parts:
    """The networks and optimisers of a training, by name: each becomes a file of its checkpoints."""

    networks: Mapping[str, nn.Module]
    """Everything with weights."""
    optimizers: Mapping[str, Any]
    """Everything that steps them."""

    def save(self, folder: Path, step: int, state: Mapping[str, Any], **tensors: Mapping[str, Tensor]) -> None:
        """Write a checkpoint after `step`, with further tensors and JSON, and remove the one before."""
        files: dict[str, Mapping[str, Tensor]] = {name: part.state_dict() for name, part in self.networks.items()}
        rest = {}
        for name, optimizer in self.optimizers.items():
            files[name], rest[name] = pack_optimizer(optimizer.state_dict())
        write_checkpoint(folder, step, files | tensors, {**state, _OPTIMIZERS: rest})

    def load(self, checkpoint: Path) -> None:
        """Take over all networks and optimisers in place."""
        rest = read_state(checkpoint)[_OPTIMIZERS]
        for name, part in self.networks.items():
            part.load_state_dict(load_tensors(checkpoint / f"{name}.safetensors"))
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(unpack_optimizer(load_tensors(checkpoint / f"{name}.safetensors"), rest[name]))
            match_layout(optimizer.state)


def pack_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state_dict into tensors named `<parameter>.<key>` and JSON for the rest."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = value
    return tensors, {"param_groups": state["param_groups"], "scalars": scalars}


def unpack_optimizer(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `pack_optimizer`."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in rest["scalars"].items()}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    # JSON made lists of the tuples.
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in rest["param_groups"]
    ]
    return {"state": state, "param_groups": groups}
