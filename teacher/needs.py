"""What the teacher's stage needs of a machine, for the doctor: weights, memory, disk, and steps to be timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pocketmood.command import parse
from pocketmood.spec import MelSpec
from pocketmood.training.doctor import Needs, Songs
from teacher.company.config import MemberName, published, trained
from teacher.config import FineTuneConfig, TeacherConfig, VitConfig
from teacher.musicnn.config import MODELS
from teacher.presets import PRESETS

if TYPE_CHECKING:
    import torch

    from pocketmood.training.probe import Probe
    from teacher.musicnn.config import TunedConfig

_GAN_BATCH, _VIT_BATCH = 24, 12
_PEAK_BYTES, _FIXED_BYTES = 4_700_000_000, 1_200_000_000
"""GPU memory that the published recipe saw at those batches, and the share of it that no batch makes smaller: weights,
moments, and the GPU's own libraries (estimated)."""
_VIT_BYTES = 4 * 86_000_000
_VIT_COPIES = 6
"""ViT-B on disk at once: weights, best weights, averages, and a checkpoint with both moments."""

_HEARD_BYTES = {"MSD_musicnn": 41_000, "MTT_musicnn": 87_000}
"""What is kept of a clip that a frozen network has heard: ten windows of its features."""
_LEVELS_BYTES = 2 * 1876 * 96
"""Of a song's levels on disk, while a musicnn is fine-tuned."""
_MUSICNN = (((23, 7, 38), (14, 7, 67), (3, 128, 1), (7, 64, 1), (17, 32, 1)), 64, 200, 50)
"""Shapes of MSD_musicnn as `make weights` leaves it: kernels of its blocks, channels, units, tags."""
_TITLES = {"vit": "ViT", "ast": "AST"}


def of_words(words: Sequence[str]) -> Needs:
    """Return what a command line of the stage would need."""
    return needs(parse(PRESETS, "python -m teacher", None, words))


def needs(config: TeacherConfig) -> Needs:
    """Return what a config needs."""
    large = any(vit.pretrained for _, vit, _ in _networks(config))
    share = config.training.schedule.batch_size / _VIT_BATCH if large else 0.1
    if config.synthetic:
        share = max(share, config.gan.batch_size / _GAN_BATCH)
    return Needs(
        stage="teacher",
        precision=config.training.schedule.precision,
        published=tuple(published(config).values()),
        gpu_bytes=round(_FIXED_BYTES + (_PEAK_BYTES - _FIXED_BYTES) * share),
        smaller="--training.schedule.batch-size 6 --training.schedule.accumulation 2 --gan.batch-size 12 "
        "--gan.accumulation 4",
        disk_bytes=partial(_disk_bytes, config),
        probes=partial(_probes, config),
        gpu=config.doctor,
    )


def _disk_bytes(config: TeacherConfig, songs: Songs) -> int:
    """Estimate what the stage writes: synthetic clips, the networks, and soft targets with their features."""
    spec = MelSpec()
    drawn = config.synthetic * spec.bands * spec.frames(spec.samples) * 2  # float16
    networks = sum(_VIT_COPIES * _VIT_BYTES if vit.pretrained else 100_000_000 for _, vit, _ in _networks(config))
    # A table of each member, and the company's own where there are several.
    members = config.company.members
    tables = len(members) + (len(members) > 1)
    targets = tables * songs.all * (1 + config.soft_targets.crops) * 4 * 800
    kinds = {MemberName.parse(name).kind for name in members}
    # What a network has heard is kept once, whoever listens with it.
    heard = sum(_HEARD_BYTES[network] for network in {each for kind in kinds for each in MODELS.get(kind, ())})
    heard = (heard + (_LEVELS_BYTES if "musicnn-tuned" in kinds else 0)) * songs.all
    return round(drawn + networks + targets + heard + 500_000_000)  # the GAN, pictures and sounds


def _networks(config: TeacherConfig) -> list[tuple[str, VitConfig, FineTuneConfig]]:
    """List the transformers that are trained, by the names of their steps: members of a company, and the baseline."""
    settings = {"vit": (config.vit, config.training), "ast": (config.ast, config.ast_training)}
    return [(name, *settings[kind]) for name in trained(config) if (kind := MemberName.parse(name).kind) in settings]


