"""The published checkpoints as tensors of `network.py`: names, axes, and where their bytes and licence come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketmood.errors import RunError
from teacher.musicnn.checkpoint import read_checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

INDEX, BLOB = ".index", ".data-00000-of-00001"
SHA256 = {
    "MSD_musicnn": {
        INDEX: "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8",
        BLOB: "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6",
    },
    "MTT_musicnn": {
        INDEX: "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        BLOB: "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    },
}
"""Model -> file of its checkpoint -> SHA-256."""
_CONVOLUTIONS = [f"blocks.{number}" for number in range(5)] + [f"middle.{number}" for number in range(3)]
"""Ours, in the order in which TensorFlow numbered its own: conv2d, conv2d_1, ... and their norms from 1."""
_NORMS = ["input_norm", *(f"{name}.norm" for name in _CONVOLUTIONS), "pool_norm", "dense_norm"]
_NORM_PARTS = {"weight": "gamma", "bias": "beta", "mean": "moving_mean", "variance": "moving_variance"}


@dataclass(frozen=True)
class WeightsRecord:
    """What stands beside converted weights, as JSON."""

    model: str
    """Name of the published model."""
    source: str
    """The package that holds it."""
    licence: str
    """What is known of its licence, and what is not."""
    citation: str
    """The paper to cite."""
    wheel_sha256: str
    """Of the package's file."""
    checkpoint_sha256: dict[str, str]
    """Of the checkpoint's files."""
    parameters: int
    """Numbers of the published network."""
    kept_parameters: int
    """Those left without its dead channels."""
    largest_difference: float
    """What leaving them out changed, at most, on any logit (`prune.difference`)."""
    weights_sha256: str
    """Of the safetensors file beside this one."""


def read_model(folder: Path, model: str) -> dict[str, Tensor]:
    """Read a published checkpoint from the unpacked package; RunError where it is not the file that is known."""
    files = {}
    for name, wanted in SHA256[model].items():
        path = folder / "musicnn" / model / name
        if not path.is_file():
            raise RunError(f"{path}: not in the package; is it musicnn 0.1.0?")
        files[name] = path.read_bytes()
        found = hashlib.sha256(files[name]).hexdigest()
        if found != wanted:
            raise RunError(
                f"{path}: SHA-256 {found}, not {wanted}: another checkpoint, which nothing here was tested on"
            )
    return rename(read_checkpoint(files[INDEX], files[BLOB]))


def rename(checkpoint: dict[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """Give TensorFlow's tensors the names and axes of `network.Musicnn`; the optimiser's are left out."""
    import numpy as np
    import torch

    found: dict[str, NDArray[np.float32]] = {}
    for number, name in enumerate(_NORMS):
        layer = _numbered("batch_normalization", number)
        found |= {f"{name}.{ours}": checkpoint[f"{layer}/{theirs}"] for ours, theirs in _NORM_PARTS.items()}
    for number, name in enumerate(_CONVOLUTIONS):
        layer = _numbered("conv2d", number)
        kernel = checkpoint[f"{layer}/kernel"]  # [t, m, inputs, outputs]
        if name.startswith("middle"):
            # Their kernel spans all channels, laid out as if they were bands of a one-channel picture.
            found[f"{name}.conv.weight"] = kernel[:, :, 0].transpose(2, 1, 0)
        else:
            found[f"{name}.conv.weight"] = kernel.transpose(3, 2, 0, 1)
        found[f"{name}.conv.bias"] = checkpoint[f"{layer}/bias"]
    for number, name in enumerate(("dense", "tags")):
        layer = _numbered("dense", number)
        found |= {f"{name}.weight": checkpoint[f"{layer}/kernel"].T, f"{name}.bias": checkpoint[f"{layer}/bias"]}
    # Copies: what was read is a read-only view of the file's bytes.
    return {name: torch.from_numpy(np.array(value, np.float32, order="C")) for name, value in found.items()}


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
