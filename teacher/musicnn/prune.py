"""Pruning without loss: kernels that weight decay has emptied give the same number for every sound, and can go.

Of the 561 channels in front of MSD_musicnn's layers in time only 64 have a kernel at all (the others' largest weight is
1e-9); theirs is nearly all of the network's time. A dead channel's constant goes into the biases of what reads it.

That is exact but at the edges of a window, where the layers in time see padding instead of the constant: channels whose
constant is above `NEGLIGIBLE` stay. `difference` is the proof, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from teacher.musicnn.front_end import SPEC, WINDOW_FRAMES
from teacher.musicnn.network import BLOCKS, NORM_EPSILON, build

DEAD, NEGLIGIBLE = 1e-6, 1e-5
"""Largest weight of a dead kernel, and largest constant that the padding may stand in for."""
LARGEST_DIFFERENCE = 1e-5
"""What pruning may change, on any tag's logit."""


def prune(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the same network without its dead channels."""
    found = {name: tensor.double() for name, tensor in tensors.items()}
    kept, constants = [], []
    for number in range(BLOCKS):
        block = f"blocks.{number}."
        scale = found[block + "norm.weight"] / torch.sqrt(found[block + "norm.variance"] + NORM_EPSILON)
        rectified = found[block + "conv.bias"].clamp(min=0)
        constant = (rectified - found[block + "norm.mean"]) * scale + found[block + "norm.bias"]
        dead = (found[block + "conv.weight"].abs().amax((1, 2, 3)) < DEAD) & (constant.abs() < NEGLIGIBLE)
        # A block needs a channel to be a block: that of a network that is dead throughout.
        dead[0] &= not bool(dead.all())
        for name in [name for name in found if name.startswith(block)]:
            found[name] = found[name][~dead]
        kept.append(~dead)
        constants.append(constant)

    keep, constant = torch.cat(kept), torch.cat(constants)
    first = found["middle.0.conv.weight"]  # [D, C, 7]
    found["middle.0.conv.bias"] = found["middle.0.conv.bias"] + first[:, ~keep].sum(2) @ constant[~keep]
    found["middle.0.conv.weight"] = first[:, keep]

    # Maximum and mean of a constant are the constant, behind the norm another one: it belongs to the dense bias.
    behind = found["dense.weight"].shape[1] - 2 * len(keep)
    stays = torch.cat([keep.repeat_interleave(2), torch.ones(behind, dtype=torch.bool)])
    scale = found["pool_norm.weight"] / torch.sqrt(found["pool_norm.variance"] + NORM_EPSILON)
    pooled = torch.cat([constant.repeat_interleave(2), torch.zeros(behind)])
    normed = (pooled - found["pool_norm.mean"]) * scale + found["pool_norm.bias"]
    found["dense.bias"] = found["dense.bias"] + found["dense.weight"][:, ~stays] @ normed[~stays]
    found["dense.weight"] = found["dense.weight"][:, stays]
    for name in ("weight", "bias", "mean", "variance"):
        found[f"pool_norm.{name}"] = found[f"pool_norm.{name}"][stays]
    return {name: tensor.float().contiguous() for name, tensor in found.items()}


def difference(whole: Mapping[str, Tensor], pruned: Mapping[str, Tensor], windows: int = 4) -> float:
    """Return the largest difference of two networks' logits on random windows, computed in float64.

    The windows span what `front_end.py` gives for music, from silence (0) to full scale (about 6).
    """
    draws = torch.Generator().manual_seed(0)
    noise = torch.rand(windows, WINDOW_FRAMES, SPEC.bands, generator=draws, dtype=torch.float64)
    loudness = torch.linspace(0, 6, windows, dtype=torch.float64)[:, None, None]
    with torch.no_grad():
        outputs = [build(tensors).double()(noise * loudness).tags for tensors in (whole, pruned)]
    return float((outputs[0] - outputs[1]).abs().max())
