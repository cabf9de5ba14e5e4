"""Every dial of the export stage; the command line is built from these fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pocketmood.errors import ExportError

Gain = Literal["size", "speed"]
Format = Literal["onnx", "executorch", "coreml"]
Precision = Literal["fp32", "int8"]


class Artefact(NamedTuple):
    """One program of a bundle."""

    format: Format
    precision: Precision
    file: str

    @property
    def step(self) -> str:
        """The name of the step that makes it."""
        return f"{self.format}.{self.precision}"

    @property
    def is_searched(self) -> bool:
        """Whether its step waits for the search of what may be int8."""
        return self.precision == "int8" and self.format in ("executorch", "onnx")


ARTEFACTS = (
    Artefact("executorch", "int8", "model.int8.pte"),
    Artefact("executorch", "fp32", "model.fp32.pte"),
    Artefact("coreml", "fp32", "model.fp32.mlpackage"),
    Artefact("onnx", "int8", "model.int8.onnx"),
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
    precision: tuple[Precision, ...] = ("fp32", "int8")
    """Precisions to write; int8 is written for ExecuTorch and ONNX Runtime."""
    golden: int = 5
    """Test clips that travel in the bundle with their answers, for the tests of every language."""
    held_out: int = 32
    """Further clips, from test and validation, that the programs are compared on."""
    calibration: int = 48
    """Training clips that set the ranges of the int8 activations."""
    sensitivity: int = 64
    """Validation clips, at most, on which the cost of int8 is measured group by group."""
    int8_drop: float = 0.01
    """Mean CCC that int8 may cost on these clips; beyond it, the most sensitive groups of operators stay float."""
    int8_prefer: Gain = "size"
    """What int8 is for, where it cannot be everywhere: a small file, or (with int8 dot products only) few float
    multiplications."""
    qat_steps: int = 0
    """Steps of a quantisation-aware finish where int8 costs more than .01 of mean CCC on validation; 0 never tries."""
    fp32_limit: float = 1e-4
    """Largest difference allowed between an fp32 program and PyTorch, in both outputs."""
    int8_limit: float = 5e-3
    """Largest difference allowed between an int8 program and its quantised graph: runtimes round differently."""
    int8_fp32_limit: float = 0.03
    """Largest difference allowed between an int8 program and fp32 in PyTorch: an eighth of a point of a 1-9 rating."""
    ccc_drop_limit: float | None = 0.01
    """Largest loss of mean CCC on the test songs against fp32 in PyTorch; None only reports it."""
    processes: int = 2
    """Programs written at the same time; each takes about 1.5 GB."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing and choices that write nothing."""
        if min(self.golden, self.calibration, self.sensitivity, self.processes) < 1:
            raise ExportError("golden, calibration, sensitivity and processes must be at least 1")
        if min(self.held_out, self.qat_steps) < 0:
            raise ExportError("held_out and qat_steps must be at least 0")
        if not self.artefacts:
            asked = f"{', '.join(self.to) or 'no format'} in {', '.join(self.precision) or 'no precision'}"
            raise ExportError(
                f"nothing to write: {asked}; there are {', '.join(artefact.step for artefact in ARTEFACTS)}"
            )

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """What this config writes."""
        return tuple(one for one in ARTEFACTS if one.format in self.to and one.precision in self.precision)

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
    # Nothing is learnt, so there is no CCC to lose.
    "smoke": ExportConfig(
        run=Path("runs/smoke"),
        golden=3,
        held_out=3,
        calibration=4,
        sensitivity=8,
        int8_drop=2.0,
        ccc_drop_limit=None,
    ),
}
