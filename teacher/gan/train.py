"""Adversarial training of the conditional GAN on the training songs; `synthesis.py` draws from its folder.

Every draw (order of songs, noise, conditions) is a function of (seed, epoch, step, which draw), made for the whole
batch and then shared out between processes: a killed run continues with the same stream, and several processes train on
the same batches as one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pocketmood.training import memory
from pocketmood.training.checkpoints import Parts, newest_checkpoint, read_state
from pocketmood.training.device import has_bf16
from pocketmood.training.distributed import make_accelerator, synchronised
from pocketmood.training.history import read_records, write_history
from teacher.gan.adversary import Adversary, Balance, Lesson, Pair
from teacher.gan.model import Discriminator, Generator, save_generator
from teacher.gan.progress import draw_progress, refuse_processes, smaller_pass, summary, what_learns
from teacher.gan.record import GanRecord
from teacher.gan.spectral import spectral_distance
from teacher.gan.training_songs import TrainingSongs, add_jitter, draw_conditions
from teacher.gan.turns import TurnRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from accelerate import Accelerator
    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.gan.config import GanConfig

BIAS_SONGS = 32
"""Songs that set the generator's first mean spectrum; all of them would cost a demo 20 s for much the same numbers."""
_REAL, _FAKE, _GENERATOR = range(3)


def train(store: ClipStore, split: Split, config: GanConfig, folder: Path, seed: int) -> GanRecord:
    """Train (or continue) in `folder`; return the record that also lands in `gan.json`."""
    size = 0  # a batch is one pass
    while True:
        accelerator = gan_accelerator()
        training = GanTraining(TrainingSongs(store, split, accelerator.device), config, accelerator, seed, size)
        if accelerator.is_main_process and not size:
            print(f"gan: {what_learns(training)}", flush=True)
        size = training.pass_size
        try:
            return play(training, folder)
        except Exception as error:
            if not memory.ran_out(error):
                raise
        # Out of the block above, which holds the failed pass: only now can its memory be given back.
        size = smaller_pass(size, config, accelerator.num_processes)
        del training, accelerator
        memory.free()


def play(training: GanTraining, folder: Path) -> GanRecord:
    """Train from the last checkpoint to the end."""
    accelerator, config = training.accelerator, training.config
    started = training.resume(folder / "checkpoints")
    # A kill between log and checkpoint leaves turns of an epoch that is played again.
    turns = [turn for turn in read_records(folder, TurnRecord) if turn.epoch < started] if started else []

    for epoch in range(started, config.epochs):
        turns += training.epoch(epoch)
        if accelerator.is_main_process:
            write_history(folder, turns)
            draw_progress(training, turns, epoch, folder)
            training.save(folder / "checkpoints", epoch + 1)
        accelerator.wait_for_everyone()

    record = summary(training, turns)
    if accelerator.is_main_process:
        save_generator(training.generator, folder, record)
    accelerator.wait_for_everyone()
    return record


def gan_accelerator() -> Accelerator:
    """Join the processes of `torchrun`; mixed precision is bf16 or nothing."""
    # fp16 would need a loss scaling for each of the two networks, and its state in every checkpoint.
    return make_accelerator("bf16" if has_bf16() else "fp32")


