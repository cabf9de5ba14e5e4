"""Names, places and settings of the musicnn teacher; without torch, because command lines are built from it."""

from __future__ import annotations

from pathlib import Path

from pocketmood.training.weights import Published

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "musicnn"
"""Where `make weights` puts converted weights."""
COMMAND = "make weights"


def published(path: Path | None = None, model: str = "MSD_musicnn", flag: str = "--musicnn.weights") -> Published:
    """Say what the weights are, and where to look; path: a folder, or the safetensors file itself."""
    files = (f"{model}.json", f"{model}.safetensors")
    return Published(
        model, "", path, files, flag, tensors=("blocks.4.conv.weight", "tags.bias"), kept=FOLDER, command=COMMAND
    )
