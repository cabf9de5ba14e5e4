"""The generator given its time: score and its parts by epoch, for the recipe and for one change at a time.

`python -m benchmarks.studies.gan_training --run runs/demo` trains at the recipe's output size with a width that one
core can afford, measures every few epochs, and goes on where it stopped, until the epochs or the CPU minutes are used
up. A run with only its data stage is enough. Each training stays in RUN/gan_training/ARM: checkpoints, the generators
that were measured, sheets of their samples and a page to listen to. `--minutes 0` trains nothing and reports what is
there; where a measured.json has been deleted, its generator is measured again. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.studies import gan_curve
from benchmarks.studies.gan_arms import ARMS, BASE, Arm
from benchmarks.studies.gan_curve import PLAYED, SETTINGS, Played
from benchmarks.studies.result_files import RESULTS, parse_command, write_result
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from pocketmood.runs import read_json, write_json, write_text

if TYPE_CHECKING:
    from benchmarks.studies.gan_judge import Judge
    from teacher.gan.config import GanConfig
    from teacher.gan.train import GanTraining

FOLDER = "gan_training"
"""Of the run, beside its stages."""
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class GanTrainingConfig:
    """Which songs, which trainings, and for how long."""

    run: Path
    """Run folder with a finished data stage."""
    arms: tuple[str, ...] = ("recipe",)
    """Trainings, in this order; one that has its epochs, or its minutes, is left as it is."""
    epochs: int = 120
    """Passes over the training songs, at most."""
    minutes: float = 90.0
    """CPU minutes of each training over all calls, measuring left out, at most."""
    every: int = 5
    """Epochs from one measurement to the next."""
    seed: int = 0
    """Decides everything random."""
    listen_s: float = 10.0
    """Seconds of each sound of the newest measured generator; 0: no sounds."""
    out: Path = RESULTS / "gan-training"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse trainings that nobody has described."""
        strangers = sorted(set(self.arms) - ARMS.keys())
        if strangers or not self.arms:
            raise ConfigError(f"--arms {' '.join(strangers) or '(none)'}: choose among {', '.join(ARMS)}")
        if self.epochs < 1 or self.every < 1 or self.minutes < 0:
            raise ConfigError(f"--epochs {self.epochs}, --every {self.every}, --minutes {self.minutes}: too few")


def main(args: Sequence[str] | None = None) -> int:
    """Train, measure and write both files."""
    return run(*parse_command(GanTrainingConfig, "benchmarks.studies.gan_training", __doc__, args))


def run(config: GanTrainingConfig, typed: str, base: GanConfig = BASE) -> int:
    """Train every arm as far as it is allowed, then report all that the run holds; base differs in tests only."""
    import torch

    from benchmarks.studies.gan_judge import Judge
    from pocketmood.training.device import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)
    folder = RunFolder(config.run).beside(FOLDER)
    judge = Judge.open(RunFolder(config.run), folder, base)
    for name in config.arms:
        _train(ARMS[name], config, base, judge, folder / name)
    results = {"seed": config.seed, **gan_curve.collect(folder, judge.facts, config.epochs, config.minutes)}
    parts = gan_curve.report(results)
    write_result(config.out, "The generator, given its time", typed, results, parts)
    print("\n\n".join(parts), flush=True)
    return 0


def _train(arm: Arm, config: GanTrainingConfig, base: GanConfig, judge: Judge, folder: Path) -> None:
    """Continue one training, epoch by epoch, and measure it on its way."""
    from benchmarks.studies.gan_judge import complete
    from teacher.gan.train import GanTraining, gan_accelerator

    gan = replace(base, **arm.change)
    _settle(folder, gan, config)
    training = GanTraining(judge.songs, gan, gan_accelerator(), config.seed)
    done = training.resume(folder / CHECKPOINTS)
    # A kill between log and checkpoint leaves an epoch that is played again.
    played = [epoch for epoch in gan_curve.read_played(folder) if epoch.epoch <= done]
    spent = sum(epoch.cpu_s for epoch in played)
    if done == 0 and config.minutes:
        judge.measure(training.generator, folder, 0)

    while done < config.epochs and spent < 60 * config.minutes:
        played.append(_play(training, done))
        done, spent = done + 1, spent + played[-1].cpu_s
        write_text(folder / PLAYED, "".join(json.dumps(asdict(epoch)) + "\n" for epoch in played))
        training.save(folder / CHECKPOINTS, done)
        last = done >= config.epochs or spent >= 60 * config.minutes
        if done % config.every == 0 or last:
            judge.measure(training.generator, folder, done)
            print(gan_curve.line(arm.name, folder, played[-1]), flush=True)
    complete(folder, training, played)
    judge.measure_again(folder)
    judge.listen(training.generator, folder / "listen", done, config.listen_s)


def _play(training: GanTraining, done: int) -> Played:
    """Play one epoch under the processor's clock: the wall's would count everybody else on the machine."""
    start = time.process_time()
    turns = training.epoch(done)
    return Played.of(done + 1, turns, time.process_time() - start, training.config.strong)


def _settle(folder: Path, gan: GanConfig, config: GanTrainingConfig) -> None:
    """Hold a folder to one training: RunError where it was begun with other settings."""
    # What differs from the defaults: a field that is new, and at its default, changes no training.
    songs = RunFolder(config.run).fingerprint("data")
    settings = {"gan": gan_curve.differences(gan), "seed": config.seed, "songs": songs}
    path = folder / SETTINGS
    if not path.is_file():
        write_json(path, settings)
    elif read_json(path) != settings:
        raise RunError(f"{folder}: begun with other settings ({SETTINGS}); delete that folder, or keep to them")


if __name__ == "__main__":
    command.start(main)
