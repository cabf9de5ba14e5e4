"""The musicnn network in PyTorch: convolutions shaped like timbre and rhythm, dense layers in time, pooling, 50 tags.

    windows [B, T, M] ── norm ── 5 blocks of shaped kernels ── 3 residual convolutions in time ── max and mean ── tags

Pons & Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging". Every width is read
from the tensors, so that a network without its dead channels is the same class.

Conventions: B windows, T frames, M = 96 mel bands, C channels. Batch norm stands *behind* ReLU and *before* the maximum
over bands, its epsilon is 1e-3, and its statistics are those of the published training, also where the network learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pocketmood.errors import RunError

NORM_EPSILON = 1e-3
"""Of every batch norm: the default of TensorFlow 1, a hundred times that of PyTorch."""
BLOCKS, MIDDLE = 5, 3
"""Blocks of shaped kernels, two for timbre before three for rhythm; and convolutions in time behind them."""
_MSD = (
    "rock,pop,alternative,indie,electronic,female vocalists,dance,00s,alternative rock,jazz,beautiful,metal,chillout,"
    "male vocalists,classic rock,soul,indie rock,Mellow,electronica,80s,folk,90s,chill,instrumental,punk,oldies,blues,"
    "hard rock,ambient,acoustic,experimental,female vocalist,guitar,Hip-Hop,70s,party,country,easy listening,sexy,"
    "catchy,funk,electro,heavy metal,Progressive rock,60s,rnb,indie pop,sad,House,happy"
)
_MTT = (
    "guitar,classical,slow,techno,strings,drums,electronic,rock,fast,piano,ambient,beat,violin,vocal,synth,female,"
    "indian,opera,male,singing,vocals,no vocals,harpsichord,loud,quiet,flute,woman,male vocal,no vocal,pop,soft,sitar,"
    "solo,man,classic,choir,voice,new age,dance,male voice,female vocal,beats,harp,cello,no voice,weird,country,metal,"
    "female voice,choral"
)
TAGS = {"MSD_musicnn": tuple(_MSD.split(",")), "MTT_musicnn": tuple(_MTT.split(","))}
"""What the outputs of each published model stand for, in their order."""


class MusicnnOutput(NamedTuple):
    """What a window gives, layer by layer."""

    frames: Tensor
    """[B, C, T] blocks of shaped kernels, then the convolutions in time."""
    penultimate: Tensor
    """[B, U] units below the tags."""
    tags: Tensor
    """[B, 50] logits."""


class FixedNorm(nn.Module):
    """Batch norm with the statistics of an earlier training: scale and offset learn, mean and variance never do."""

    def __init__(self, channels: int) -> None:
        """Begin as the identity, but for epsilon."""
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the channels, dimension 1, of [B, C, ...]."""
        scale = self.weight / torch.sqrt(self.variance + NORM_EPSILON)
        shape = (-1, *(1,) * (x.ndim - 2))
        return x * scale.reshape(shape) + (self.bias - self.mean * scale).reshape(shape)


class Block(nn.Module):
    """A shaped kernel [t, m] over the spectrogram [B, 1, T, M]; the maximum over bands is left: [B, C, T]."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        """Give it so many channels."""
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, channels, kernel), FixedNorm(channels)
        # Time keeps its length; of the even kernels' padding the odd frame goes behind, as TensorFlow lays it.
        self.padding = (0, 0, (kernel[0] - 1) // 2, kernel[0] // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, rectify, normalise, take the maximum: of a negative scale that is what was least."""
        rectified = functional.relu(self.conv(functional.pad(x, self.padding)))
        normed: Tensor = self.norm(rectified)
        return normed.amax(3)


class Middle(nn.Module):
    """A convolution over 7 frames, [B, C, T] to [B, D, T]."""

    def __init__(self, inputs: int, channels: int) -> None:
        """Give it so many channels."""
        super().__init__()
        self.conv, self.norm = nn.Conv1d(inputs, channels, 7, padding=3), FixedNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, rectify, normalise."""
        normed: Tensor = self.norm(functional.relu(self.conv(x)))
        return normed


class Musicnn(nn.Module):
    """The network; build it with `build`."""

    def __init__(self, kernels: list[tuple[int, int, int]], middle: int, units: int, tags: int) -> None:
        """Make the layers: kernels are (channels, frames, bands) of each block."""
        super().__init__()
        self.input_norm = FixedNorm(1)
        self.blocks = nn.ModuleList([Block(channels, (t, m)) for channels, t, m in kernels])
        channels = sum(kernel[0] for kernel in kernels)
        self.middle = nn.ModuleList([Middle(channels if i == 0 else middle, middle) for i in range(MIDDLE)])
        self.channels = channels + MIDDLE * middle
        self.pool_norm, self.dense = FixedNorm(2 * self.channels), nn.Linear(2 * self.channels, units)
        self.dense_norm, self.tags = FixedNorm(units), nn.Linear(units, tags)
        self.units = units

    def forward(self, windows: Tensor) -> MusicnnOutput:
        """Look at levels [B, T, M] of `front_end.py`; T is 187 for what the network was trained on."""
        x = self.input_norm(windows[:, None])  # [B, 1, T, M]
        layers = [torch.cat([block(x) for block in self.blocks], 1)]
        for number, middle in enumerate(self.middle):
            new = middle(layers[-1])
            # Residual from the second on: the first changes the width.
            layers.append(new + layers[-1] if number else new)
        frames = torch.cat(layers, 1)  # [B, C, T]

        # Interleaved, maximum before mean of each channel: the order in which the dense weights are stored.
        pooled = torch.stack([frames.amax(2), frames.mean(2)], 2).flatten(1)  # [B, 2 C]
        penultimate = self.dense_norm(functional.relu(self.dense(self.pool_norm(pooled))))
        return MusicnnOutput(frames, penultimate, self.tags(penultimate))


def build(tensors: Mapping[str, Tensor]) -> Musicnn:
    """Build the network whose `state_dict` these tensors are, in evaluation mode; RunError where they are not one."""
    try:
        kernels = [tensors[f"blocks.{number}.conv.weight"].shape for number in range(BLOCKS)]
        shapes = [(int(kernel[0]), int(kernel[2]), int(kernel[3])) for kernel in kernels]
        middle, tags = tensors["middle.0.conv.weight"].shape[0], tensors["tags.weight"].shape[0]
        network = Musicnn(shapes, int(middle), int(tensors["dense.weight"].shape[0]), int(tags))
        network.load_state_dict(dict(tensors))
    except (KeyError, IndexError, RuntimeError) as error:
        raise RunError(f"these weights are no musicnn network ({error}); type `make weights`") from error
    return network.eval()
