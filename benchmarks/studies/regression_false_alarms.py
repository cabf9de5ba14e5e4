"""Does `--against` tell a real 20 % slow-down from noise? Measured, with whatever else this machine does meanwhile.

`python -m benchmarks.studies.regression_false_alarms --run runs/demo` measures a bundle's programs in one process, the
earlier run, and then in `--trials` further ones. Each also measures every program once more with each call made 20 %
longer, by keeping the processor busy for a fifth of what that very call took: a slow-down of known size whatever else
the machine does. Against the earlier run, the first must be called "no change" and the second "worse". All other pairs
of runs are judged as well, which shows how often the rule errs. Raw ratios are kept in the result, so that another rule
can be tried without measuring anew.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import cpu_time, regression
from benchmarks.machine import describe
from benchmarks.rows import open_calls
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from benchmarks.subprocess_json import JsonProcess
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError

ROWS = ("model.fp32.onnx", "model.fp32.pte", "model.int8.pte")
SLOWER_BY = 0.2
SLOWED = " + 20 %"


@dataclass(frozen=True)
class FalseAlarmsConfig:
    """Which run to measure, and how often."""

    run: Path
    """Run folder with finished stages data and bundle."""
    trials: int = 10
    """Runs after the first."""
    repeats: int = 30
    """Rounds per run."""
    out: Path = RESULTS / "against-trials"
    """Result files without their endings."""
    one_seed: int | None = None
    """Measure once with this seed and print the ratios as JSON: what each run does in a process of its own."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be measured."""
        if min(self.trials, self.repeats) < 1:
            raise ConfigError(f"--trials {self.trials} and --repeats {self.repeats} must be at least 1")


Ratios = Mapping[str, Sequence[float]]
"""Row -> each round's time over the reference kernel's; slowed rows have SLOWED behind their names."""


def slowed(call: Callable[[], object], share: float) -> Callable[[], None]:
    """Return a call that takes `share` more processor time than the same call would have taken."""

    def longer() -> None:
        # A share of this very call, not of a mean: otherwise a call that was slow by chance would be slowed less.
        begun = time.process_time()
        call()
        end = begun + (time.process_time() - begun) * (1 + share)
        while time.process_time() < end:
            pass

    return longer


def measure(run: RunFolder, rounds: int, seed: int) -> dict[str, list[float]]:
    """Measure the programs and their slowed twins in this process, as the benchmarks do."""
    calls = open_calls(run, ROWS, threads=1)
    missing = set(ROWS) - set(calls)
    if missing:
        raise RunError(
            f"{run.folder('bundle')}: cannot open {', '.join(sorted(missing))}; type `python -m export` first"
        )
    # In the same turns as the programs themselves, so that both meet the same neighbours.
    twins = {name + SLOWED: slowed(call, SLOWER_BY) for name, call in calls.items()}
    return cpu_time.ratios({**calls, **twins}, rounds, seed)


def judge(runs: Sequence[Ratios]) -> dict[str, Any]:
    """Judge every later run against the first, and all pairs of runs; counts per row."""
    # Each run is compared with each in both directions: a false alarm is one whichever came first.
    names = [name for name in runs[0] if not name.endswith(SLOWED)]
    pairs = [(then, now) for then in range(len(runs)) for now in range(len(runs)) if then != now]
    rows = {}
    for name in names:
        found = {}
        for kind, twin in (("identical", name), ("slowed", name + SLOWED)):
            changes = {pair: regression.latency_change(runs[pair[0]][name], runs[pair[1]][twin]) for pair in pairs}
            verdicts = {pair: regression.judge_latency(change) for pair, change in changes.items()}
            found[kind] = {
                "called_worse": sum(
                    verdict == regression.WORSE for (then, _), verdict in verdicts.items() if then == 0
                ),
                "trials": len(runs) - 1,
                "called_worse_of_all_pairs": sum(verdict == regression.WORSE for verdict in verdicts.values()),
                "pairs": len(pairs),
                "lowest": min(change.difference for change in changes.values()),
                "highest": max(change.difference for change in changes.values()),
            }
        rows[name] = found
    # Against the first run only, as a user would: the pairs show how near to the edge that came.
    holds = all(row["identical"]["called_worse"] == 0 for row in rows.values())
    holds &= all(row["slowed"]["called_worse"] == row["slowed"]["trials"] for row in rows.values())
    return {"rows": rows, "holds": holds, "least_ratio": regression.LEAST_RATIO}


def table(results: Mapping[str, Any]) -> str:
    """Lay out the counts."""
    lines = [
        [
            f"{name}{SLOWED if kind == 'slowed' else ''}",
            f"{row['called_worse']} of {row['trials']}",
            f"{row['called_worse_of_all_pairs']} of {row['pairs']}",
            f"{row['lowest']:.3f}..{row['highest']:.3f}",
        ]
        for name, kinds in results["rows"].items()
        for kind, row in kinds.items()
    ]
    return markdown_table(["row", "called worse", "of all pairs of runs", "measured change, times"], lines)


def caption(results: Mapping[str, Any]) -> str:
    """Say what was measured, and whether the rule holds."""
    machine = results["machine"]
    return (
        f"{results['repeats']} rounds per run, one thread, on {machine['cpu']} ({machine['cores']} "
        f"cores), load average {results['load']:.1f} at the start. A change is called worse where the median ratio "
        f"grew {results['least_ratio']:g} times or more and its 99 % interval leaves out 1. The rule asks that every "
        f"slowed run is called worse and no identical one: it {'holds' if results['holds'] else 'does NOT hold'}."
    )


def measure_in_process(config: FalseAlarmsConfig, seed: int) -> dict[str, list[float]]:
    """Measure once in a fresh process, as two runs of the benchmarks would be: its threads and memory are its own."""
    words = ["--run", str(config.run.resolve()), "--repeats", str(config.repeats), "--one-seed", str(seed)]
    trial = JsonProcess(f"trial {seed}", "-m", "benchmarks.studies.regression_false_alarms", *words)
    found: dict[str, list[float]] = trial.result()
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Measure all runs, judge them, print and write the result; exit code 1 where the rule does not hold."""
    return run(*parse_command(FalseAlarmsConfig, "benchmarks.studies.regression_false_alarms", __doc__, args))


def run(config: FalseAlarmsConfig, typed: str) -> int:
    """Measure all runs and judge them; typed: the command for the result's head."""
    if config.one_seed is not None:
        print(json.dumps(measure(RunFolder(config.run), config.repeats, config.one_seed)))
        return 0

    # Before anything of ours runs: afterwards it would mostly count ourselves.
    load = os.getloadavg()[0]
    runs = []
    for seed in range(config.trials + 1):
        runs.append(measure_in_process(config, seed))
        print(f"run {seed} of {config.trials}: measured", flush=True)

    results = judge(runs) | {"repeats": config.repeats, "load": load, "machine": describe()}
    parts = [table(results), caption(results)]
    # Raw ratios stay, each run on a line: another rule can be tried on them.
    kept = results | {"runs": [json.dumps(ratios) for ratios in runs]}
    write_result(config.out, "A slow-down and noise", typed, kept, parts)
    print("\n\n".join(parts), flush=True)
    return 0 if results["holds"] else 1


if __name__ == "__main__":
    command.start(main)
