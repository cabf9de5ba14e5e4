"""Where to compute, and how to keep the C library from slowing a CPU down."""

from __future__ import annotations

import ctypes
import platform

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt parameters, from its malloc.h."""


def default_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks instead of handing them back; returns whether it listened.

    By default each large tensor is mapped and zeroed by the kernel anew: training the small ViT on a CPU takes 1.4
    times as long, a spectrogram 1.3 times. Nothing but time depends on it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_MMAP_THRESHOLD, 1 << 30) and library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
