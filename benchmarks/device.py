"""A bundle on a connected phone: `python -m benchmarks.device --run runs/x --runner pte_runner`.

Over `adb` it pushes the ExecuTorch programs, the golden waveforms and a runner (export/executorch/runner, built for the
phone) to the phone's folder for tools, lets the programs answer the golden pairs and times them, and removes everything
again. Each program's answers are compared with those of the same program here. Rows go to RUN/device/results.json,
beside those of other phones; the next `python -m benchmarks` puts them into its table and report.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import INVALID, PASSED, Record, read_results, write_results
from benchmarks.rows import device_records
from pocketmood import command
from pocketmood.bundle import Bundle
from pocketmood.errors import RunError
from pocketmood.runs import read_json

FOLDER = "/data/local/tmp/pocketmood"
"""Where Android lets programs of a shell lie and run."""
WAVES = "golden/waveform.f32"
LIMITS = {"fp32": 1e-4, "int8": 1e-3}
"""Largest difference allowed to the same program on this computer; processors sum in another order."""
CALL_LIMIT_S = 900.0
Array = NDArray[np.float32]


class Adb:
    """The Android debug bridge to one device."""

    def __init__(self, program: str, serial: str | None) -> None:
        """Talk to the device of this serial number; to the only one if None."""
        self.start = [*shlex.split(program), *(["-s", serial] if serial else [])]

    def call(self, *words: str) -> str:
        """Run one command, and return what it printed; RunError with its last words."""
        try:
            done = subprocess.run(
                [*self.start, *words], capture_output=True, text=True, timeout=CALL_LIMIT_S, check=False
            )
        except FileNotFoundError:
            raise RunError(f"{self.start[0]}: not found; install Android's platform tools, or give --adb") from None
        except subprocess.TimeoutExpired:
            raise RunError(f"adb {words[0]}: no answer within {CALL_LIMIT_S:.0f} s") from None
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise RunError(f"adb {words[0]}: {last}")
        return done.stdout

    def shell(self, line: str) -> str:
        """Run a line in the device's shell, and return what it printed."""
        return self.call("shell", line)

    def name(self) -> str:
        """Name the device as its maker does; RunError unless it is connected and allows debugging."""
        state = self.call("get-state").strip()
        if state != "device":
            raise RunError(f"adb: the device is {state!r}; unlock it and allow debugging from this computer")
        return self.shell("getprop ro.product.model").strip() or "a device without a name"


def measure(
    adb: Adb, bundle: Bundle, runner: Path, libraries: Sequence[Path], repeats: int, threads: int
) -> list[Record]:
    """Let the phone answer and time every ExecuTorch program of a bundle; a program that breaks costs its own row."""
    name, kind = adb.name(), adb.shell("getprop ro.product.cpu.abi").strip()
    programs = sorted(file for file in bundle.about["files"] if file.endswith(".pte"))
    if not programs:
        raise RunError(f"{bundle.folder}: no .pte in this bundle; export it with --to executorch")
    bundle.verify()
    waves = golden(bundle)
    adb.shell(f"rm -rf {FOLDER} && mkdir -p {FOLDER}")
    try:
        for file in (runner, *libraries, bundle.folder / WAVES):
            adb.call("push", str(file), f"{FOLDER}/{file.name}")
        adb.shell(f"chmod 755 {FOLDER}/{runner.name}")
        records = []
        for program in programs:
            precision = program.split(".")[1]
            record = Record(f"{program} on {name}", f"ExecuTorch, {kind}", precision, _size(bundle, program))
            try:
                said = run_program(adb, bundle.folder / program, runner.name, repeats, threads)
                fill(record, said, answers_here(bundle, precision, waves), bundle.spec.seconds)
            except RunError as error:
                record.fail(str(error))
            records.append(record)
    finally:
        adb.shell(f"rm -rf {FOLDER}")
    return records


def run_program(adb: Adb, program: Path, runner: str, repeats: int, threads: int) -> dict[str, Any]:
    """Push a program, run it on the golden waveforms, and return the JSON line of the runner."""
    adb.call("push", str(program), f"{FOLDER}/{program.name}")
    line = (
        f"cd {FOLDER} && LD_LIBRARY_PATH=. ./{runner} {program.name} --waveforms {Path(WAVES).name} "
        f"--repeat {repeats} --threads {threads}"
    )
    said = (adb.shell(line).strip().splitlines() or [""])[-1]
    try:
        values: dict[str, Any] = json.loads(said)
    except json.JSONDecodeError:
        raise RunError(
            f"{runner}: said {said[:200]!r}, no JSON line; is it built from export/executorch/runner?"
        ) from None
    return values


