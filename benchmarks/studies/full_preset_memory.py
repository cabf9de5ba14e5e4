"""Peak memory and time of one optimiser step of each network of the full preset: whether it fits.

`python -m benchmarks.studies.full_preset_memory` trains on noise of the right shapes: one step of the
adversary and one of the generator at the recipe's batch, and one of ViT-B/16 with every layer learning (more than the
recipe ever lets learn at once) from random weights. Each step runs once untimed first, after which the optimisers'
moments are there for good.

Memory: on a GPU `torch.cuda.max_memory_allocated`. On a CPU the peak of what torch.profiler sees allocated during the
step, on top of networks, moments and batch: all tensors, but neither the interpreter nor a library's own scratch space,
and in float32 where a GPU computes most of it in bfloat16.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from pocketmood import command
from teacher.config import TeacherConfig, VitConfig
from teacher.presets import PRESETS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split

LIMIT_BYTES = 4_700_000_000
"""Peak memory that no step of the recipe may exceed."""
SONGS = 8
"""Songs of noise; a batch takes them over and over."""
ON_CPU, ON_GPU = "tensor memory by torch.profiler on the CPU, float32", "torch.cuda.max_memory_allocated"


@dataclass(frozen=True)
class FullPresetMemoryConfig:
    """Which steps to measure."""

    gan: bool = False
    """Only the GAN's steps."""
    vit: bool = False
    """Only the ViT's step."""
    out: Path = RESULTS / "full-size"
    """Result files without their endings."""


@dataclass(frozen=True)
class Step:
    """One measured optimiser step."""

    name: str
    """Which step of which network."""
    parameters: int
    """Of the network that takes the step."""
    images: int
    """Spectrograms that the step learns from."""
    seconds: float
    """Wall time."""
    peak_bytes: int
    """Largest memory during the step."""
    memory: str
    """How the peak was measured."""
    limit_bytes: int = LIMIT_BYTES
    """Memory that it must fit into."""

    @property
    def verdict(self) -> str:
        """Say whether the step fits."""
        fits = "fits" if self.peak_bytes <= self.limit_bytes else "DOES NOT FIT"
        return f"{self.name}: {self.peak_bytes / 1e9:.2f} GB of {self.limit_bytes / 1e9:.1f} GB, {fits}"

    def values(self) -> dict[str, Any]:
        """Return all fields and what follows from them."""
        rate = {"images_per_second": self.images / self.seconds, "fits": self.peak_bytes <= self.limit_bytes}
        return asdict(self) | rate | {"verdict": self.verdict}


def noise_songs(folder: Path, count: int = SONGS) -> tuple[ClipStore, Split]:
    """Write a store of rated noise, `count` songs of it for training."""
    from pocketmood.data.clips import Clip, ClipStore
    from pocketmood.data.split import Split
    from pocketmood.emotion import Emotion
    from pocketmood.spec import MelSpec

    spec, rng = MelSpec(), np.random.default_rng(0)
    points = rng.uniform(-0.7, 0.7, (count + 2, 2))
    clips = [
        Clip(f"noise-{row}", None, Emotion(*map(float, point)), Emotion(0.3, 0.3)) for row, point in enumerate(points)
    ]
    # One by one: all of them at once would be part of the peak that is measured.
    waves = (0.1 * rng.standard_normal(spec.samples, np.float32) for _ in clips)
    store = ClipStore.write(folder, clips, waves, spec)
    *train, validation, test = store.ids
    return store, Split(tuple(train), (validation,), (test,), 0, "song")


def measured(step: Callable[[], object], place: torch.device, before: int) -> tuple[float, int, str]:
    """Run a step; returns its seconds, its peak in bytes, and how that was found.

    before: bytes of the tensors that live through the step, which a profiler on the CPU does not see.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    if place.type == "cuda":
        # Kernels run behind Python's back: without waiting, the step would seem to take no time.
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        return time.perf_counter() - start, torch.cuda.max_memory_allocated(), ON_GPU
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
    return seconds, before + _peak(profiler), ON_CPU


def tensor_bytes(modules: Iterable[nn.Module], optimizers: Iterable[Any], others: Iterable[Any] = ()) -> int:
    """Count the bytes of parameters, buffers and gradients, of optimisers' moments, and of other tensors, each once."""
    import torch

    found = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    found += [tensor.grad for tensor in found if tensor.grad is not None]
    found += [value for optimizer in optimizers for state in optimizer.state.values() for value in state.values()]
    found += list(others)
    # By address: tied weights and views of one storage are there once.
    unique = {tensor.data_ptr(): tensor for tensor in found if isinstance(tensor, torch.Tensor)}
    return sum(tensor.untyped_storage().nbytes() for tensor in unique.values())


