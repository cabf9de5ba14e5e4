"""A musicnn network in small, with random weights in TensorFlow's own names and axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pocketmood.training.checkpoints import save_tensors
from teacher.musicnn.convert import rename

KERNELS = ((7, 38, 3), (7, 67, 2), (128, 1, 2), (64, 1, 1), (32, 1, 2))
MIDDLE, UNITS, TAGS = 4, 5, 50


def checkpoint(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Draw the tensors of a checkpoint; scales of both signs, statistics away from 0 and 1."""
    rng = np.random.default_rng(seed)
    found: dict[str, NDArray[np.float32]] = {}
    blocks = sum(kernel[2] for kernel in KERNELS)
    pooled = 2 * (blocks + 3 * MIDDLE)
    shapes = [(t, m, 1, channels) for t, m, channels in KERNELS]
    shapes += [(7, blocks, 1, MIDDLE), (7, MIDDLE, 1, MIDDLE), (7, MIDDLE, 1, MIDDLE)]
    for number, shape in enumerate(shapes):
        name = f"conv2d_{number}" if number else "conv2d"
        found[f"{name}/kernel"] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:2]))).astype(np.float32)
        found[f"{name}/bias"] = rng.standard_normal(shape[3]).astype(np.float32)
    widths = [1, *(shape[3] for shape in shapes), pooled, UNITS]
    for number, width in enumerate(widths):
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        found[f"{name}/gamma"] = rng.choice([-1.5, 0.8, 1.2], width).astype(np.float32)
        found[f"{name}/beta"], found[f"{name}/moving_mean"] = rng.standard_normal((2, width)).astype(np.float32)
        found[f"{name}/moving_variance"] = rng.uniform(1e-4, 2, width).astype(np.float32)
    for name, dense in (("dense", (pooled, UNITS)), ("dense_1", (UNITS, TAGS))):
        found[f"{name}/kernel"] = (rng.standard_normal(dense) / np.sqrt(dense[0])).astype(np.float32)
        found[f"{name}/bias"] = rng.standard_normal(dense[1]).astype(np.float32)
    return found


def tensors(seed: int = 0) -> dict[str, Tensor]:
    """Return the same by our names."""
    return rename(checkpoint(seed))


def write_weights(folder: Path, model: str = "MSD_musicnn", seed: int = 0) -> Path:
    """Write what `make weights` leaves of a model; return the folder."""
    save_tensors(folder / f"{model}.safetensors", tensors(seed))
    (folder / f"{model}.json").write_text("{}")
    return folder


def twin(found: dict[str, NDArray[np.float32]], window: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Compute the published graph for one window [T, M] in float64 numpy: the arrays "frames", "penultimate", "tags".

    By its definition and in its own layout, time first and channels last, nothing taken from `network.py`.
    """
    wide = {name: value.astype(np.float64) for name, value in found.items()}

    def norm(x: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        name = f"batch_normalization_{number}" if number else "batch_normalization"
        scaled = (x - wide[f"{name}/moving_mean"]) / np.sqrt(wide[f"{name}/moving_variance"] + 0.001)
        return np.asarray(wide[f"{name}/gamma"] * scaled + wide[f"{name}/beta"])

    def conv(x: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        """Slide a kernel over [T, M], zeros before and behind in time as "same" lays them; [T, M', C]."""
        name = f"conv2d_{number}" if number else "conv2d"
        kernel = wide[f"{name}/kernel"][:, :, 0]  # [t, m, C]
        t, m = kernel.shape[:2]
        before = (t - 1) // 2
        padded = np.concatenate([np.zeros((before, x.shape[1])), x, np.zeros((t - 1 - before, x.shape[1]))])
        patches = np.lib.stride_tricks.sliding_window_view(padded, (t, m))  # [T, M', t, m]
        return np.asarray(np.maximum(np.einsum("abtm,tmc->abc", patches, kernel) + wide[f"{name}/bias"], 0))

    normed = norm(window[:, :, None], 0)[:, :, 0]
    layers = [np.concatenate([norm(conv(normed, number), number + 1).max(1) for number in range(5)], 1)]
    for number in (5, 6, 7):
        new = norm(conv(layers[-1], number)[:, 0], number + 1)
        layers.append(new + layers[-1] if number > 5 else new)
    frames = np.concatenate(layers, 1)  # [T, C]
    pooled = np.stack([frames.max(0), frames.mean(0)], 1).reshape(-1)
    dense = np.maximum(norm(pooled, 9) @ wide["dense/kernel"] + wide["dense/bias"], 0)
    penultimate = norm(dense, 10)
    return {
        "frames": frames,
        "penultimate": penultimate,
        "tags": penultimate @ wide["dense_1/kernel"] + wide["dense_1/bias"],
    }
