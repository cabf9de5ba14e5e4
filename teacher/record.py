"""Records of the teacher stage: what stands beside its weights, and what its stage.json says of the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketmood import standing_warnings
from pocketmood.data.run_folder import CONFIG_FILE
from pocketmood.records import from_json
from pocketmood.runs import read_json
from pocketmood.spec import MelSpec
from teacher.config import VitConfig
from teacher.evaluate import FLOOR, Comparison, sentence
from teacher.gan.record import GanRecord, ListeningRecord, Verdict

NO_GAN = "no synthetic clips were asked for, so no GAN was trained"


@dataclass(frozen=True)
class FloorRecord:
    """Result of the floor step."""

    alpha: float
    """Penalty that validation chose."""


@dataclass(frozen=True)
class FineTuned:
    """Facts of a training, for the stage's record and beside the weights."""

    weights: str
    """Where the backbone's first weights came from: "folder ...", "cache ...", "hub ..." or "random"."""
    warnings: tuple[str, ...]
    """Sentences that a reader of any figure must know."""
    training_clips: int
    """Real clips that it was trained on."""
    synthetic_clips: int
    """Synthetic clips beside them."""
    spec: MelSpec
    """The spectrogram that it was trained on."""
    spec_hash: str
    """Hash of `spec`."""
    epochs: int
    """Epochs that were trained, fewer than asked for where patience ended it."""
    parameters: int
    """Trained numbers of the network."""


@dataclass(frozen=True)
class SavedTeacher:
    """What stands beside a teacher's weights: config.json."""

    vit: VitConfig
    """The network, without the folder of its first weights: a path of another machine, and spent."""
    architecture: dict[str, Any] | None
    """The config of transformers for the pretrained sizes, from which the network is built again; None for others."""
    training: FineTuned
    """How it was trained."""

    @classmethod
    def load(cls, folder: Path) -> SavedTeacher:
        """Read the config.json of a teacher's folder."""
        path = folder / CONFIG_FILE
        return from_json(cls, read_json(path), str(path), f"run: python -m teacher --run {folder.parent}")


@dataclass(frozen=True)
class Synthesis:
    """What became of the synthetic clips."""

    synthetic: str = NO_GAN
    """The quality gate's sentence."""
    synthetic_accepted: bool = False
    """True where they joined the training."""
    synthetic_forced: bool = False
    """True where they joined the training against the gate's word."""
    gan: GanRecord | None = None
    """The training; None without a GAN."""
    listen: ListeningRecord | None = None
    """The page of sounds; None where none was asked for."""


@dataclass(frozen=True, kw_only=True)
class TeacherRecord(Synthesis, FineTuned):
    """What the stage says of its result, in its stage.json; the training is the teacher's, not the baseline's."""

    metrics: Comparison
    """The teacher beside floor and baseline, on validation and test songs."""
    sentence: str
    """Whether the teacher beats the floor."""


def warnings_of(trained: FineTuned, verdict: Verdict | None, scores: Comparison) -> tuple[str, ...]:
    """Collect what the stage itself warns of: random first weights, refused or forced clips, a lost race.

    verdict: the gate's on synthetic clips; None where none were asked for.
    """
    clips = standing_warnings.of_synthetic_clips(verdict.sentence, verdict.accepted, verdict.forced) if verdict else ()
    lost = standing_warnings.of_lost_race(sentence(scores), scores.test.differences[FLOOR].high < 0)
    return standing_warnings.once(trained.warnings, clips, lost)
