"""Rows that are not ours to ship: ceiling, floor, teacher, the student before export, and what people would else use.

That last one is the usual recipe: a librosa mel spectrogram of the clip, resized to the picture that a stock timm model
expects (256 x 256, three channels), in ONNX Runtime. Its weights are random: it is timed and weighed, not scored.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketmood.errors import RunError
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec

if TYPE_CHECKING:
    from torch import nn

    from benchmarks.accuracy import Predict

PEER_PIXELS = 256
PEER_OPSET = 20


class Opened(NamedTuple):
    """A row that is ready to answer."""

    predict: Predict
    params: int | None
    """Trained numbers in the network; None where the format does not tell."""
    size_bytes: int | None = None
    """Bytes of a file that was made only now."""


def parameters(model: nn.Module) -> int:
    """Count the trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())


def torch_row(model: nn.Module, spec: MelSpec, stride: int, frames: int) -> Opened:
    """Join the front end and a network in eager PyTorch: waveform in, emotion and spread out."""
    import torch

    from pocketmood.mel import MelFrontEnd

    front, model = MelFrontEnd(spec, stride, frames).eval(), model.eval()

    def predict(wave: NDArray[np.float32]) -> tuple[Any, Any]:
        with torch.inference_mode():
            out = model(front(torch.from_numpy(wave)[None]))
        return out.emotion[0].numpy(), out.spread[0].numpy()

    return Opened(predict, parameters(model))


def open_teacher(run: Path) -> Opened:
    """Open the teacher behind the front end, with the frames it was trained on."""
    from teacher.vit import load_teacher

    model, _ = load_teacher(run / "teacher")
    seen = read_json(run / "teacher" / "answers" / "answers.json")
    return torch_row(model, spec_of(run), int(seen["stride"]), int(seen["frames"]))


def open_student(run: Path) -> Opened:
    """Open the student behind the front end, in eager PyTorch."""
    from student.mobilevit import load_student

    model, config = load_student(run / "student")
    return torch_row(model, spec_of(run), int(config["stride"]), int(config["frames"]))


def spec_of(run: Path) -> MelSpec:
    """Read the spectrogram's numbers from the bundle."""
    return MelSpec.from_dict(read_json(run / "bundle" / "bundle.json")["spec"])


def student_architecture(run: Path) -> str:
    """Read which timm model the student is."""
    name = read_json(run / "student" / "config.json").get("name")
    if not isinstance(name, str):
        raise RunError(f'{run / "student" / "config.json"}: no timm model under "name"; run the student again')
    return name


def write_peer(path: Path, architecture: str) -> Path:
    """Export the stock timm model with random weights at its own input size, once; returns `path`.

    Beside it lies a JSON file that knows the number of parameters.
    """
    if path.exists():
        return path
    import timm
    import torch

    torch.manual_seed(0)
    fused = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(True)  # as timm comes; the student, for ExecuTorch's sake, switches it off for everybody
    model = timm.create_model(architecture, num_classes=2).eval()
    timm.layers.set_fused_attn(fused)
    image = torch.zeros(1, 3, PEER_PIXELS, PEER_PIXELS)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The tracing exporter: the same network in 1 s instead of 15, and no slower in ONNX Runtime.
        torch.onnx.export(
            model,
            (image,),
            part,
            input_names=["image"],
            output_names=["emotion"],
            opset_version=PEER_OPSET,
            dynamo=False,
        )
    write_json(path.with_suffix(".json"), {"architecture": architecture, "params": parameters(model)})
    return part.replace(path)


def peer_image(wave: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float32]:
    """Make the picture [1, 3, 256, 256] of a clip that the stock model sees: librosa mel in dB, resized, repeated."""
    import librosa
    import torch
    from torch.nn.functional import interpolate

    mel = librosa.feature.melspectrogram(
        y=wave, sr=spec.sample_rate, n_fft=spec.n_fft, hop_length=spec.hop, n_mels=spec.bands
    )
    level = torch.from_numpy(librosa.power_to_db(mel, ref=1.0, top_db=None).astype(np.float32))
    square = interpolate(level[None, None], (PEER_PIXELS, PEER_PIXELS), mode="bilinear", align_corners=False)
    image: NDArray[np.float32] = square.expand(1, 3, -1, -1).contiguous().numpy()
    return image


def open_peer(run: Path, path: Path, threads: int) -> Opened:
    """Open librosa + the stock timm model in ONNX Runtime, made first if `path` is not there."""
    import onnxruntime

    write_peer(path, student_architecture(run))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    spec = spec_of(run)

    def predict(wave: NDArray[np.float32]) -> tuple[Any, Any]:
        answer = session.run(["emotion"], {"image": peer_image(wave, spec)})[0]
        return answer[0], np.full(2, np.nan)

    return Opened(predict, int(read_json(path.with_suffix(".json"))["params"]), path.stat().st_size)