def fill(record: Record, said: dict[str, Any], wanted: Array, seconds: float) -> None:
    """Write what the runner said into a row, and judge its answers [N, 4]: emotion and spread."""
    found = np.array(said["answers"], dtype=float)  # null, for what is no number, becomes NaN
    if found.shape != wanted.shape:
        record.fail(f"{len(found)} answers to {len(wanted)} golden waveforms")
        return
    record.parity_error = float(np.abs(found - wanted).max())
    limit = LIMITS[str(record.precision)]
    record.status = PASSED if record.parity_error <= limit else INVALID
    if record.status == INVALID:
        record.note(f"differs from the same program here by {record.parity_error:.2g}, more than {limit:g}")
    record.latency_ms_median, record.latency_ms_p95 = said["median_ms"], said["p95_ms"]
    record.real_time_factor = record.latency_ms_median / 1e3 / seconds if record.latency_ms_median else None
    record.first_ms, record.load_ms, record.threads = said["first_ms"], said["load_ms"], said["threads"]
    record.peak_rss_bytes = said["peak_rss_bytes"]
    record.note(f"{said['threads']} threads, without Python: its memory is a phone's")


def golden(bundle: Bundle) -> Array:
    """Read the golden waveforms [N, S]; RunError where the file is no whole number of them."""
    path = bundle.folder / WAVES
    values = np.fromfile(path, "<f4")
    if not len(values) or len(values) % bundle.samples:
        raise RunError(f"{path}: {len(values)} samples are no whole number of clips of {bundle.samples}")
    return values.reshape(-1, bundle.samples)


def answers_here(bundle: Bundle, precision: str, waves: Array) -> Array:
    """Return what the same program answers on this computer [N, 4]: emotion and spread."""
    predict = bundle.predictor("executorch", precision)
    return np.array([[*emotion, *spread] for emotion, spread in map(predict, waves)], np.float32)


def keep(run: Path, records: Sequence[Record]) -> list[Record]:
    """Write RUN/device/results.json: these rows, and those of other phones that it holds."""
    new = {record.name for record in records}
    rows = [record for record in device_records(run) if record.name not in new] + list(records)
    write_results(run / "device" / "results.json", rows)
    return rows


def _size(bundle: Bundle, program: str) -> int:
    return (bundle.folder / program).stat().st_size


def main(args: Sequence[str] | None = None) -> int:
    """Measure, keep the rows, print the table; exit code 1 where a program broke or answers differently."""
    from benchmarks import table

    top = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__.split("\n")[0])
    top.add_argument("--run", type=Path, required=True, help="run folder with a finished bundle")
    top.add_argument("--runner", type=Path, required=True, help="export/executorch/runner, built for the phone")
    top.add_argument("--libraries", type=Path, nargs="*", default=[], help="shared libraries that it needs there")
    top.add_argument("--adb", default="adb", help="the command (adb)")
    top.add_argument("--serial", help="which device, where several are connected (`adb devices`)")
    top.add_argument("--repeats", type=int, default=20, help="timed calls per golden waveform")
    top.add_argument("--threads", type=int, default=0, help="of the runtime's pool; 0 lets it choose")
    given = top.parse_args(args)
    for file in (given.runner, *given.libraries):
        if not file.is_file():
            raise RunError(f"{file}: not found; build export/executorch/runner for the phone first")
    if given.repeats < 1 or given.threads < 0:
        raise RunError(f"--repeats {given.repeats} must be at least 1, --threads {given.threads} at least 0")
    bundle = Bundle.open(given.run / "bundle")
    adb = Adb(given.adb, given.serial)
    records = measure(adb, bundle, given.runner, given.libraries, given.repeats, given.threads)
    rows = keep(given.run, records)
    measured = given.run / "benchmarks" / "results.json"
    if measured.is_file():
        on_devices = {record.name for record in rows}
        rows = [record for record in read_results(measured) if record.name not in on_devices] + rows
        songs = read_json(measured.with_name("stage.json"))["record"]["songs"]
        print(table.plain_text(rows, table.legend(songs, None, bundle.spec.seconds)), flush=True)
    else:
        print(table.plain_text(rows, f"The other rows: python -m benchmarks --run {given.run}"), flush=True)
    return 0 if all(record.status == PASSED for record in records) else 1


if __name__ == "__main__":
    command.start(main)
