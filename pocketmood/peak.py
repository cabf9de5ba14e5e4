"""The most memory that this process ever held."""

from __future__ import annotations

import re
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_rss_bytes() -> int | None:
    """Return the largest resident size of this process so far; None where the system does not tell."""
    if STATUS.exists():
        # Not getrusage: on Linux a child's ru_maxrss starts at its parent's peak, which may hold all of PyTorch.
        found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        if found:
            return int(found.group(1)) * 1024
    if sys.platform != "darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
