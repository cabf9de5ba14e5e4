"""Description of the machine: processor, the instructions that decide int8's speed, threads, versions."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketmood.processes import cores

# Without an int8 dot product (VNNI, dotprod) int8 is about as fast as fp32; with one it is faster.
RELEVANT_FLAGS = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"),
    *("asimd", "asimddp", "i8mm", "sve", "fphp"),
)
PACKAGES = ("torch", "timm", "transformers", "onnxruntime", "onnx", "executorch", "torchao", "coremltools", "librosa")


def cpu_flags(cpuinfo: str) -> list[str]:
    """Pick the relevant flags from the text of /proc/cpuinfo (x86 says "flags", ARM "Features")."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    present = set(found.group(1).split()) if found else set()
    # In our order, so that descriptions of two machines can be compared at a glance.
    return [flag for flag in RELEVANT_FLAGS if flag in present]


def cpu_name(cpuinfo: str) -> str:
    """Pick the processor's name from the text of /proc/cpuinfo, or what the platform module says."""
    found = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """Return the installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe() -> dict[str, Any]:
    """Describe processor, system and versions, for the report and the stage's record."""
    # Not there on macOS, whose processors the platform module knows.
    path = Path("/proc/cpuinfo")
    cpuinfo = path.read_text(errors="replace") if path.exists() else ""
    return {
        "cpu": cpu_name(cpuinfo),
        "flags": cpu_flags(cpuinfo),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := version(name))},
    }
