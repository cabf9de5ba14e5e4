"""All programs of a bundle as a result to keep: size, distance from PyTorch, cost in CCC, what stays outside.

`python -m benchmarks.studies.programs --bundle runs/x/bundle --out benchmarks/studies/results/NAME` writes OUT.json and
OUT.md from the bundle's parity records.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.studies.result_files import command_line, markdown_table, write_result
from pocketmood import command
from pocketmood.errors import BundleError
from pocketmood.runs import STAGE_FILE, read_json

KEPT = (
    *("verdict", "against", "max_error", "limit", "fp32_max_error", "emotion_sqnr_db", "clips"),
    *("ccc_drop", "ccc_drop_low", "ccc_drop_high", "ccc_songs", "delegated_subgraphs", "undelegated_ops"),
    *("quantised", "left_float"),
)


def collect(bundle: Path) -> dict[str, Any]:
    """Return what a bundle's records say of each program; BundleError where it is none."""
    files = [bundle / name for name in ("bundle.json", "parity.json", STAGE_FILE)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise BundleError(f"{bundle}: no {', '.join(missing)} in it; pass the folder that `python -m export` wrote")
    about, records, stage = (read_json(file) for file in files)
    programs = [
        {"name": one["artefact"], "megabytes": one["size_bytes"] / 1e6, **{key: one.get(key) for key in KEPT}}
        for one in records
    ]
    facts = {"student": about["name"], "parameters": about["parameters"], "wall_s": stage["wall_s"]}
    return {**facts, "programs": programs, "machine": describe()}


def table(values: Mapping[str, Any]) -> str:
    """Lay out the programs."""
    rows = [
        [
            one["name"], f"{one['megabytes']:.2f}", f"{one['max_error']:.1e}", f"{one['limit']:.0e}",
            "-" if one["fp32_max_error"] is None else f"{one['fp32_max_error']:.1e}",
            "-" if one["ccc_drop"] is None
            else f"{one['ccc_drop']:+.4f} [{one['ccc_drop_low']:+.4f}, {one['ccc_drop_high']:+.4f}]",
            "-" if one["delegated_subgraphs"] is None else f"{one['delegated_subgraphs']}+{one['undelegated_ops']}",
            str(one["verdict"]),
        ]
        for one in values["programs"]
    ]  # fmt: skip
    head = ["program", "MB", "max error", "limit", "from fp32", "CCC drop [95 %]", "graphs", "verdict"]
    return markdown_table(head, rows)


def notes(values: Mapping[str, Any]) -> list[str]:
    """Say what the columns are, program by program what they were compared with, and what is int8."""
    clips, songs = (sorted({one[key] for one in values["programs"]}) for key in ("clips", "ccc_songs"))
    text = (
        f"{values['student']}, {values['parameters'] / 1e6:.2f} M parameters; written and proven in "
        f"{values['wall_s']:.0f} s on {values['machine']['cpu']} ({values['machine']['cores']} cores). Largest error "
        f"over both outputs of {_either(clips)} clips, CCC over {_either(songs)} songs. graphs: delegated subgraphs + "
        "operators left outside."
    )
    lines = [f"- {one['name']}: compared with {one['against']}" + _in_int8(one) for one in values["programs"]]
    return [text, "\n".join(lines)]


def _either(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


def _in_int8(one: Mapping[str, Any]) -> str:
    return f"; int8: {one['quantised']}; float: {one['left_float'] or 'nothing'}" if one["quantised"] else ""


def main(args: Sequence[str] | None = None) -> None:
    """Collect, print, and write both files."""
    args = sys.argv[1:] if args is None else list(args)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.programs", description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", type=Path, required=True, help="folder that `python -m export` wrote")
    parser.add_argument("--out", type=Path, required=True, help="result files without their endings")
    chosen = parser.parse_args(args)
    values = collect(chosen.bundle)
    parts = [table(values), *notes(values)]
    line = command_line("benchmarks.studies.programs", args)
    write_result(chosen.out, f"Programs of {values['student']}", line, values, parts)
    print("\n\n".join(parts), flush=True)


if __name__ == "__main__":
    command.start(main)
