"""Settings of the export stage, what it can write, and the limits of every gate; its flags are these fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pocketmood.errors import ConfigError
from pocketmood.presets import DEFAULT_RUN

Gain = Literal["size", "speed"]
Format = Literal["onnx", "executorch", "coreml"]
Precision = Literal["fp32", "fp16", "int8", "palette6", "w8a8"]
FP32, OWN_GRAPH = "fp32 in PyTorch", "its quantised graph in float"
OWN_WEIGHTS = "PyTorch with the package's own weights"


class Artefact(NamedTuple):
    """One program of a bundle."""

    format: Format
    precision: Precision
    file: str
    against: str = FP32
    """What its predictions are compared with."""

    @property
    def step(self) -> str:
        """The name of the step that makes it."""
        return f"{self.format}.{self.precision}"

    @property
    def is_searched(self) -> bool:
        """Whether its step waits for the search of what may be int8."""
        return self.against == OWN_GRAPH


ARTEFACTS = (
    Artefact("executorch", "int8", "model.int8.pte", OWN_GRAPH),
    Artefact("executorch", "fp32", "model.fp32.pte"),
    Artefact("coreml", "w8a8", "model.w8a8.mlpackage", OWN_GRAPH),
    Artefact("coreml", "palette6", "model.palette6.mlpackage", OWN_WEIGHTS),
    Artefact("coreml", "int8", "model.int8.mlpackage", OWN_WEIGHTS),
    Artefact("coreml", "fp16", "model.fp16.mlpackage"),
    Artefact("coreml", "fp32", "model.fp32.mlpackage"),
    Artefact("onnx", "int8", "model.int8.onnx", OWN_GRAPH),
    Artefact("onnx", "fp32", "model.fp32.onnx"),
)
"""What can be written, slowest first: two processes share the work best in this order."""
ALWAYS_REQUIRED = ("model.fp32.pte", "model.fp32.onnx")
"""What phones and everything else can run without rounding: a bundle without them is none."""
_NOT_SHAPING = ("run", "checkpoint", "required", "strict", "processes", "step_limit_s")


@dataclass(frozen=True)
class ExportConfig:
    """The export stage: front end and student as one program, in three formats, each proven against PyTorch."""

    run: Path = DEFAULT_RUN
    """Run folder; its data and student stages must be finished."""
    checkpoint: Path | None = None
    """Another student: its weights (model.safetensors, config.json beside them) or their folder; the run's own if left
    out. It may hear a shorter window than the run's clips: it is proven on their middles."""
    to: tuple[Format, ...] = ("onnx", "executorch", "coreml")
    """Formats to write."""
    precision: tuple[Precision, ...] = ("fp32", "fp16", "int8", "palette6", "w8a8")
    """Precisions to write. CoreML has all of them; int8 is its weights' alone, w8a8 its activations' too."""
    golden: int = 5
    """Test clips that travel in the bundle with PyTorch's predictions, for the tests of every language."""
    held_out: int = 32
    """Further clips, from test and validation, that the programs are compared on."""
    calibration: int = 48
    """Training clips that set the ranges of the int8 activations."""
    sensitivity: int = 64
    """Validation clips, at most, on which the cost of int8 is measured; of each group alone, on 32 of them at most."""
    int8_drop: float = 0.01
    """Mean CCC that int8 may cost on the `--sensitivity` clips; beyond it, the most sensitive groups of operators stay
    float."""
    int8_prefer: Gain = "size"
    """What int8 is for, where it cannot be everywhere: a small file, or (with int8 dot products only) few float
    multiplications."""
    qat_steps: int = 0
    """Steps of a quantisation-aware finish where int8 costs more than .01 of mean CCC on validation; 0 never tries."""
    fp32_limit: float = 1e-4
    """Largest difference allowed between an fp32 program and PyTorch, in both outputs; compressed weights are compared
    with PyTorch on the same weights."""
    fp16_limit: float = 2e-3
    """Largest difference allowed between a float16 program and fp32 in PyTorch."""
    int8_limit: float = 5e-3
    """Largest difference allowed between an int8 program and its quantised graph: runtimes round differently."""
    int8_fp32_limit: float = 0.03
    """Largest difference allowed between an int8 program and fp32 in PyTorch: an eighth of a point of a 1-9 rating."""
    ccc_drop_limit: float | None = 0.01
    """Largest loss of mean CCC against fp32 in PyTorch, on the test songs (CoreML: on the compared clips): its 95 %
    interval must lie within. One that lies across the limit cannot be told, and ships with that word; None only reports
    the loss."""
    required: tuple[str, ...] = ()
    """Programs without which there is no bundle, as "model.int8.pte"; of those that are written, model.fp32.pte and
    model.fp32.onnx always. Any other that fails is left out, and named with its reason."""
    strict: bool = False
    """Whether there is no bundle as soon as a single program fails."""
    processes: int = 2
    """Programs written at the same time; each takes about 1.5 GB. 0 writes them in this process, one after the other
    and without --step-limit-s."""
    step_limit_s: float = 7200.0
    """Seconds that writing and proving a program may take; then it is ended, and left out."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing and choices that write nothing."""
        # Ranges of noise mean nothing, so int8 without calibration clips is refused, not guessed.
        if min(self.golden, self.calibration, self.sensitivity) < 1:
            raise ConfigError("golden, calibration and sensitivity must be at least 1")
        if min(self.held_out, self.qat_steps, self.processes) < 0:
            raise ConfigError("held_out, qat_steps and processes must be at least 0")
        if not self.step_limit_s > 0:
            raise ConfigError(f"step_limit_s is {self.step_limit_s:g}: no program is written in no time")
        if not self.artefacts:
            wish = f"{', '.join(self.to) or 'no format'} in {', '.join(self.precision) or 'no precision'}"
            raise ConfigError(
                f"nothing to write: {wish}; there are {', '.join(artefact.step for artefact in ARTEFACTS)}"
            )
        written = [artefact.file for artefact in self.artefacts]
        if missing := [name for name in self.required if name not in written]:
            raise ConfigError(f"--required {' '.join(missing)}: not among what is written: {', '.join(written)}")

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """What this config writes."""
        return tuple(
            artefact for artefact in ARTEFACTS if artefact.format in self.to and artefact.precision in self.precision
        )

    def limit(self, artefact: Artefact) -> float:
        """Return the largest difference allowed between an artefact and what it is compared with."""
        # Quantised programs are held to their own graph: what the runtime rounds otherwise, not what int8 costs.
        if artefact.against == OWN_GRAPH:
            return self.int8_limit
        return self.fp16_limit if artefact.precision == "fp16" else self.fp32_limit

    def is_required(self, file: str) -> bool:
        """Tell whether there is no bundle without this program."""
        return self.strict or file in self.required or file in ALWAYS_REQUIRED

    def shaping(self) -> dict[str, Any]:
        """Return the fields that shape the programs: not where they are made, by whom, nor which must be there."""
        return {name: value for name, value in vars(self).items() if name not in _NOT_SHAPING}


_FULL = ExportConfig(calibration=128)
PRESETS = {
    "full": _FULL,
    # What is streamlined is the training: its student is exported and proven like any other.
    "streamlined": _FULL,
    # The packages that only Macs and iPhones run, but for two, are left out to save a minute of a quarter of an hour.
    "demo": ExportConfig(precision=("fp32", "int8")),
    "recordings": ExportConfig(precision=("fp32", "int8")),
    # Nothing is learnt, so there is no CCC to lose.
    "smoke": ExportConfig(
        precision=("fp32", "int8"),
        golden=3,
        held_out=3,
        calibration=4,
        sensitivity=8,
        int8_drop=2.0,
        ccc_drop_limit=None,
    ),
}
