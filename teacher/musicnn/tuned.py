"""The fine-tuned musicnn teacher: trained into a folder by the loop of all trainings, and read back from it.

The folder gets network.safetensors and config.json. These weights are derived from the published ones: the run's folder
is its owner's, an archive of it leaves them out, and the warnings of `standing_warnings.of_musicnn` go with them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from pocketmood import standing_warnings
from pocketmood.data.clips import to_int16
from pocketmood.data.run_folder import CONFIG_FILE
from pocketmood.errors import RunError
from pocketmood.metrics import score
from pocketmood.processes import is_main_process
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from pocketmood.training import distributed
from pocketmood.training.checkpoints import load_tensors, save_tensors
from pocketmood.training.crops import apply_mask
from pocketmood.training.device import default_device
from pocketmood.training.fit import Training, fit
from pocketmood.training.memory import in_parts
from pocketmood.training.weights import FirstWeights, find
from teacher.losses import emotion_loss
from teacher.musicnn.backbone import MusicnnBackbone
from teacher.musicnn.config import published
from teacher.musicnn.features import Listener, crop_times, make_table, window_starts
from teacher.musicnn.front_end import SPEC, WINDOW_FRAMES
from teacher.musicnn.frozen import CropPredictions
from teacher.musicnn.levels import Levels, write
from teacher.musicnn.network import build
from teacher.musicnn.windows import WindowDataset, collate
from teacher.record import FineTuned
from teacher.unfreezing import begin_epoch, parameter_groups, prepare, restarts
from teacher.vit import Teacher, TeacherOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.training.crops import Crop
    from teacher.company.members import Task
    from teacher.musicnn.config import TunedConfig

NETWORK_FILE = "network.safetensors"
"""Not the name of the ViT's weights: whoever finds those looks for attention in them."""
_NETWORK = "backbone.network."


@dataclass(frozen=True)
class TunedRecord:
    """What stands beside the weights: config.json."""

    spec: MelSpec
    """Sample rate and samples of the clips that it was trained on."""
    dropout: float
    """In front of its heads, in training."""
    training: FineTuned
    """How it was trained."""


class Tuning(nn.Module):
    """Teacher and loss as one module: a batch of windows in, named loss terms out."""

    def __init__(self, teacher: Teacher, recipe: TunedConfig) -> None:
        """Join the parts; only the teacher has parameters."""
        super().__init__()
        self.teacher, self.recipe = teacher, recipe

    def forward(self, windows: Tensor, mask: Tensor, labels: Tensor, deviations: Tensor) -> dict[str, Tensor]:
        """Compute the loss of a batch from `windows.collate`."""
        # [B, K, T, M] as pictures [B K, 1, M, T], which is how masks count.
        pictures = windows.flatten(0, 1).transpose(1, 2)[:, None]
        masked = apply_mask(pictures, mask.flatten(0, 1))[:, 0].transpose(1, 2).reshape(windows.shape)
        output = TeacherOutput(*map(distributed.gather, self.teacher(masked)))
        return emotion_loss(output, distributed.gather(labels), distributed.gather(deviations), self.recipe)


@dataclass(frozen=True)
class TunedTeacher:
    """A trained network, ready to predict."""

    listener: Listener = field(repr=False)
    """Front end and the network as it has learnt."""
    teacher: Teacher = field(repr=False)
    """The same network, with its heads."""
    record: TunedRecord
    """Its config.json."""

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return self.record.training.parameters

    def to(self, place: torch.device) -> TunedTeacher:
        """Move everything to a device."""
        self.listener.to(place)
        self.teacher.to(place)
        return self

    def predict(self, store: ClipStore, ids: Sequence[str], crops: Sequence[Crop], stride: int) -> CropPredictions:
        """Predict for crops of clips, the first of them the whole clip, whatever it says.

        crops: (start_hop, frames) at a stride of the house's spectrogram.
        """
        times = crop_times(store, crops, stride)
        # Heard anew each time: what a network of one training hears is of no use to any other run.
        rows = [self._predict(store.raw[store.index(name)], store.sample_rate, times) for name in ids]
        return CropPredictions(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))

    def hear(self, wave: NDArray[np.float32]) -> CropPredictions:
        """Predict for one waveform [S] in [-1, 1] of `record.spec`."""
        spec = self.record.spec
        found = self._predict(to_int16(wave), spec.sample_rate, [(0.0, spec.samples / spec.sample_rate)])
        return CropPredictions(*(array[None] for array in found))

    def _predict(
        self, raw: NDArray[np.int16], sample_rate: int, times: Sequence[tuple[float, float]]
    ) -> tuple[NDArray[np.float32], ...]:
        """Predict emotion [K, 2], rater_sd [K, 2] and features [K, F] for stretches of a clip [S]."""
        backbone = cast("MusicnnBackbone", self.teacher.backbone)
        pooled = self.listener.hear(raw, sample_rate).pooled(times)[:, -backbone.width :]
        with torch.inference_mode():
            output = self.teacher.predict(backbone.standard(pooled.to(backbone.centre.device)))
        return tuple(part.float().cpu().numpy() for part in output)


