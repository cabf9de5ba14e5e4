"""A bundle on a connected phone: `python -m benchmarks.device --run runs/x --runner pte_runner`.

Over `adb` it pushes the ExecuTorch programs, the golden waveforms and a runner (export/executorch/runner, built for the
phone) to the phone's folder for tools, lets the programs predict the golden waveforms and times them, and removes
everything again. Predictions are compared with the golden ones, within the tolerance that parity.json states for each
program. Rows go to RUN/device/results.json, beside those of other phones; the next `python -m benchmarks` puts them
into its table and report.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.record import INVALID, PASSED, BenchmarksRecord, Record, read_results, write_results
from benchmarks.rows import device_records
from export.golden import WAVEFORMS, golden_pairs
from export.parity_record import tolerances
from pocketmood import command
from pocketmood.bundle import Bundle
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError

FOLDER = "/data/local/tmp/pocketmood"
"""Where Android lets programs of a shell lie and run."""
CALL_LIMIT_S = 900.0
Array = NDArray[np.float32]


@dataclass(frozen=True)
class DeviceConfig:
    """Which run to take to which phone, and how."""

    run: Path
    """Run folder with a finished bundle."""
    runner: Path
    """export/executorch/runner, built for the phone."""
    libraries: tuple[Path, ...] = ()
    """Shared libraries that the runner needs there."""
    adb: str = "adb"
    """The command."""
    serial: str | None = None
    """Which device, where several are connected (`adb devices`)."""
    repeats: int = 20
    """Timed calls per golden waveform."""
    threads: int = 0
    """Threads of the runtime's pool; 0 lets it choose."""

    def __post_init__(self) -> None:
        """Refuse files that are not there and settings that cannot be measured."""
        for file in (self.runner, *self.libraries):
            if not file.is_file():
                raise ConfigError(f"{file}: not found; build export/executorch/runner for the phone first")
        if self.repeats < 1 or self.threads < 0:
            raise ConfigError(f"--repeats {self.repeats} must be at least 1, --threads {self.threads} at least 0")


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


def measure(adb: Adb, bundle: Bundle, config: DeviceConfig) -> list[Record]:
    """Let the phone run and time every ExecuTorch program of a bundle; a program that breaks costs its own row."""
    name, kind = adb.name(), adb.shell("getprop ro.product.cpu.abi").strip()
    programs = sorted(file for file in bundle.files if file.endswith(".pte"))
    if not programs:
        raise RunError(f"{bundle.folder}: no .pte in this bundle; export it with --to executorch")
    bundle.verify()
    _, golden = golden_pairs(bundle.folder)
    allowed = tolerances(bundle.folder, ".pte")

    # What an interrupted call left there must not be run.
    adb.shell(f"rm -rf {FOLDER} && mkdir -p {FOLDER}")
    try:
        for file in (config.runner, *config.libraries, bundle.folder / WAVEFORMS):
            adb.call("push", str(file), f"{FOLDER}/{file.name}")
        # Pushed from some systems, a file loses its permission to run.
        adb.shell(f"chmod 755 {FOLDER}/{config.runner.name}")
        records = []
        for program in programs:
            path = bundle.folder / program
            record = Record(f"{program} on {name}", f"ExecuTorch, {kind}", program.split(".")[1], path.stat().st_size)
            try:
                output = run_program(adb, path, config)
                fill(record, output, golden, allowed[program])
                _fill_costs(record, output, bundle.spec.seconds)
            except RunError as error:
                record.fail(str(error))
            records.append(record)
    finally:
        adb.shell(f"rm -rf {FOLDER}")
    return records


def run_program(adb: Adb, program: Path, config: DeviceConfig) -> dict[str, Any]:
    """Push a program, run it on the golden waveforms, and return the JSON line of the runner."""
    adb.call("push", str(program), f"{FOLDER}/{program.name}")
    runner = config.runner.name
    # Libraries lie beside the runner: a phone's linker looks for them in the system's folders only.
    line = (
        f"cd {FOLDER} && LD_LIBRARY_PATH=. ./{runner} {program.name} --waveforms {Path(WAVEFORMS).name} "
        f"--repeat {config.repeats} --threads {config.threads}"
    )
    # The runtime logs to the same stream; the runner's own line comes last.
    last = (adb.shell(line).strip().splitlines() or [""])[-1]
    try:
        values: dict[str, Any] = json.loads(last)
    except json.JSONDecodeError:
        raise RunError(
            f"{runner}: said {last[:200]!r}, no JSON line; is it built from export/executorch/runner?"
        ) from None
    return values


def fill(record: Record, output: dict[str, Any], golden: Array, tolerance: float) -> None:
    """Judge the runner's predictions against the golden ones [N, 4]: emotion and interval68."""
    found = np.array(output["predictions"], dtype=float)  # null, for what is no number, becomes NaN
    if found.shape != golden.shape:
        raise RunError(f"{len(found)} predictions for {len(golden)} golden waveforms")
    record.parity_error = float(np.abs(found - golden).max())
    # In this direction, so that NaN passes nothing.
    record.status = PASSED if record.parity_error <= tolerance else INVALID
    if record.status == INVALID:
        record.note(f"differs from the golden pairs by {record.parity_error:.2g}, more than {tolerance:g}")


def _fill_costs(record: Record, output: dict[str, Any], seconds: float) -> None:
    """Write what the runner measured into a row."""
    record.latency_ms_median, record.latency_ms_p95 = output["median_ms"], output["p95_ms"]
    record.real_time_factor = record.latency_ms_median / 1e3 / seconds if record.latency_ms_median else None
    record.first_ms, record.load_ms, record.threads = output["first_ms"], output["load_ms"], output["threads"]
    record.peak_rss_bytes = output["peak_rss_bytes"]
    record.note(f"{output['threads']} threads, without Python: its memory is a phone's")


def keep(run: RunFolder, records: Sequence[Record]) -> list[Record]:
    """Write RUN/device/results.json: these rows, and those of other phones that it holds."""
    new = {record.name for record in records}
    rows = [record for record in device_records(run) if record.name not in new] + list(records)
    write_results(run.device_results, rows)
    return rows


def main(args: Sequence[str] | None = None) -> int:
    """Take a bundle to a phone; exit code 1 where a program broke or predicts something else."""
    return run(command.parse(DeviceConfig, "python -m benchmarks.device", __doc__, args))


def run(config: DeviceConfig) -> int:
    """Measure, keep the rows, print the table."""
    folder = RunFolder(config.run)
    records = measure(Adb(config.adb, config.serial), folder.bundle, config)
    rows = keep(folder, records)

    if folder.results.is_file():
        # An earlier table may hold rows of this phone already.
        on_devices = {record.name for record in rows}
        rows = [record for record in read_results(folder.results) if record.name not in on_devices] + rows
        songs = BenchmarksRecord.of(folder.stage_file("benchmarks")).songs
        legend = table.legend(songs, None, folder.bundle.spec.seconds, folder.data_record.label_kind)
        print(table.plain_text(rows, legend), flush=True)
    else:
        print(table.plain_text(rows, f"The other rows: python -m benchmarks --run {config.run}"), flush=True)
    return 0 if all(record.status == PASSED for record in records) else 1


if __name__ == "__main__":
    command.start(main)
