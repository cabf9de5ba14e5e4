"""Every dial of the export stage; the command line is built from these fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pocketmood.errors import ExportError

Format = Literal["onnx", "executorch", "coreml"]
Precision = Literal["fp32", "fp16", "int8", "palette6", "w8a8"]
FP32, OWN_GRAPH = "fp32 in PyTorch", "its quantised graph in PyTorch"
OWN_WEIGHTS = "PyTorch with the package's own weights"


class Artefact(NamedTuple):
    """One program of a bundle."""

    format: Format
    precision: Precision
    file: str
    against: str = FP32
    """What its answers are compared with."""

    @property
    def step(self) -> str:
        """The name of the step that makes it."""
        return f"{self.format}.{self.precision}"


ARTEFACTS = (
    Artefact("executorch", "int8", "model.int8.pte", OWN_GRAPH),
    Artefact("executorch", "fp32", "model.fp32.pte"),
    Artefact("coreml", "w8a8", "model.w8a8.mlpackage", OWN_GRAPH),
    Artefact("coreml", "palette6", "model.palette6.mlpackage", OWN_WEIGHTS),
    Artefact("coreml", "int8", "model.int8.mlpackage", OWN_WEIGHTS),
    Artefact("coreml", "fp16", "model.fp16.mlpackage"),
    Artefact("coreml", "fp32", "model.fp32.mlpackage"),
    Artefact("onnx", "fp32", "model.fp32.onnx"),
)
"""What can be written, slowest first: two processes share the work best in this order."""


@dataclass(frozen=True)
class ExportConfig:
    """The export stage: front end and student as one program, in three formats, each proven against PyTorch."""

    run: Path = Path("runs/demo")
    """Run folder; its data and student stages must be finished."""
    student: Path | None = None
    """Folder of another student (model.safetensors and config.json); the run's own if left out."""
    to: tuple[Format, ...] = ("onnx", "executorch", "coreml")
    """Formats to write."""
    precision: tuple[Precision, ...] = ("fp32", "fp16", "int8", "palette6", "w8a8")
    """Precisions to write. CoreML has all of them; int8 is its weights' alone, w8a8 its activations' too."""
    golden: int = 5
    """Test clips that travel in the bundle with their answers, for the tests of every language."""
    held_out: int = 32
    """Further clips, from test and validation, that the programs are compared on."""
    calibration: int = 48
    """Training clips that set the ranges of the int8 activations."""
    qat_steps: int = 0
    """Steps of a quantisation-aware finish where int8 costs more than .01 of mean CCC on validation; 0 never tries."""
    fp32_limit: float = 1e-4
    """Largest difference allowed between an fp32 program and PyTorch, in both outputs; compressed weights are compared
    with PyTorch on the same weights."""
    fp16_limit: float = 2e-3
    """Largest difference allowed between a float16 program and fp32 in PyTorch."""
    int8_limit: float = 5e-3
    """Largest difference allowed between an int8 program and its quantised graph: runtimes round differently."""
    ccc_drop_limit: float | None = 0.05
    """Largest loss of mean CCC on the test songs against fp32 in PyTorch; None only reports it."""
    processes: int = 2
    """Programs written at the same time; each takes about 1.5 GB."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing and choices that write nothing."""
        if min(self.golden, self.calibration, self.processes) < 1 or min(self.held_out, self.qat_steps) < 0:
            raise ExportError("golden, calibration, processes must be at least 1, held_out and qat_steps at least 0")
        if not self.artefacts:
            asked = f"{', '.join(self.to) or 'no format'} in {', '.join(self.precision) or 'no precision'}"
            raise ExportError(
                f"nothing to write: {asked}; there are {', '.join(artefact.step for artefact in ARTEFACTS)}"
            )

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """What this config writes."""
        return tuple(one for one in ARTEFACTS if one.format in self.to and one.precision in self.precision)

    def limit(self, artefact: Artefact) -> float:
        """Return the largest difference allowed between an artefact and what it is compared with."""
        if artefact.against == OWN_GRAPH:
            return self.int8_limit
        return self.fp16_limit if artefact.precision == "fp16" else self.fp32_limit

    @property
    def student_folder(self) -> Path:
        """Where the student is."""
        return self.student or self.run / "student"

    def shaping(self) -> dict[str, Any]:
        """Return the fields that shape the result: not where it is made, nor how many processes make it."""
        return {name: value for name, value in vars(self).items() if name not in ("run", "student", "processes")}


PRESETS = {
    "full": ExportConfig(run=Path("runs/full"), calibration=128),
    "demo": ExportConfig(),
    "smoke": ExportConfig(
        run=Path("runs/smoke"),
        precision=("fp32", "int8"),
        golden=3,
        held_out=3,
        calibration=4,
        ccc_drop_limit=None,
    ),
}
