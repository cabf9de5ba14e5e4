"""A network's predictions for fixed crops of clips: what its soft targets are made of.

Conventions: crops are (start_hop, frames) at the student's frame stride; the first is the whole clip. Starts are
multiples of the stride, so that teacher and student see the very same frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from pocketmood.data.clips import ClipStore
    from pocketmood.mel import MelFrontEnd
    from teacher.config import SoftTargetsConfig, VitConfig
    from teacher.gan.synthesis import SyntheticStore
    from teacher.vit import Teacher


ARRAYS = ("emotion", "rater_sd", "features")
"""What is predicted for a crop, by its name in a table of soft targets."""


def crop_list(config: SoftTargetsConfig) -> list[tuple[int, int]]:
    """List the crops: the whole clip, then `config.crops` of them from its very start to its very end, evenly."""
    last = config.frames - config.crop_frames
    # Fixed and even, not random: the student meets every part of a clip, and a rerun gives the same table.
    steps = max(config.crops - 1, 1)
    starts = [round(number * last / steps) * config.stride for number in range(config.crops)]
    return [(0, config.frames), *((start, config.crop_frames) for start in starts)]


def predict_crops(
    teacher: Teacher,
    vit: VitConfig,
    clips: ClipStore | SyntheticStore,
    ids: Sequence[str],
    config: SoftTargetsConfig,
) -> dict[str, NDArray[np.float32]]:
    """Predict with a network for all crops of some clips; crops are counted in frames of the student's stride."""
    from pocketmood.mel import MelFrontEnd
    from teacher.finetune import predict_mels

    front = MelFrontEnd(stride=vit.stride, frames=vit.frames).to(next(teacher.parameters()).device)
    crops = crop_list(config)
    scale = config.stride // front.stride  # so many frames of the teacher make one of the student's
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for mel in _whole(clips, ids, front):
        slices = [mel]  # the whole clip is what the teacher calls whole, to its last frame
        for start_hop, frames in crops[1:] if config.ask == "crops" else ():
            start = start_hop // front.stride
            slices.append(mel[..., start : start + frames * scale])

        predictions = [predict_mels(teacher, part) for part in slices]
        # Asked once for the whole clip, the table keeps its shape: the student need not know what was asked.
        predictions += [predictions[0]] * (len(crops) - len(slices))
        rows.append(tuple(np.stack(arrays, 1) for arrays in zip(*predictions, strict=True)))  # [B, K, ...] each
    return {name: np.concatenate(parts) for name, parts in zip(ARRAYS, zip(*rows, strict=True), strict=True)}


def _whole(clips: ClipStore | SyntheticStore, ids: Sequence[str], front: MelFrontEnd) -> Iterator[Tensor]:
    """Yield spectrograms [B, 1, M, T] of whole clips: computed from their sound, or as the generator drew them."""
    from pocketmood.training.crops import whole_mels
    from teacher.gan.synthesis import SyntheticStore

    if isinstance(clips, SyntheticStore):
        return clips.whole_mels(ids, front)
    return (mel for _, mel in whole_mels(clips, ids, front))