def gan_steps(config: TeacherConfig, folder: Path) -> list[Step]:
    """Take one step of the adversary and one of the generator, at the preset's width, batch and accumulation."""
    from teacher.gan.train import GanTraining, gan_accelerator
    from teacher.gan.training_songs import TrainingSongs

    accelerator = gan_accelerator()
    place = accelerator.device
    store, split = noise_songs(folder)
    training = GanTraining(TrainingSongs(store, split, place), config.gan, accelerator, config.seed)
    adversary, generator = training.adversary, training.generator
    modules = (generator, adversary.network, training.songs.front)
    optimizers = (training.optimizer, adversary.optimizer)
    clips = config.gan.batch_size * config.gan.accumulation
    # The two halves of `GanTraining.epoch`, which decides how often each comes: here it is once.
    steps = {
        "GAN, adversary": (training._adversary_step, adversary.network, 2 * clips),
        "GAN, generator": (training._generator_step, generator, clips),
    }
    # Untimed: optimisers make their moments at the first step, and keep them.
    for step, _, _ in steps.values():
        step(0, 0, 0)
    found = []
    for name, (step, network, images) in steps.items():
        before = tensor_bytes(modules, optimizers)
        found.append(Step(name, _count(network), images, *measured(partial(step, 0, 1, 0), place, before)))
    return found


def vit_step(config: TeacherConfig, folder: Path) -> Step:
    """Take one step of fine-tuning with every layer learning, at the preset's batch, from random weights."""
    import torch

    from pocketmood.mel import MelFrontEnd
    from pocketmood.training.device import choose_precision, default_device
    from teacher.finetune import FineTune
    from teacher.unfreezing import parameter_groups
    from teacher.vit import build_teacher

    place, train = default_device(), config.training
    torch.manual_seed(config.seed)
    # The published size, without asking for its weights.
    teacher = build_teacher(config.vit, architecture={})
    model = FineTune(teacher, MelFrontEnd(stride=config.vit.stride, frames=config.vit.frames), train).to(place).train()
    optimizer = torch.optim.AdamW(parameter_groups(teacher, train), fused=True)
    batch = {name: value.to(place) for name, value in _batch(config, folder).items()}
    # As the trainer chooses half precision where the device itself has it, float32 on a CPU.
    half = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[choose_precision(train.schedule.precision)]

    def step() -> None:
        with torch.autocast(place.type, half, enabled=half is not None):
            loss = model(**batch)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    # Untimed, for the optimiser's moments, as with the GAN.
    step()
    before = tensor_bytes([model], [optimizer], batch.values())
    name = f"fine-tuning, {_title(config.vit)}"
    return Step(name, _count(teacher), train.schedule.batch_size, *measured(step, place, before))


def table(steps: Sequence[Step]) -> str:
    """Lay out the steps as Markdown."""
    headings = ["step", "million parameters", "images", "s per step", "images per s", "peak GB", "limit GB", "fits"]
    rows = []
    for step in steps:
        sizes = [f"{step.parameters / 1e6:.2f}", str(step.images), f"{step.seconds:.2f}"]
        peak = [f"{step.peak_bytes / 1e9:.2f}", f"{step.limit_bytes / 1e9:.1f}"]
        fits = "yes" if step.peak_bytes <= step.limit_bytes else "NO"
        rows.append([step.name, *sizes, f"{step.images / step.seconds:.2f}", *peak, fits])
    return markdown_table(headings, rows)


def main(args: Sequence[str] | None = None) -> int:
    """Measure and write both files."""
    return run(*parse_command(FullPresetMemoryConfig, "benchmarks.studies.full_preset_memory", __doc__, args))


def run(config: FullPresetMemoryConfig, typed: str, preset: TeacherConfig = PRESETS["full"]) -> int:
    """Measure and write both files; typed: the command for the result's head; preset: another one in tests."""
    both = config.gan == config.vit
    steps: list[Step] = []
    with tempfile.TemporaryDirectory() as folder:
        if config.gan or both:
            steps += gan_steps(preset, Path(folder) / "gan")
        if config.vit or both:
            steps.append(vit_step(preset, Path(folder) / "vit"))

    place = describe() | {"device": _device_name()}
    values = {"steps": [step.values() for step in steps], "machine": place}
    how = f"One optimiser step each on {place['device']}, after an untimed one. Peak: {steps[0].memory}."
    parts = [table(steps), how, "\n".join(f"- {step.verdict}" for step in steps)]
    write_result(config.out, "One step of the full preset", typed, values, parts)
    print("\n\n".join(parts), flush=True)
    return 0


def _batch(config: TeacherConfig, folder: Path) -> dict[str, torch.Tensor]:
    """Cut one batch of training crops from songs of noise."""
    from pocketmood.training.crops import Augment, CropDataset, CropGeometry, collate

    train = config.training
    store, split = noise_songs(folder)
    augment = Augment(train.gain_db, train.mask_bands, train.mask_frames)
    ids = [split.train[row % len(split.train)] for row in range(train.schedule.batch_size)]
    dataset = CropDataset(store, ids, CropGeometry(config.vit.stride, train.crop_frames), augment)
    return collate([dataset[row] for row in range(train.schedule.batch_size)])


def _peak(profiler: Any) -> int:
    """Return the largest sum of allocations less releases that a profiler saw on the CPU."""
    from torch.autograd import DeviceType  # type: ignore[attr-defined]  # missing in its __all__ only

    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    # In the order of time, which a running sum needs.
    on_cpu = sorted((e for e in events if e.device_type() == DeviceType.CPU), key=lambda event: event.start_ns())
    peak: int = max(accumulate((event.nbytes() for event in on_cpu), initial=0))
    return peak


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _title(vit: VitConfig) -> str:
    return {"base": "ViT-B/16", "ast-base": "pretrained AST"}.get(vit.size, vit.size)


def _device_name() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{describe()['cpu']} ({torch.get_num_threads()} threads)"


if __name__ == "__main__":
    command.start(main)
