"""What our training loop costs: crops per second beside a plain timm loop of the same network, batch and crop size.

`python -m benchmarks.studies.training_throughput --run runs/demo` trains for some steps with each, in turns, and writes
OUT.json and OUT.md. Ours does all that `python -m student` does in a step: crops from the store, spectrograms, losses
against ratings and teacher, clipped gradients, averaged weights, log. The plain one draws ready spectrograms out of
memory and has one squared error: forward, backward, AdamW, as timm's network comes. A second plain row has
channels-last weights, as ours have. The limit is stated beside the figures; a slower machine is no error.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.machine import describe
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError
from student.config import PRESETS, StudentConfig

LIMIT = 0.9
"""Our crops per second over those of the plain loop must not fall below this."""
OURS, PLAIN, LAST = "ours", "plain timm loop", "plain timm loop, channels last"
_READY_BATCHES = 4


@dataclass(frozen=True)
class ThroughputConfig:
    """Which student to train, and for how long."""

    run: Path
    """Run folder with finished data and teacher stages."""
    preset: Literal["full", "streamlined", "demo", "smoke"] = "demo"
    """The student's recipe."""
    steps: int = 30
    """Steps per loop and round."""
    rounds: int = 5
    """Timed rounds."""
    out: Path = RESULTS / "student-throughput"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse settings that measure nothing."""
        if min(self.steps, self.rounds) < 1:
            raise ConfigError(f"--steps {self.steps} and --rounds {self.rounds} must be at least 1")


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


def our_loop(run: RunFolder, config: StudentConfig) -> Callable[[int], float]:
    """Return a function that trains a student as its stage does, for so many steps, and returns the seconds per step.

    Starting and closing an epoch (validation, checkpoint) is not counted: a plain loop would have that as well.
    """
    from pocketmood.training.fit import Training, fit
    from student.distill import Distiller
    from student.mobilevit import Student
    from student.training_set import SoftTargetCrops, TrainingData, collate

    data = TrainingData.open(run)
    store, soft_targets = data.store, data.soft_targets

    def train(steps: int) -> float:
        student = Student(config.model, config.stride, config.frames, layers=config.layers)
        size = config.schedule.batch_size
        recipe = replace(config, draws=-(-steps * size // len(soft_targets.ids)), whole_share=0.0)
        crops = SoftTargetCrops(store, soft_targets, student.spec, recipe)
        # Half a step less than asked, rounded up: `steps` of them, whatever a float makes of the quotient.
        schedule = replace(recipe.schedule, epochs=(steps - 0.5) / (len(crops) // size))
        distiller = Distiller(student, soft_targets.features.shape[-1], config.loss)
        with tempfile.TemporaryDirectory() as folder:
            score = {"ccc_mean": 0.0}  # validation is not timed, so that it need not cost anything either
            training = Training(distiller, crops, collate, lambda _: score, Path(folder), schedule, config.seed)
            history = fit(training)
        return history[-1].step_seconds

    return train


def in_turns(
    loops: Mapping[str, Callable[[int], float]], steps: int, rounds: int, seed: int = 0
) -> dict[str, list[float]]:
    """Let each loop train for `steps` in each round, in a new seeded order; the first, untimed round warms up."""
    rng = np.random.default_rng(seed)
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds + 1):
        # A new order each time: a machine that slows down during a round must not always slow the same loop.
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


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and write both files."""
    return run(*parse_command(ThroughputConfig, "benchmarks.studies.training_throughput", __doc__, args))


def run(config: ThroughputConfig, typed: str) -> int:
    """Measure, print, and write both files; typed: the command for the result's head."""
    from pocketmood.training.device import keep_freed_memory

    # As the student's stage does; without it both kinds of loop would be slower, and not by the same factor.
    keep_freed_memory()
    recipe = PRESETS[config.preset]
    folder = RunFolder(config.run)
    loops = {OURS: our_loop(folder, recipe), PLAIN: plain_loop(recipe, False), LAST: plain_loop(recipe, True)}

    results = summary(in_turns(loops, config.steps, config.rounds), recipe.schedule.batch_size)
    facts = {"model": recipe.model, "batch_size": recipe.schedule.batch_size, "crop_frames": recipe.crop_frames}
    results |= {**facts, "steps": config.steps, "rounds": config.rounds, "machine": describe()}
    parts = [table(results), caption(results)]
    write_result(config.out, "What our training loop costs", typed, results, parts)
    print("\n\n".join(parts), flush=True)
    return 0


if __name__ == "__main__":
    command.start(main)
