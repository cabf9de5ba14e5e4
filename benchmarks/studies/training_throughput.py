"""What our training loop costs: crops per second beside a plain timm loop of the same network, batch and crop size.

`python -m benchmarks.studies.training_throughput --run runs/demo` trains for some steps with each, in turns, and writes
OUT.json and OUT.md. Ours does all that `python -m student` does in a step: crops from the store, spectrograms, losses
against ratings and teacher, clipped gradients, averaged weights, log. The plain one draws ready spectrograms out of
memory and has one squared error: forward, backward, AdamW, as timm's network comes. A second plain row has
channels-last weights, as ours have. The limit is stated beside the figures; a slower machine is no error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.studies.result_files import command_line, markdown_table, write_result
from pocketmood import command
from pocketmood.errors import RunError
from student.config import PRESETS, StudentConfig

LIMIT = 0.9
"""Our crops per second over those of the plain loop must not fall below this."""
OURS, PLAIN, LAST = "ours", "plain timm loop", "plain timm loop, channels last"
_READY_BATCHES = 4


def plain_loop(config: StudentConfig, channels_last: bool) -> Callable[[int], float]:
    """Return a function that trains timm's network for so many steps and returns the seconds per step."""
    import timm
    import torch

    from student.mobilevit import shallower

    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    fused = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(True)  # as timm comes; the student, for ExecuTorch's sake, switches it off for everybody
    network = timm.create_model(config.model, in_chans=1, num_classes=2, **shallower(config.model, config.layers))
    timm.layers.set_fused_attn(fused)
    network = network.to(place, memory_format=layout).train()
    optimiser = torch.optim.AdamW(network.parameters(), config.schedule.learning_rate, fused=True)
    batches = [
        torch.randn(config.schedule.batch_size, 1, 128, config.crop_frames, device=place) for _ in range(_READY_BATCHES)
    ]
    batches = [batch.contiguous(memory_format=layout) for batch in batches]
    wanted = torch.zeros(config.schedule.batch_size, 2, device=place)
    gpu = place.type == "cuda"

    def train(steps: int) -> float:
        start = time.perf_counter()
        for step in range(steps):
            with torch.autocast(place.type, torch.bfloat16, enabled=gpu):  # as ours: half precision on a GPU only
                output = network(batches[step % len(batches)])
            loss = torch.nn.functional.mse_loss(output.float(), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    return train


def our_loop(run: Path, config: StudentConfig) -> Callable[[int], float]:
    """Return a function that trains a student as its stage does, for so many steps, and returns the seconds per step.

    Starting and closing an epoch (validation, checkpoint) is not counted: a plain loop would have that as well.
    """
    from pocketmood.data.run_folder import RunFolder
    from pocketmood.training.fit import Training, fit
    from student.distill import Distiller
    from student.mobilevit import Student
    from student.training_set import SoftTargetCrops, TrainingData, collate

    store, _, soft_targets = TrainingData.open(RunFolder(run))

    def train(steps: int) -> float:
        student = Student(config.model, config.stride, config.frames, layers=config.layers)
        size = config.schedule.batch_size
        recipe = replace(config, draws=-(-steps * size // len(soft_targets.ids)), whole_share=0.0)
        crops = SoftTargetCrops(store, soft_targets, student.spec, recipe)
        # Half a step less than asked, rounded up: `steps` of them, whatever a float makes of the quotient.
        schedule = replace(recipe.schedule, epochs=(steps - 0.5) / (len(crops) // size))
        distiller = Distiller(student, soft_targets.features.shape[-1], config.loss)
        with tempfile.TemporaryDirectory() as folder:
            history = fit(
                Training(distiller, crops, collate, lambda _: {"ccc_mean": 0.0}, Path(folder), schedule, config.seed)
            )
        return history[-1].step_seconds

    return train


def in_turns(
    loops: Mapping[str, Callable[[int], float]], steps: int, rounds: int, seed: int = 0
) -> dict[str, list[float]]:
    """Let each loop train for `steps` in each round, in a new seeded order; the first, untimed round warms up."""
    rng = np.random.default_rng(seed)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds + 1):
        for name in rng.permutation(list(loops)):
            spent = loops[name](steps)
            if turn:
                seconds[name].append(spent)
    return seconds


def summary(seconds: Mapping[str, Sequence[float]], batch_size: int) -> dict[str, Any]:
    """Turn seconds per step, round by round, into crops per second and our share of the plain loops'."""
    rates = {name: batch_size / np.asarray(values) for name, values in seconds.items()}
    rows = {
        name: {
            "crops_per_second": float(np.median(rate)),
            "ours_over_this": float(np.median(rates[OURS] / rate)),
            "lowest": float((rates[OURS] / rate).min()),
            "highest": float((rates[OURS] / rate).max()),
        }
        for name, rate in rates.items()
    }
    share = rows[PLAIN]["ours_over_this"]
    return {"rows": rows, "limit": LIMIT, "within_limit": share >= LIMIT, "seconds_per_step": dict(seconds)}


def table(results: Mapping[str, Any]) -> str:
    """Lay out the rates."""
    rows = [
        [name, f"{row['crops_per_second']:.1f}", f"{row['ours_over_this']:.2f}",
         f"{row['lowest']:.2f}..{row['highest']:.2f}"]
        for name, row in results["rows"].items()
    ]  # fmt: skip
    return markdown_table(["loop", "crops per second", "ours over this", "over rounds"], rows)


def caption(results: Mapping[str, Any]) -> str:
    """Say what was measured, and whether it is enough."""
    row, machine = results["rows"][PLAIN], results["machine"]
    verdict = "within" if results["within_limit"] else "NOT within"
    return (
        f"{results['model']}, batches of {results['batch_size']} crops of {results['crop_frames']} frames, "
        f"{results['rounds']} rounds of {results['steps']} steps each, in turns; medians over rounds. Our loop makes "
        f"{row['ours_over_this']:.1%} of the plain loop's crops per second: {verdict} the limit of {LIMIT:.0%}. "
        f"{machine['cpu']} ({machine['cores']} cores)."
    )


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write both files."""
    args = sys.argv[1:] if args is None else list(args)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.training_throughput", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="run folder with finished data and teacher stages")
    parser.add_argument("--preset", choices=list(PRESETS), default="demo", help="of the student")
    parser.add_argument("--steps", type=int, default=30, help="per loop and round")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/studies/results/student-throughput"))
    chosen = parser.parse_args(args)
    if min(chosen.steps, chosen.rounds) < 1:
        raise RunError(f"--steps {chosen.steps} and --rounds {chosen.rounds} must be at least 1")
    from pocketmood.training.device import keep_freed_memory

    keep_freed_memory()
    config = PRESETS[chosen.preset]
    loops = {OURS: our_loop(chosen.run, config), PLAIN: plain_loop(config, False), LAST: plain_loop(config, True)}
    results = summary(in_turns(loops, chosen.steps, chosen.rounds), config.schedule.batch_size)
    facts = {"model": config.model, "batch_size": config.schedule.batch_size, "crop_frames": config.crop_frames}
    results |= {**facts, "steps": chosen.steps, "rounds": chosen.rounds, "machine": describe()}
    parts = [table(results), caption(results)]
    line = command_line("benchmarks.studies.training_throughput", args)
    write_result(chosen.out, "What our training loop costs", line, results, parts)
    print("\n\n".join(parts), flush=True)


if __name__ == "__main__":
    command.start(main)
