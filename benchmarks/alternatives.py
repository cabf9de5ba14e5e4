"""What people would use instead: a librosa mel spectrogram as the picture that a stock timm model sees.

A stock model comes with random weights and as timm makes it, three channels wide at its own 256 x 256 or one channel
at our 128 x 256, in ONNX Runtime or lowered for ExecuTorch without our rewrites. Alternatives are timed and weighed,
not scored. Their programs are made once and kept.
"""

from __future__ import annotations

import math
import multiprocessing
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.latency import quiet
from benchmarks.torch_rows import OpenedRow, parameters
from pocketmood.emotion import Emotion
from pocketmood.onnx_session import open_session
from pocketmood.processes import end_with_parent
from pocketmood.runs import read_json, versions, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from pocketmood.spec import MelSpec

    Wave = NDArray[np.float32]
    Network = Callable[[Wave], NDArray[np.float32]]

OPSET = 20
IMAGE, EMOTION = "image", "emotion"


class Picture(NamedTuple):
    """The size of the picture that a stock model sees."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        """Write it as people do: 256 x 256 x 3."""
        return f"{self.height} x {self.width} x {self.channels}"


OWN, OURS = Picture(3, 256, 256), Picture(1, 128, 256)
"""The size that timm's models were trained at, and the one that our students see."""
ENDINGS = {"ONNX Runtime": ".onnx", "ExecuTorch": ".pte"}


class Alternative(NamedTuple):
    """A stock network behind librosa."""

    architecture: str
    """timm's name of the network: the student's, so that what differs is the road to it."""
    picture: Picture
    runtime: str
    """A key of ENDINGS."""

    @property
    def name(self) -> str:
        """Name its row."""
        size = "" if self.picture == OWN else f" {self.picture.height}x{self.picture.width}"
        return f"librosa + {self.architecture}{size}" + (".pte" if self.runtime == "ExecuTorch" else "")

    @property
    def file(self) -> str:
        """Name its program's file."""
        channels, height, width = self.picture
        return f"{self.architecture}.{height}x{width}x{channels}{ENDINGS[self.runtime]}"

    def open(self, folder: Path, spec: MelSpec, threads: int) -> OpenedRow:
        """Open it, made first if `folder` does not hold its program."""
        path = self.make(folder)
        network = _onnx(path, threads) if self.runtime == "ONNX Runtime" else _executorch(path)

        def predict(wave: Wave) -> tuple[Emotion, Emotion]:
            # Stock networks have no second output; NaN keeps anybody from taking one for an interval.
            return Emotion(*map(float, network(picture(wave, spec, self.picture)))), Emotion(math.nan, math.nan)

        return OpenedRow(predict, int(read_json(path.with_name(f"{path.name}.json"))["params"]), path.stat().st_size)

    def make(self, folder: Path) -> Path:
        """Return its program, written unless `folder` holds one of the installed versions."""
        path, made_from = folder / self.file, {"architecture": self.architecture, "versions": versions()}
        beside = path.with_name(f"{path.name}.json")
        if path.exists() and beside.exists() and made_from.items() <= read_json(beside).items():
            return path

        model = stock(self.architecture, self.picture.channels)
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        (_write_onnx if self.runtime == "ONNX Runtime" else _write_executorch)(model, self.picture, part)
        # The program first: killed in between, there is no note beside it, and it is written again.
        part.replace(path)
        write_json(beside, made_from | {"params": parameters(model)})
        return path


@contextmanager
def made_beside(alternatives: Sequence[Alternative], folder: Path) -> Iterator[Callable[[], None]]:
    """Write the programs of all alternatives in another process meanwhile; gives the call that waits for them.

    One that cannot be written says why when its row is opened. One process for all, because each would import the
    exporters anew, and other work keeps the second core busy.
    """
    # Spawned: a fork of a process that has threads already may hang.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=end_with_parent) as pool:
        calls = [pool.submit(_make_quietly, alternative, folder) for alternative in alternatives]

        def wait() -> None:
            for call in calls:
                # Not raised here, where it would cost all rows: opening tries again, and costs one.
                call.exception()

        yield wait


def _make_quietly(alternative: Alternative, folder: Path) -> None:
    with quiet():
        alternative.make(folder)


def stock(architecture: str, channels: int) -> nn.Module:
    """Return timm's network as it comes, with random weights and two outputs."""
    import timm
    import torch

    torch.manual_seed(0)
    fused = timm.layers.use_fused_attn()
    # As timm comes; the student, for ExecuTorch's sake, switches it off for everybody.
    timm.layers.set_fused_attn(True)
    model: nn.Module = timm.create_model(architecture, num_classes=2, in_chans=channels).eval()
    timm.layers.set_fused_attn(fused)
    return model


def picture(wave: Wave, spec: MelSpec, size: Picture) -> NDArray[np.float32]:
    """Make the picture [1, C, H, W] of a clip: librosa's mel spectrogram in dB, resized, repeated over channels."""
    import librosa
    import torch
    from torch.nn.functional import interpolate

    # Our sizes and librosa's ways: what a user who follows its guide computes for the same clip.
    mel = librosa.feature.melspectrogram(
        y=wave, sr=spec.sample_rate, n_fft=spec.n_fft, hop_length=spec.hop, n_mels=spec.bands
    )
    # Fixed reference and no floor, or a clip's own loudest moment would move all of its picture.
    level = torch.from_numpy(librosa.power_to_db(mel, ref=1.0, top_db=None).astype(np.float32))
    resized = interpolate(level[None, None], (size.height, size.width), mode="bilinear", align_corners=False)
    image: NDArray[np.float32] = resized.expand(1, size.channels, -1, -1).contiguous().numpy()
    return image


def write_traced(model: nn.Module, given: Tensor, path: Path, names: tuple[str, str]) -> None:
    """Write an ONNX program of a network by tracing it on `given`; names: of its input and of its first output."""
    import torch

    with warnings.catch_warnings():
        # It is to be replaced, and says so with every call.
        warnings.simplefilter("ignore")
        # The tracing exporter: the same network in 1 s instead of 15, and no slower in ONNX Runtime.
        torch.onnx.export(
            model, (given,), path, input_names=names[:1], output_names=names[1:], opset_version=OPSET, dynamo=False
        )


def _write_onnx(model: nn.Module, size: Picture, path: Path) -> None:
    import torch

    write_traced(model, torch.zeros(1, *size), path, (IMAGE, EMOTION))


def _write_executorch(model: nn.Module, size: Picture, path: Path) -> None:
    """Lower a network as the runtime's own guide does: XNNPACK takes what it can of the network as it is.

    Our writer gives the guide's very bytes (mobilevit_xxs), in a sixth less time: it leaves out the verifier.
    """
    from export.executorch import to_executorch

    to_executorch.write(model, (1, *size), path, {})


def _onnx(path: Path, threads: int) -> Network:
    session = open_session(path, threads)

    def network(image: NDArray[np.float32]) -> NDArray[np.float32]:
        emotion: NDArray[np.float32] = session.run([EMOTION], {IMAGE: image})[0][0]
        return emotion

    return network


def _executorch(path: Path) -> Network:
    """Open a program; its threads are those of the process (see `latency.pin_threads`)."""
    from pocketmood.programs import open_method

    call = open_method(path)
    return lambda image: call(image)[0][0]