def _probes(config: TeacherConfig, songs: Songs) -> tuple[Probe, ...]:
    """List the networks that are trained, each with a step and how often it is taken."""
    from pocketmood.training.probe import Probe

    found = []
    if config.synthetic:
        gan = config.gan
        passes = gan.accumulation * (gan.steps_per_epoch or max(songs.train // (gan.batch_size * gan.accumulation), 1))
        build = partial(_gan_step, config)
        found.append(Probe("GAN", gan.batch_size, gan.epochs * passes, config.training.schedule.precision, build))
    # Heads above frozen networks take seconds, whatever the songs: there is no step of theirs to time.
    for name, vit, training in _networks(config):
        schedule = training.schedule
        steps = schedule.epochs * math.ceil(songs.train / schedule.batch_size)
        build = partial(_vit_step, vit, training)
        found.append(Probe(_TITLES.get(name, name), schedule.batch_size, steps, schedule.precision, build))
    for name in trained(config):
        if MemberName.parse(name).kind == "musicnn-tuned":
            schedule = config.musicnn_tuned.schedule
            steps = schedule.epochs * math.ceil(songs.train / schedule.batch_size)
            build = partial(_musicnn_step, config.musicnn_tuned)
            found.append(Probe(name, schedule.batch_size, steps, schedule.precision, build))
    return tuple(found)


def _vit_step(vit: VitConfig, training: FineTuneConfig, place: torch.device) -> Callable[[int], None]:
    """Build a network at random with all layers learning that ever do, and return its step on noise."""
    import torch

    from teacher.unfreezing import prepare
    from teacher.vit import build_teacher

    # Bare, with the published numbers: what weights are worth does not change how long a step takes.
    teacher = build_teacher(replace(vit, weights=None), architecture={}).to(place).train()
    prepare(teacher, training)

    def step(items: int) -> None:
        mel = torch.rand(items, 1, MelSpec().bands, training.crop_frames, device=place) * 2 - 1
        emotion, rater_sd, _ = teacher(mel)
        (emotion.square().mean() + rater_sd.square().mean()).backward()

    return step


def _musicnn_step(training: TunedConfig, place: torch.device) -> Callable[[int], None]:
    """Build a musicnn at random with all layers learning that ever do, and return its step on silence."""
    import torch

    from teacher.musicnn.backbone import MusicnnBackbone
    from teacher.musicnn.front_end import SPEC, WINDOW_FRAMES
    from teacher.musicnn.network import Musicnn
    from teacher.unfreezing import prepare
    from teacher.vit import Teacher

    kernels, middle, units, tags = _MUSICNN
    teacher = Teacher(MusicnnBackbone(Musicnn(list(kernels), middle, units, tags)), 0, training.dropout)
    teacher.to(place).train()
    prepare(teacher, training)

    def step(items: int) -> None:
        windows = torch.zeros(items, training.windows, WINDOW_FRAMES, SPEC.bands, device=place)
        emotion, rater_sd, _ = teacher(windows)
        (emotion.square().mean() + rater_sd.square().mean()).backward()

    return step


def _gan_step(config: TeacherConfig, place: torch.device) -> Callable[[int], None]:
    """Build generator and discriminator, and return one pass of each: the adversary's on twice as many clips."""
    import torch

    from teacher.gan.model import Discriminator, Generator

    gan, spec = config.gan, MelSpec()
    frames = spec.frames(spec.samples)
    generator = Generator(gan.latent, gan.embedding, gan.width, gan.upsampling, spec.bands, frames).to(place)
    discriminator = Discriminator(gan.width, gan.embedding, spec.bands).to(place)

    def step(items: int) -> None:
        noise, wish = torch.randn(items, gan.latent, device=place), torch.rand(items, 2, device=place)
        fake = generator(noise, wish)
        both = torch.cat([torch.rand_like(fake), fake.detach()])
        discriminator(both, wish.repeat(2, 1))[0].square().mean().backward()
        discriminator(fake, wish)[0].square().mean().backward()

    return step