def train(task: Task, folder: Path) -> FineTuned:
    """Fine-tune MSD_musicnn into `folder`; continues after a kill."""
    recipe, split = task.config.musicnn_tuned, task.split
    first = find(published(task.config.musicnn.weights))
    levels, teacher = _begin(first, task, folder)
    labels, deviations = task.store.labels(split.train), task.store.taught_deviations(split.train)
    dataset = WindowDataset(levels, labels, deviations, recipe, task.config.seed)

    # Frozen before the groups are made: a layer that never learns must not be in any of them.
    prepare(teacher, recipe)
    history = fit(
        Training(
            Tuning(teacher, recipe),
            dataset,
            collate,
            _validation(task, levels),
            folder,
            replace(recipe.schedule, restarts=restarts(recipe)),
            task.config.seed,
            metric=recipe.metric,
            lowest=recipe.best_by != "ccc",
            groups=parameter_groups(teacher, recipe),
            on_epoch=partial(begin_epoch, teacher, recipe) if recipe.unfreeze else None,
            name=folder.stem,
            least=2 if recipe.ccc_weight else 1,
            remedy="fewer --musicnn-tuned.windows",
        )
    )
    record = FineTuned(
        weights=str(first),
        warnings=standing_warnings.of_musicnn(),
        training_clips=len(split.train),
        synthetic_clips=0,
        spec=SPEC,
        spec_hash=SPEC.hash,
        epochs=len(history),
        parameters=sum(parameter.numel() for parameter in teacher.parameters()),
    )
    if is_main_process():
        spec = replace(MelSpec(), seconds=task.store.samples / task.store.sample_rate)
        save(folder, teacher, TunedRecord(spec, recipe.dropout, record))
    return record


def save(folder: Path, teacher: Teacher, record: TunedRecord) -> None:
    """Write network.safetensors and config.json."""
    save_tensors(folder / NETWORK_FILE, teacher.state_dict())
    # Last: `load` takes a folder with both files for a finished teacher.
    write_json(folder / CONFIG_FILE, asdict(record))


def load(folder: Path) -> TunedTeacher:
    """Read what `train` wrote; RunError where there is none."""
    path, again = folder / CONFIG_FILE, f"delete {folder} and run the teacher stage again"
    if not path.is_file() or not (folder / NETWORK_FILE).is_file():
        raise RunError(f"{folder}: no fine-tuned musicnn here; run the teacher stage")
    record = from_json(TunedRecord, read_json(path), str(path), again)
    tensors = load_tensors(folder / NETWORK_FILE, again)
    inner = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
    network = build(inner)
    teacher = Teacher(MusicnnBackbone(network, record.training.weights), 0, record.dropout)
    teacher.load_state_dict(tensors)
    return TunedTeacher(Listener(network), teacher.eval(), record)


def _begin(first: FirstWeights, task: Task, folder: Path) -> tuple[Levels, Teacher]:
    """Return levels of training and, behind them, validation songs, and the teacher that the training begins with."""

    def begin() -> tuple[Levels, Teacher]:
        levels = write(task.store, [*task.split.train, *task.split.validation], folder)
        return levels, _new_teacher(first, task)

    # The main process writes what the others then find.
    begun = begin() if is_main_process() else None
    distributed.wait()
    return begun or begin()


def _new_teacher(first: FirstWeights, task: Task) -> Teacher:
    """Build the published network below new heads, standardised by what it hears in the whole training songs."""
    store, frozen = task.store, Listener.open(first)
    whole = [(0.0, store.samples / store.sample_rate)]
    # Kept where the frozen members keep theirs: a run that has both hears its songs once.
    heard = make_table(store, task.split.train, whole, frozen.to(default_device()), task.config.musicnn.features)[:, 0]
    backbone = MusicnnBackbone(frozen.network.cpu().requires_grad_(True), str(first))
    backbone.standardise_by(torch.from_numpy(heard[:, -backbone.width :]))
    # Only now: the heads' first weights are part of what the seed decides, whatever was drawn before.
    torch.manual_seed(task.config.seed)
    return Teacher(backbone, 0, task.config.musicnn_tuned.dropout)


def _validation(task: Task, levels: Levels) -> Callable[[nn.Module], dict[str, float]]:
    """Return the function that scores a `Tuning` on the whole validation clips, with "loss" as of the ViT."""
    split, recipe = task.split, task.config.musicnn_tuned
    starts = window_starts(levels.frames)
    labels = task.store.labels(split.validation)
    ratings, deviations = torch.from_numpy(labels), torch.from_numpy(task.store.taught_deviations(split.validation))

    def validate(model: nn.Module) -> dict[str, float]:
        teacher = cast("Tuning", model).teacher
        place = next(teacher.parameters()).device
        outputs: list[TeacherOutput] = []
        # A song at a time: its ten windows are 100 MB of activations.
        for song in levels.array[len(split.train) :]:
            windows = np.stack([song[start : start + WINDOW_FRAMES] for start in starts]).astype(np.float32)
            outputs += in_parts(teacher, torch.from_numpy(windows)[None].to(place))
        output = TeacherOutput(*(torch.cat(parts).float().cpu() for parts in zip(*outputs, strict=True)))
        loss = emotion_loss(output, ratings, deviations, recipe)["loss"]
        return score(output.emotion.numpy(), labels) | {"loss": float(loss)}

    return validate
