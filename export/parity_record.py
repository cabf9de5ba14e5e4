"""The parity record of an artefact: its distance from PyTorch, its loss of CCC, its limits, and the verdict.

`parity.json` is a list of records, each one flat JSON object: the fields of all parts side by side, and without those
that do not apply to the artefact. `parity` computes them; whoever else needs one reads it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pocketmood.errors import BundleError
from pocketmood.runs import read_json

PARITY_FILE = "parity.json"
PASSED, FAILED, UNTOLD = "passed", "failed", "cannot be told"


@dataclass(frozen=True)
class Distance:
    """How far predictions lie from wanted ones: absolute differences in units of [-1, 1], and SQNR in dB."""

    clips: int
    """Clips that were compared."""
    max_error: float
    """Largest difference over both outputs and both axes; NaN where a prediction is no number."""
    emotion_max_error: float
    """Largest difference of the emotion."""
    emotion_mean_error: float
    """Mean difference of the emotion."""
    emotion_signed_error: float
    """Mean of found less wanted emotion: a bias, where it is as large as the mean difference."""
    emotion_sqnr_db: float
    """Signal-to-quantisation-noise ratio of the emotion."""
    interval68_max_error: float
    """Largest difference of the 68 % interval's half width."""
    interval68_mean_error: float
    """Mean difference of the half width."""
    interval68_signed_error: float
    """Mean of found less wanted half width."""
    interval68_sqnr_db: float
    """Signal-to-quantisation-noise ratio of the half width."""


@dataclass(frozen=True)
class DistanceToFp32:
    """How far predictions lie from those of fp32 in PyTorch, for an artefact that was compared with something else."""

    fp32_max_error: float
    """Largest difference over both outputs."""
    fp32_emotion_mean_error: float
    """Mean difference of the emotion."""
    fp32_emotion_signed_error: float
    """Mean of found less wanted emotion."""
    fp32_emotion_sqnr_db: float
    """Signal-to-quantisation-noise ratio of the emotion."""


@dataclass(frozen=True)
class CccChange:
    """What an artefact lost in CCC against fp32 in PyTorch; only `ccc_songs` where a prediction is no number."""

    ccc_songs: int
    """Songs that both were scored on."""
    ccc_mean: float | None = None
    """Mean CCC of the artefact, of valence and arousal."""
    ccc_drop: float | None = None
    """Mean CCC of fp32 PyTorch less that of the artefact."""
    ccc_drop_low: float | None = None
    """Lower end of the drop's 95 % interval over the same resampled songs."""
    ccc_drop_high: float | None = None
    """Upper end."""


@dataclass(frozen=True)
class Gates:
    """The limits that the verdict comes from, and the tolerance for other machines."""

    limit: float
    """Largest difference allowed to what the artefact was compared with."""
    tolerance: float
    """Largest difference, on any output, that a run on another machine may have to the golden pairs."""
    fp32_limit: float | None = None
    """Largest difference allowed to fp32 in PyTorch."""
    ccc_drop_limit: float | None = None
    """Largest drop of the mean CCC allowed."""


