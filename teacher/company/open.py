"""A trained teacher, opened: one network, or a company whose members each hear the waveform in their own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pocketmood.data.run_folder import CONFIG_FILE, WEIGHTS_FILE
from pocketmood.emotion import Emotion
from teacher.company import combine
from teacher.company.members import kind_of
from teacher.company.record import COMPANY_FILE, company_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.spec import MelSpec
    from teacher.company.members import Member


@dataclass(frozen=True)
class Company:
    """Members with their weights."""

    members: tuple[Member, ...]
    """Opened, in the order of the record."""
    weights: combine.Array
    """[M, D]."""

    @property
    def spec(self) -> MelSpec:
        """Sample rate and samples of the waveforms that all members take."""
        return self.members[0].spec

    @property
    def parameters(self) -> int:
        """Trained numbers of all members."""
        return sum(member.parameters for member in self.members)

    def whole(self, clips: ClipStore, ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict emotion and rater_sd [N, 2] for whole clips of any store."""
        heard = [member.whole(clips, ids) for member in self.members]
        if len(heard) == 1:
            return heard[0]
        emotion, rater_sd = (combine.join(np.stack(parts), self.weights) for parts in zip(*heard, strict=True))
        return emotion, rater_sd

    def hear(self, wave: NDArray[np.float32]) -> tuple[Emotion, Emotion]:
        """Predict emotion and rater_sd for one waveform [S]: one member after the other, each with its front end."""
        heard = [member.hear(wave) for member in self.members]
        # A single one is not joined with anybody: its numbers stay as they are.
        if len(heard) == 1:
            return heard[0]
        emotion, rater_sd = (combine.join(np.array(parts), self.weights) for parts in zip(*heard, strict=True))
        return Emotion(*map(float, emotion)), Emotion(*map(float, rater_sd))


def open_company(folder: Path, on_cpu: bool = False) -> Company:
    """Open the teacher of a stage's folder; RunError where it, or a member's step, is missing.

    on_cpu: on the processor also where there is a GPU, as the benchmarks time all their rows.
    """
    record = company_of(folder)
    weights = np.array([[member.weight_valence, member.weight_arousal] for member in record.members])
    places = member_folders(folder)
    return Company(tuple(kind_of(name).open(place, on_cpu) for name, place in places.items()), weights)


def member_folders(folder: Path) -> dict[str, Path]:
    """Return where each member of a stage's folder lies: in its step, or, a network by itself, in the folder."""
    names = [member.name for member in company_of(folder).members]
    # A copied folder may hold the network alone, without any step.
    if len(names) == 1 and (folder / WEIGHTS_FILE).is_file():
        return {names[0]: folder}
    return {name: folder / name for name in names}


def network_folder(folder: Path) -> Path | None:
    """Return the first member's folder that holds a network with attention; None where no member is one."""
    return next((place for place in member_folders(folder).values() if (place / WEIGHTS_FILE).is_file()), None)


def weights_bytes(folder: Path) -> int | None:
    """Return the bytes of all members' weights; None where none are there."""
    if not (folder / COMPANY_FILE).is_file() and not (folder / CONFIG_FILE).is_file():
        return None
    sizes = [kind_of(name).weights_bytes(place) for name, place in member_folders(folder).items()]
    return sum(size for size in sizes if size) or None
