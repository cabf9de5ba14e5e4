"""What a generator of the study is worth at an epoch: the quality gate's score, measured on as many clips each time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.studies.gan_curve import MEASURED
from pocketmood.data.run_folder import RIDGE_FILE, RunFolder
from pocketmood.runs import write_json
from pocketmood.training.checkpoints import save_tensors
from teacher import floor
from teacher.gan import audio, plots, quality, similarity
from teacher.gan.model import RECORD_FILE, WEIGHTS_FILE, load_generator
from teacher.gan.progress import LOSSES, record_of, sample_sheet
from teacher.gan.record import Measures
from teacher.gan.training_songs import LANDMARKS, TrainingSongs, draw_conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from benchmarks.studies.gan_curve import Played
    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.gan.config import GanConfig
    from teacher.gan.model import Generator
    from teacher.gan.train import GanTraining

_BATCH, _SEED = 16, 1


class KeptSongs(TrainingSongs):
    """Training songs whose spectrograms are computed once and kept as float16 in a file.

    Making one costs a core .05 s, and a training of hours asks a hundred times for each.
    """

    def __init__(self, store: ClipStore, split: Split, path: Path) -> None:
        """Open the file, or write it."""
        super().__init__(store, split)
        spec = self.front.spec
        shape = (len(self.ids), 1, spec.bands, spec.frames(spec.samples))
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            with part.open("wb") as file:
                for id_ in self.ids:
                    file.write(super().mels([id_]).cpu().numpy().astype("<f2").tobytes())
            part.replace(path)
        self._kept = np.memmap(path, "<f2", "r", shape=shape)
        self._row = {id_: row for row, id_ in enumerate(self.ids)}

    def mels(self, ids: Sequence[str]) -> Tensor:
        """Return the spectrograms [B, 1, M, T] of training songs."""
        return torch.from_numpy(self._kept[[self._row[id_] for id_ in ids]].astype(np.float32))


@dataclass(frozen=True)
class Judge:
    """Everything that generators are measured against, made once per run."""

    songs: KeptSongs
    """The training songs."""
    split: Split
    """Where they come from."""
    ridge: floor.Ridge
    """Reads emotions back; fitted on the training songs."""
    scale: similarity.Scale
    """The real half that everything is compared with, and chance."""
    config: GanConfig
    """Conditions and jitter of the clips drawn."""

    @classmethod
    def open(cls, run: RunFolder, folder: Path, config: GanConfig) -> Judge:
        """Describe the real songs of a run; its ridge is fitted where no teacher has left one."""
        songs = KeptSongs(run.store, run.split, folder / "mels.f16")
        size = min(len(songs.ids), config.quality_clips) // 2
        chosen = np.random.default_rng(len(songs.ids)).permutation(len(songs.ids))[: 2 * size]
        real = similarity.Description.join(
            [similarity.describe(songs.mels([songs.ids[row]]).numpy()) for row in chosen]
        )
        return cls(songs, run.split, _ridge(run, folder), similarity.Scale.fit(real, seed=size), config)

    @property
    def facts(self) -> dict[str, Any]:
        """What is the same for every training of the run."""
        other = self.scale.score(self.scale.real.rows(self.scale.second))
        return {"songs": len(self.songs.ids), "clips": len(self.scale.first), "real_half": _flat(other)}

    def measure(self, generator: Generator, arm: Path, epoch: int) -> None:
        """Keep a generator with its measures and a sheet of samples in `arm`/epoch-N, unless they are there."""
        folder = arm / f"epoch-{epoch:04d}"
        if not (folder / MEASURED).is_file():
            generator.eval()
            save_tensors(folder / WEIGHTS_FILE, generator.state_dict())
            mels = sample_sheet(generator, torch.device("cpu"), _SEED)
            plots.sheet(mels.numpy()[:, 0], list(LANDMARKS), f"{arm.name} after epoch {epoch}", folder / "samples.png")
            write_json(folder / MEASURED, self._score(generator))
            generator.train()

    def measure_again(self, arm: Path) -> None:
        """Measure every kept generator whose measures have been taken away, as after a change of the score."""
        for record in sorted(arm.glob(f"epoch-*/{RECORD_FILE}")):
            path = record.with_name(MEASURED)
            if not path.is_file():
                write_json(path, self._score(load_generator(record.parent)[0]))

    def _score(self, generator: Generator) -> dict[str, Any]:
        """Draw as many clips as a real half has, and compare."""
        rng, count = np.random.default_rng([_SEED, len(self.songs.ids)]), len(self.scale.first)
        asked = draw_conditions(self.songs.labels, count, self.config.conditions, self.config.jitter, rng)
        described, read = [], []
        for first in range(0, count, _BATCH):
            part = torch.from_numpy(asked[first : first + _BATCH])
            noise = torch.from_numpy(rng.standard_normal((len(part), generator.latent), np.float32))
            with torch.no_grad():
                mels = generator(noise, part).numpy()
            described.append(similarity.describe(mels))
            read.append(self.ridge(mels))
        drawn = similarity.Description.join(described)
        # 1 for clips that differ from each other as songs do, 0 for one clip over and over.
        variety = float(drawn.band_mean.std(0).mean() / self.scale.real.band_mean.std(0).mean())
        found = {"variety": variety, "conditioning_ccc": quality.mean_ccc(np.concatenate(read), asked)}
        return _flat(self.scale.score(drawn)) | found

    def listen(self, generator: Generator, folder: Path, epoch: int, seconds: float) -> None:
        """Write a WAV of so many seconds per named emotion, unless they are there; 0 seconds: none."""
        if not seconds or any(folder.glob(f"epoch-{epoch:04d}-*.wav")):
            return
        spec = self.songs.front.spec
        samples = round(seconds * spec.sample_rate)
        mels = sample_sheet(generator, torch.device("cpu"), _SEED, rows=1).numpy()[:, 0]
        folder.mkdir(parents=True, exist_ok=True)
        for name, mel in zip(LANDMARKS, mels, strict=True):
            sound = audio.invert(mel[:, : spec.frames(samples)], spec, samples, _SEED)
            audio.write_wav(folder / f"epoch-{epoch:04d}-{name}.wav", sound, spec.sample_rate)


def complete(arm: Path, training: GanTraining, played: Sequence[Played]) -> None:
    """Write the record beside every generator that was kept, so that clips can be drawn from its folder."""
    for weights in arm.glob(f"epoch-*/{WEIGHTS_FILE}"):
        path = weights.with_name(RECORD_FILE)
        if path.is_file():
            continue
        until = [row for row in played if row.epoch <= int(weights.parent.name.removeprefix("epoch-"))]
        last = {name: getattr(until[-1], name) for name in LOSSES} if until else {}
        record = record_of(training, until, last)
        write_json(path, asdict(record) | {"generator": training.generator.options})


def _ridge(run: RunFolder, folder: Path) -> floor.Ridge:
    """Load the teacher's ridge, or the study's own; fit that where there is neither."""
    own = folder / RIDGE_FILE
    found = run.ridge if run.ridge.is_file() else own
    if found.is_file():
        return floor.Ridge.load(found)
    train, held = run.split.train, run.split.validation
    described = [floor.store_features(run.store, part) for part in (train, held)]
    ridge = floor.fit(described[0], run.store.labels(train), described[1], run.store.labels(held))
    ridge.save(own)
    return ridge


def _flat(measures: Measures) -> dict[str, Any]:
    """Lay out a score and its parts in one level."""
    parts = {f"similarity_{name}": value for name, value in asdict(measures.similarity).items()}
    return {"score": measures.score, **parts, **{f"distance_{k}": v for k, v in asdict(measures.distance).items()}}