@dataclass(frozen=True)
class Facts:
    """What its writer and its reader count in a program; each format knows some of it."""

    size_bytes: int | None = None
    """Of the file, or of all files of a package."""
    write_s: float | None = None
    """Seconds that writing took here."""
    operators: int | None = None
    """Operators of an ONNX or CoreML graph."""
    opset: int | None = None
    """ONNX's set of operators."""
    operator_types: int | None = None
    """Different kinds of CoreML operators."""
    weights: int | None = None
    """Numbers that a CoreML package stores as floats."""
    compressed_weights: int | None = None
    """Numbers that a CoreML package stores in fewer bits."""
    compressed_tensors: int | None = None
    """Weight tensors of a CoreML package whose numbers are stored in fewer bits."""
    float16_ops: int | None = None
    """CoreML operators that compute in float16."""
    delegated_subgraphs: int | None = None
    """Parts of a `.pte` that XNNPACK computes; each further one costs a hand-over."""
    undelegated_ops: int | None = None
    """Operators left to portable kernels."""
    left_outside: str | None = None
    """The operators left to portable kernels, by name."""
    planned_bytes: int | None = None
    """Memory that ExecuTorch plans for activations."""
    quantised_ops: int | None = None
    """Operators that compute in int8."""
    float_ops: int | None = None
    """Operators that could compute in int8, and compute in float."""
    quantised: str | None = None
    """Operators in int8, by kind."""
    left_float: str | None = None
    """Operators that could be int8 and are float, by kind."""
    left_groups: Mapping[str, str] | None = None
    """Groups that the search left in float, each with its reason."""
    calibration_clips: int | None = None
    """Training clips that set the ranges of activations."""
    int8_cost: float | None = None
    """Mean CCC that int8 costs on validation, before a quantisation-aware finish."""
    int8_cost_finished: float | None = None
    """The same after it."""
    qat_steps: int | None = None
    """Steps of the finish that was kept; 0 where none was worth it."""
    qat_loss_first: float | None = None
    """Loss of the finish's first step."""
    qat_loss_last: float | None = None
    """Loss of its last."""
    caveat: str | None = None
    """What the proof leaves open."""

    def __or__(self, other: Facts) -> Facts:
        """Join the facts of two; the right one's win."""
        return replace(self, **other.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the facts that are known."""
        return _known(vars(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Facts:
        """Read facts that `to_json` wrote."""
        return cls(**values)


@dataclass(frozen=True)
class ParityRecord:
    """How an artefact was judged, and all that the verdict rests on."""

    artefact: str
    """Its file in the bundle."""
    verdict: str
    """"passed": it may ship; or "failed"."""
    reason: str = ""
    """Which gate is red; else what the proof leaves open."""
    ccc_verdict: str | None = None
    """Of the CCC alone: "passed", "failed", or "cannot be told" where the drop's interval lies across the limit, which
    closes no gate; None without a limit."""
    diverges: str | None = None
    """For a red one: where along the graph it leaves PyTorch."""
    against: str | None = None
    """What its predictions were compared with."""
    distance: Distance | None = None
    """From what it was compared with; None where it could not be run."""
    to_fp32: DistanceToFp32 | None = None
    """From fp32 in PyTorch, where it was compared with something else."""
    ccc: CccChange | None = None
    """Its loss of CCC."""
    gates: Gates | None = None
    """Its limits; None where there was nothing to be judged."""
    facts: Facts = field(default_factory=Facts)
    """What is known of the program itself."""

    @property
    def passed(self) -> bool:
        """Whether the artefact may ship."""
        return self.verdict == PASSED

    @property
    def verdict_in_words(self) -> str:
        """The verdict as pages show it, with what it leaves open."""
        return f"{self.verdict}, CCC {UNTOLD}" if self.passed and self.ccc_verdict == UNTOLD else self.verdict

    @property
    def why_not(self) -> str:
        """Why it may not ship, in one line; empty where it may."""
        return "" if self.passed else "; ".join(filter(None, (self.reason, self.diverges)))

    @property
    def fp32_max_error(self) -> float | None:
        """Largest difference to fp32 in PyTorch, whatever the artefact was compared with."""
        if self.to_fp32 is not None:
            return self.to_fp32.fp32_max_error
        return None if self.distance is None else self.distance.max_error

    def to_json(self) -> dict[str, Any]:
        """Return one flat object: the fields of all parts, without those that do not apply."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        flat: dict[str, Any] = {}
        for name, value in values.items():
            flat |= asdict(value) if is_dataclass(value) and not isinstance(value, type) else {name: value}
        return _known(flat)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: Path | str = PARITY_FILE) -> ParityRecord:
        """Read a flat object; BundleError names the keys that are missing or that no version of ours writes."""
        # The first bundles of this schema lack one key: without it they are whole, and worth reading.
        rest, parts, missing = {"ccc_verdict": None, **values}, dict[str, dict[str, Any]](), list[str]()
        for name, kind in _PARTS.items():
            parts[name] = {entry.name: rest.pop(entry.name) for entry in fields(kind) if entry.name in rest}
            # A part is there as a whole, or not at all: an artefact that could not be run has no distance.
            missing += _missing(kind, parts[name]) if parts[name] else []
        missing += _missing(cls, rest)
        unknown = sorted(set(rest) - {entry.name for entry in fields(cls)})
        if missing or unknown:
            faults = [f"no {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
            raise BundleError(
                f"{source}: the parity record of {values.get('artefact', 'an artefact')} has {' and '.join(faults)}; "
                "another version wrote it, export the bundle again"
            )
        return cls(**rest, **{name: kind(**parts[name]) for name, kind in _PARTS.items() if parts[name]})


def read_records(bundle: Path) -> list[ParityRecord]:
    """Read the parity records of a bundle; BundleError where there are none that this version understands."""
    path = bundle / PARITY_FILE
    if not path.is_file():
        raise BundleError(f"{path}: missing, so there are no tolerances; export it again")
    values = read_json(path)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise BundleError(f"{path}: no list of parity records; export it again")
    return [ParityRecord.from_json(value, path) for value in values]


def tolerances(bundle: Path, suffix: str) -> dict[str, float]:
    """Map each program of a bundle with this ending to its tolerance; BundleError for one that was never judged.

    Whoever runs a program on another machine looks its tolerance up, and computes none.
    """
    records = [record for record in read_records(bundle) if record.artefact.endswith(suffix)]
    unjudged = [record.artefact for record in records if record.gates is None]
    if unjudged:
        raise BundleError(f"{bundle / PARITY_FILE}: {', '.join(unjudged)} has no tolerance; export it again")
    return {record.artefact: record.gates.tolerance for record in records if record.gates is not None}


_PARTS: dict[str, type[Any]] = {
    "distance": Distance,
    "to_fp32": DistanceToFp32,
    "ccc": CccChange,
    "gates": Gates,
    "facts": Facts,
}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _missing(kind: type[Any], values: Mapping[str, Any]) -> list[str]:
    """List the fields without a default that are not among the values."""
    required = (entry for entry in fields(kind) if entry.default is MISSING and entry.default_factory is MISSING)
    return [entry.name for entry in required if entry.name not in values]
