"""Where to compute, and how to keep the C library from slowing a CPU down."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass

import torch

from pocketmood.training.schedule import Precision

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt parameters, from its malloc.h."""


LEAST_CAPABILITY = (7, 5)
"""The oldest GPUs that the locked torch has kernels for: T4, RTX 20. A P100 (6.0) and a V100 (7.0) are older."""


@dataclass(frozen=True)
class Gpu:
    """What of a GPU decides whether and how a training runs on it."""

    name: str
    """As its maker calls it."""
    memory_bytes: int
    free_bytes: int
    """All of its memory, and what no program holds now."""
    capability: tuple[int, int]
    """Compute capability."""
    bf16: bool
    """Whether it computes in bf16 itself."""


def find_gpu() -> Gpu | None:
    """Return the GPU that training would use; None where torch finds none."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    return Gpu(properties.name, total, free, (properties.major, properties.minor), has_bf16())


def default_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def choose_precision(asked: Precision) -> str:
    """Return accelerate's name for the arithmetic of forward and backward: "no", "bf16" or "fp16".

    auto is single precision on a CPU, bf16 on a GPU that computes in it, and fp16 on an older one.
    """
    if asked == "auto":
        asked = "fp32" if default_device().type == "cpu" else "bf16" if has_bf16() else "fp16"
    return "no" if asked == "fp32" else asked


def has_bf16() -> bool:
    """Tell whether the GPU itself computes in bf16."""
    # Without the argument torch says yes for a T4 as well, which converts to single precision and back at every step.
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks instead of handing them back; returns whether it listened.

    By default each large tensor is mapped and zeroed by the kernel anew: training the small ViT on a CPU takes 1.4
    times as long, a spectrogram 1.3 times. Nothing but time depends on it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_THRESHOLD, 1 << 30) and library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