class GanTraining:
    """Both networks, both optimisers, and one epoch of their game."""

    def __init__(
        self, songs: TrainingSongs, config: GanConfig, accelerator: Accelerator, seed: int, pass_size: int = 0
    ) -> None:
        """Build the networks from the seed alone; the generator may start from the songs' mean spectrum.

        pass_size: clips of this process per pass, a divisor of its share of a batch; 0 takes all of the share.
        """
        refuse_processes(config, accelerator.num_processes)
        self.songs, self.config, self.accelerator, self.seed = songs, config, accelerator, seed
        self.pass_size = pass_size or config.batch_size // accelerator.num_processes
        spec = songs.front.spec
        frames = spec.frames(spec.samples)
        # Forked, so that the steps before and after draw the same numbers with a GAN as without.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # A doubling from one number of bands to the next.
            stages = (spec.bands // config.first_bands).bit_length() - 1
            shape = (config.upsampling, spec.bands, frames, stages)
            generator = Generator(config.latent, config.embedding, config.width, *shape)
            discriminator = Discriminator(config.width, config.embedding, spec.bands, config.projection)
        if config.band_bias:
            generator.start_from(songs.band_means(BIAS_SONGS, seed).cpu())
        # With channels last the convolutions take half the time on a CPU: 52 against 89 ms a clip at width 8.
        place = {"device": accelerator.device, "memory_format": torch.channels_last}
        self.generator = generator.to(**place)
        self.trained: nn.Module = accelerator.prepare_model(self.generator)
        self.optimizer = torch.optim.Adam(self.generator.parameters(), lr=config.learning_rate, betas=(0.5, 0.999))
        # The slower discriminator is the recipe's: with equal rates it had won by step 41 of a demo.
        rate = config.learning_rate * config.discriminator_rate
        self.adversary = Adversary(discriminator.to(**place), accelerator, rate, config.clip)
        limits = (config.weak, config.strong, config.most_discriminator_steps, config.catch_up_steps)
        self.balance = Balance(*limits, carry=config.carry_steps)
        self._carried = 1
        self._latest: tuple[tuple[int, ...], tuple[Tensor, Tensor]] = ((), (torch.empty(0), torch.empty(0)))
        self.steps = config.steps_per_epoch or max(len(songs.ids) // (config.batch_size * config.accumulation), 1)

    def epoch(self, epoch: int) -> list[TurnRecord]:
        """Play one epoch and return the record of each turn."""
        for optimizer, share in ((self.optimizer, 1.0), (self.adversary.optimizer, self.config.discriminator_rate)):
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * share * self.config.decay**epoch
        turns = []
        quiet = not (sys.stderr.isatty() and self.accelerator.is_main_process)
        for step in tqdm(range(self.steps), f"gan epoch {epoch + 1}/{self.config.epochs}", disable=quiet, leave=False):
            turns.append(self._turn(epoch, step))
        return turns

    def _turn(self, epoch: int, step: int) -> TurnRecord:
        """Let the adversary learn, then the generator, as often as the balance says."""
        lesson, taken = self._adversary_step(epoch, step, 0), 1
        penalty = lesson.penalty
        while self.balance.again(lesson.accuracy, taken, self._carried):
            lesson, taken = self._adversary_step(epoch, step, taken), taken + 1
        self._carried = self.balance.next_carried(lesson.accuracy, self._carried)
        turns = self.balance.generator_steps(lesson.accuracy)
        terms: dict[str, float] = {}
        for turn in range(turns):
            terms = self._generator_step(epoch, step, turn)
        return TurnRecord(
            epoch,
            step,
            discriminator_loss=lesson.loss,
            generator_loss=terms["adversarial"],
            feature_distance=terms.get("features"),
            spectral_distance=terms.get("spectral"),
            gradient_penalty=penalty,
            loss_ratio=terms["adversarial"] / max(lesson.loss, 1e-8),
            accuracy_real=lesson.accuracy_real,
            accuracy_fake=lesson.accuracy_fake,
            discriminator_steps=taken,
            generator_steps=turns,
        )

    def _adversary_step(self, epoch: int, step: int, turn: int) -> Lesson:
        """Train the adversary on new pairs; every so many turns with R1, which then weighs as much as all of them."""
        # By the number of the turn, so that a continued training takes its penalties where it would have.
        due = turn == 0 and (epoch * self.steps + step) % self.config.r1_every == 0
        r1 = self.config.r1 * self.config.r1_every if due else 0.0
        return self.adversary.train(self._pairs(epoch, step, turn), len(self._passes()), r1)

    def _passes(self) -> list[tuple[int, slice]]:
        """List the passes of a step: number of the batch, and which of this process's share of it."""
        starts = range(0, self.config.batch_size // self.accelerator.num_processes, self.pass_size)
        batches = range(self.config.accumulation)
        return [(index, slice(first, first + self.pass_size)) for index in batches for first in starts]

    def _pairs(self, epoch: int, step: int, turn: int) -> Iterator[Pair]:
        """Draw this process's share of the pairs of one step, one pass at a time."""
        for index, rows in self._passes():
            where = (epoch, step, turn, index)
            real, real_condition = self._real(where, rows)
            noise, fake_condition = (part[rows] for part in self._seeds(_FAKE, where))
            with torch.no_grad(), self.accelerator.autocast():
                fake = self.generator(noise, fake_condition).float()
            # Noise on both sides, fading out: it blurs what tells them apart before the generator can imitate it.
            blur = self._noise_level(epoch, step)
            if blur:
                rng = self._rng(_FAKE, where, 1)
                real, fake = self._blurred(real, blur, rng, rows), self._blurred(fake, blur, rng, rows)
            yield Pair(real, real_condition, fake, fake_condition)

    def _generator_step(self, epoch: int, step: int, turn: int) -> dict[str, float]:
        """Take one generator step on the mean gradient of all passes; return its mean terms."""
        passes, totals = self._passes(), dict[str, Tensor]()
        weights = {"adversarial": 1.0, "features": self.config.feature_matching, "spectral": self.config.spectral}
        for number, (index, rows) in enumerate(passes, 1):
            where = (epoch, step, turn, index)
            noise, condition = (part[rows] for part in self._seeds(_GENERATOR, where))
            # The songs that the adversary has just seen: their spectrograms are kept, not made again.
            real = self._real(where, rows) if self.config.feature_matching or self.config.spectral else None
            with synchronised(self.accelerator, self.trained, number == len(passes)), self.accelerator.autocast():
                fake = self.trained(noise, condition).float()
                terms = self.adversary.judge(fake, condition, real if self.config.feature_matching else None)
                if real is not None and self.config.spectral:
                    terms["spectral"] = spectral_distance(fake, real[0])
                loss = sum((weights[name] * term for name, term in terms.items()), torch.zeros(()))
                self.accelerator.backward(loss / len(passes))
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / len(passes)
        self.accelerator.clip_grad_norm_(self.generator.parameters(), self.config.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: float(self.accelerator.reduce(value, "mean")) for name, value in totals.items()}

    def _real(self, where: tuple[int, ...], rows: slice) -> tuple[Tensor, Tensor]:
        """Return a pass of this process's share of a batch of songs, with their blurred emotions."""
        if self._latest[0] != where:  # else the adversary has just learnt from them
            songs = self._song_rows(where)
            labels = add_jitter(self.songs.labels[songs], self.config.jitter, self._rng(_REAL, where, 0))
            mine = self._share()
            batch = self.songs.mels([self.songs.ids[song] for song in songs[mine]]), self._tensor(labels[mine])
            self._latest = (where, batch)
        mels, emotions = self._latest[1]
        return mels[rows], emotions[rows]

    def _song_rows(self, where: tuple[int, ...]) -> NDArray[np.int64]:
        """Choose a batch: the epoch's shuffle for the first turn, songs at random for extra turns."""
        epoch, step, turn, index = where
        size, count = self.config.batch_size, len(self.songs.ids)
        if turn:  # the epoch's shuffle has one place for each song, and none for extra turns
            return self._rng(_REAL, where, 1).integers(count, size=size)
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(count)
        first = (step * self.config.accumulation + index) * size
        return shuffled[np.arange(first, first + size) % count]

    def _seeds(self, purpose: int, where: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Draw this process's share of noise [B, L] and emotions [B, D] to ask for."""
        rng, config = self._rng(purpose, where, 0), self.config
        noise = rng.standard_normal((config.batch_size, config.latent), np.float32)
        conditions = draw_conditions(self.songs.labels, config.batch_size, config.conditions, config.jitter, rng)
        mine = self._share()
        return self._tensor(noise[mine]), self._tensor(conditions[mine])

    def _noise_level(self, epoch: int, step: int) -> float:
        """Return the instance noise of this step: a straight line to zero at the end."""
        progress = (epoch * self.steps + step) / (self.config.epochs * self.steps)
        return self.config.instance_noise * (1 - progress)

    def _blurred(self, mel: Tensor, level: float, rng: np.random.Generator, rows: slice) -> Tensor:
        """Add noise to a pass of this process's share, drawn for the whole batch."""
        shape = (self.config.batch_size, *mel.shape[1:])
        return mel + level * self._tensor(rng.standard_normal(shape, np.float32)[self._share()][rows])

    def _share(self) -> slice:
        """Return the rows of a batch that this process works on."""
        return slice(self.accelerator.process_index, None, self.accelerator.num_processes)

    def _rng(self, purpose: int, where: tuple[int, ...], which: int) -> np.random.Generator:
        """Return the stream of one draw, the same in every process and after every kill."""
        return np.random.default_rng([self.seed, purpose, which, *where])

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.accelerator.device)

    def save(self, folder: Path, done: int) -> None:
        """Write a checkpoint after `done` epochs, and remove the one before.

        No random state is stored: every draw is a function of (seed, epoch, step).
        """
        self._parts.save(folder, done, {"epochs_done": done, "carried": self._carried})

    def resume(self, folder: Path) -> int:
        """Take over the newest checkpoint in place and return its number of epochs; 0 where there is none."""
        found = newest_checkpoint(folder)
        if found is None:
            return 0
        self._parts.load(found)
        state = read_state(found)
        self._carried = int(state.get("carried", 1))
        return int(state["epochs_done"])

    @property
    def _parts(self) -> Parts:
        return Parts(
            {"generator": self.generator, "discriminator": self.adversary.network},
            {"generator.optimizer": self.optimizer, "discriminator.optimizer": self.adversary.optimizer},
        )
