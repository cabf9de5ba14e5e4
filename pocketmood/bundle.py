"""A bundle: the folder of programs that ships. Opened, checked against its hashes, and predicted with.

numpy and onnxruntime are enough; the ExecuTorch programs need the extra `export`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from pocketmood.emotion import Emotion
from pocketmood.errors import BundleError, DataError
from pocketmood.programs import Array, Program, open_executorch, open_onnx
from pocketmood.spec import MelSpec

SCHEMA = 2
"""Version of bundle.json and of the programs' inputs and outputs; 2 renamed the output `spread` to `interval68`."""
SUFFIXES = {"onnxruntime": "onnx", "executorch": "pte"}
AGAIN = "export it again with `python -m export`, or copy it again from where it came"

Predictor = Callable[[Array], tuple[Emotion, Emotion]]
"""Waveform [S] to emotion and its width: a program's interval68, half the width of the 68 % interval of a song's mean
rating, or a teacher's rater_sd."""


@dataclass(frozen=True)
class Bundle:
    """A folder with programs, and what predicting needs of its bundle.json; made by `Bundle.open`."""

    folder: Path
    """Where the programs lie."""
    spec: MelSpec
    """The numbers of the spectrogram that the programs compute."""
    samples: int
    """Length of the waveform that the programs take."""
    files: Mapping[str, str]
    """Path in the folder -> SHA-256 of every file that was exported."""
    name: str = ""
    """timm's name of the network; empty where bundle.json does not tell."""
    parameters: int = 0
    """Trained numbers in it; 0 where bundle.json does not tell."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Program that was to be in it -> why it is not; empty where bundle.json does not tell."""
    warnings: tuple[str, ...] = ()
    """What a reader of any prediction must know; empty where bundle.json does not tell."""

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Read bundle.json; BundleError for what is missing, damaged, or of another schema."""
        path = folder / "bundle.json"
        if not path.is_file():
            raise BundleError(f"{folder}: no bundle here (no bundle.json). Make one with `python -m export`")

        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            schema, numbers, hash_ = about["schema"], about["spec"], about["spec_hash"]
            # Before all else: another schema may name everything else differently.
            if schema != SCHEMA:
                raise BundleError(f"{folder}: bundle of schema {schema}, {_other_schema(schema)}")
            files, samples = about["files"], int(about["input"]["shape"][-1])
            if not all(isinstance(file_hash, str) for file_hash in files.values()):
                raise BundleError(f"{path}: damaged (a file without its hash); {AGAIN}")
            spec = MelSpec.from_dict(numbers)
            # Neither was there in the first bundles of this schema.
            left_out = {str(file): str(reason) for file, reason in about.get("left_out", {}).items()}
            warnings = tuple(map(str, about.get("warnings", ())))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, DataError) as error:
            raise BundleError(f"{path}: damaged ({error}); {AGAIN}") from error

        # A number changed by hand would give a spectrogram that the network has never seen, and no error.
        if spec.hash != hash_:
            raise BundleError(f"{path}: the spectrogram's numbers do not fit their hash {hash_}; {AGAIN}")
        name, parameters = str(about.get("name", "")), int(about.get("parameters") or 0)
        return cls(folder, spec, samples, files, name, parameters, left_out, warnings)

    def verify(self) -> None:
        """Check every file of the bundle against its SHA-256; BundleError names the first that does not fit."""
        for name in self.files:
            self._checked(name)

    def predictor(self, runtime: str = "onnxruntime", precision: str = "fp32", threads: int = 0) -> Predictor:
        """Load a program, after checking its hash, and return the function that predicts with it.

        runtime: "onnxruntime" or "executorch"; precision: "fp32" or "int8"; threads: 0 lets the runtime choose.
        """
        if runtime not in SUFFIXES:
            raise BundleError(f"no runtime called {runtime!r}; there are {', '.join(SUFFIXES)}")
        name = f"model.{precision}.{SUFFIXES[runtime]}"
        if name not in self.files:
            held = sorted(file for file in self.files if file.endswith(tuple(SUFFIXES.values())))
            why = f" (left out: {self.left_out[name]})" if name in self.left_out else ""
            raise BundleError(
                f"{self.folder}: no {name} in this bundle{why}; it holds {', '.join(held) or 'no program'}"
            )
        data = self._checked(name)
        try:
            program = (open_onnx if runtime == "onnxruntime" else open_executorch)(data, threads)
        except BundleError:
            raise
        except Exception as error:  # runtimes raise their own kinds, and ExecuTorch plain RuntimeError
            raise BundleError(f"{self.folder / name}: {runtime} cannot load it ({error}); {AGAIN}") from error
        return self._predictor(program)

    def _predictor(self, program: Program) -> Predictor:
        samples = self.samples

        def predict(waveform: Array) -> tuple[Emotion, Emotion]:
            """Predict the emotion of one clip."""
            if waveform.shape != (samples,):
                raise BundleError(
                    f"waveform of shape {waveform.shape}; this model takes {samples} mono samples "
                    f"({self.spec.seconds:g} s at {self.spec.sample_rate} Hz). `pocketmood.audio.load` "
                    "makes them from any file"
                )
            emotion, interval68 = program(np.ascontiguousarray(waveform, np.float32)[None])
            return Emotion(*map(float, emotion.reshape(-1))), Emotion(*map(float, interval68.reshape(-1)))

        return predict

    def _checked(self, name: str) -> bytes:
        """Read a file of the bundle; BundleError unless its bytes are those that were exported."""
        # bundle.json may come from anywhere: a name in it must not make us read other files of this machine.
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise BundleError(f"{self.folder}: bundle.json names {name}, which lies outside of the bundle; {AGAIN}")
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise BundleError(f"{self.folder / name}: cannot be read ({error.strerror}); {AGAIN}") from error
        if hashlib.sha256(data).hexdigest() != self.files[name]:
            raise BundleError(f"{self.folder / name}: its SHA-256 is not the one in bundle.json: damaged; {AGAIN}")
        return data


def _other_schema(schema: object) -> str:
    """Say what to do about a bundle that is older, or newer, than this version."""
    if schema == 1:
        return (
            f"this version of pocketmood reads {SCHEMA}: the programs' output `spread` is called `interval68` since. "
            "Type `make export RUN=...` in a checkout to make it again"
        )
    return f"this version of pocketmood reads {SCHEMA}; install the version that fits, or export it again"
