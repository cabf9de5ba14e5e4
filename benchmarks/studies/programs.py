"""Table of a bundle's programs as a result to keep: size, distance from PyTorch, CCC drop, what stays outside.

`python -m benchmarks.studies.programs --bundle runs/x/bundle --out benchmarks/studies/results/NAME` writes OUT.json and
OUT.md from the bundle's parity records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.studies.result_files import markdown_table, parse_command, write_result
from export.parity_record import PARITY_FILE, ParityRecord, read_records
from pocketmood import command
from pocketmood.bundle import Bundle
from pocketmood.errors import BundleError
from pocketmood.runs import STAGE_FILE, read_stage


@dataclass(frozen=True)
class ProgramsConfig:
    """Which bundle to describe, and where."""

    bundle: Path
    """Folder that `python -m export` wrote."""
    out: Path
    """Result files without their endings."""


@dataclass(frozen=True)
class ProgramFacts:
    """What a reader compares of one program; None where a format does not tell. The rest stays in the bundle."""

    name: str
    """The program's file in the bundle."""
    megabytes: float
    """Its size, in millions of bytes."""
    verdict: str | None = None
    """Whether it passed its proof."""
    against: str | None = None
    """What its outputs were compared with."""
    max_error: float | None = None
    """Largest difference to that on any output."""
    limit: float | None = None
    """What that difference may be."""
    fp32_max_error: float | None = None
    """Largest difference to fp32 in PyTorch, for a program that was compared with something else."""
    emotion_sqnr_db: float | None = None
    """Signal to quantisation noise of the emotion."""
    clips: int | None = None
    """Clips that were compared."""
    ccc_drop: float | None = None
    ccc_drop_low: float | None = None
    ccc_drop_high: float | None = None
    """Mean CCC that was lost to fp32 in PyTorch, with its 95 % interval."""
    ccc_songs: int | None = None
    """Songs behind it."""
    delegated_subgraphs: int | None = None
    """Parts that XNNPACK computes."""
    undelegated_ops: int | None = None
    """Operators outside of the delegated subgraphs."""
    quantised: str | None = None
    """What is int8, by kind of layer."""
    left_float: str | None = None
    """What is not."""

    @classmethod
    def of(cls, proof: ParityRecord) -> ProgramFacts:
        """Take over what a parity record says."""
        # Flat, as in parity.json: stored results keep its names.
        flat = proof.to_json()
        kept = {field.name: flat[field.name] for field in fields(cls) if field.name in flat}
        return cls(**kept | {"name": proof.artefact, "megabytes": (proof.facts.size_bytes or 0) / 1e6})


@dataclass(frozen=True)
class Programs:
    """All programs of a bundle, and where they were made."""

    student: str
    """timm's name of the network."""
    parameters: int
    """Trained numbers of the student."""
    wall_s: float
    """Time that writing and proving them took."""
    programs: tuple[ProgramFacts, ...]
    """One per file of the bundle's parity.json."""
    machine: dict[str, Any]
    """`benchmarks.machine.describe`."""


def collect(bundle: Path) -> Programs:
    """Return what a bundle's records say of each program; BundleError where it is none."""
    files = [bundle / name for name in ("bundle.json", PARITY_FILE, STAGE_FILE)]
    # stage.json, too: a folder that only looks like a bundle cannot say how long it took, or from what it came.
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise BundleError(f"{bundle}: no {', '.join(missing)} in it; pass the folder that `python -m export` wrote")
    about, stage = Bundle.open(bundle), read_stage(bundle)
    programs = tuple(ProgramFacts.of(proof) for proof in read_records(bundle))
    return Programs(about.name, about.parameters, stage.wall_s, programs, describe())


def table(values: Programs) -> str:
    """Lay out the programs."""
    rows = []
    for program in values.programs:
        drop, graphs = "-", "-"
        if program.ccc_drop is not None:
            # Four decimals: int8 costs thousandths, and its interval is as narrow.
            drop = f"{program.ccc_drop:+.4f} [{program.ccc_drop_low:+.4f}, {program.ccc_drop_high:+.4f}]"
        if program.delegated_subgraphs is not None:
            graphs = f"{program.delegated_subgraphs}+{program.undelegated_ops}"
        from_fp32 = "-" if program.fp32_max_error is None else f"{program.fp32_max_error:.1e}"
        errors = [f"{program.max_error:.1e}", f"{program.limit:.0e}", from_fp32]
        rows.append([program.name, f"{program.megabytes:.2f}", *errors, drop, graphs, str(program.verdict)])
    head = ["program", "MB", "max error", "limit", "from fp32", "CCC drop [95 %]", "graphs", "verdict"]
    return markdown_table(head, rows)


def notes(values: Programs) -> list[str]:
    """Say what the columns are, program by program what they were compared with, and what is int8."""
    # Programs of one bundle need not all have been compared over as many clips.
    clips = sorted({program.clips for program in values.programs if program.clips is not None})
    songs = sorted({program.ccc_songs for program in values.programs if program.ccc_songs is not None})
    text = (
        f"{values.student}, {values.parameters / 1e6:.2f} M parameters; written and proven in "
        f"{values.wall_s:.0f} s on {values.machine['cpu']} ({values.machine['cores']} cores). Largest error "
        f"over both outputs of {_either(clips)} clips, CCC over {_either(songs)} songs. graphs: delegated subgraphs + "
        "operators left outside."
    )
    lines = [f"- {program.name}: compared with {program.against}{_in_int8(program)}" for program in values.programs]
    return [text, "\n".join(lines)]


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


def _in_int8(program: ProgramFacts) -> str:
    if not program.quantised:
        return ""
    return f"; int8: {program.quantised}; float: {program.left_float or 'nothing'}"


def main(args: Sequence[str] | None = None) -> int:
    """Collect, print, and write both files."""
    return run(*parse_command(ProgramsConfig, "benchmarks.studies.programs", __doc__, args))


def run(config: ProgramsConfig, typed: str) -> int:
    """Collect, print, and write both files; typed: the command for the result's head."""
    values = collect(config.bundle)
    parts = [table(values), *notes(values)]
    write_result(config.out, f"Programs of {values.student}", typed, asdict(values), parts)
    print("\n\n".join(parts), flush=True)
    return 0


if __name__ == "__main__":
    command.start(main)
