"""The two networks of the conditional GAN: emotion to spectrogram, and spectrogram with emotion to a logit.

Conventions: spectrograms [B, 1, M, T] in [-1, 1], the front end's own range; conditions [B, D] = (valence, arousal).
No layer mixes the clips of a batch (group norm, not batch norm), so accumulated passes, several processes and one big
batch all compute the same gradients.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.parametrizations import spectral_norm

from pocketmood.errors import RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json, write_json
from pocketmood.training.checkpoints import load_tensors, save_tensors
from teacher.gan.record import GanRecord

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS_FILE, RECORD_FILE = "generator.safetensors", "gan.json"
STAGES = 4
"""Doublings of the recipe's generator and halvings of the discriminator: 8 bands by 81 frames grow to 128 by 1292."""
_GROWTH = (4, 4, 2, 1)
"""Channels after each stage of the generator, as multiples of the width; the discriminator's are these reversed."""
_EDGE = 0.999
"""Largest level that the output's bias imitates: 1 has no finite inverse tanh."""
_SLOPE = 0.2
"""Of the leaky ReLUs, DCGAN's: the generator learns through the discriminator, where no unit may stop the gradient."""


class ChannelAttention(nn.Module):
    """Weigh channels by what they hold on average and at most, judged by one shared MLP (CBAM, Woo et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        """Make the shared MLP, which narrows to a share of the channels."""
        super().__init__()
        hidden = max(channels // reduction, 2)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale [B, C, M, T] by a weight in (0, 1) per clip and channel."""
        # The maximum beside the mean: a channel that fires in a few frames of 1292 hardly moves its mean.
        weight = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        return x * weight[:, :, None, None]


class Up(nn.Module):
    """Double both sides of [B, C, M, T], less `trim` columns on either side."""

    def __init__(self, inputs: int, outputs: int, upsampling: str, trim: int = 0) -> None:
        """Upsample by a transposed convolution ("transpose"), or resize and then convolve ("resize")."""
        super().__init__()
        self.resize, self.trim = upsampling == "resize", trim
        self.conv: nn.Module
        if self.resize:
            # Every output sees equally many inputs, so that no checkerboard arises; it is slower.
            self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        else:
            # Padding of a transposed convolution is what it cuts off its output.
            self.conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=(1, 1 + trim))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', 2 M, 2 T - 2 trim]."""
        if not self.resize:
            grown: Tensor = self.conv(x)
            return grown
        x = self.conv(interpolate(x, scale_factor=2.0))
        return x[..., self.trim : x.shape[-1] - self.trim]


class Generator(nn.Module):
    """Map noise [B, L] and the emotion asked for [B, D] to a spectrogram [B, 1, M, T] in [-1, 1]."""

    def __init__(
        self,
        latent: int = 100,
        embedding: int = 64,
        width: int = 64,
        upsampling: str = "transpose",
        bands: int = 128,
        frames: int = 1292,
        stages: int = STAGES,
    ) -> None:
        """Build a dense layer and so many doublings to exactly `bands` x `frames`."""
        super().__init__()
        self.options = {
            "latent": latent,
            "embedding": embedding,
            "width": width,
            "upsampling": upsampling,
            "bands": bands,
            "frames": frames,
            "stages": stages,
        }
        self.bands, self.frames = bands, frames

        # 1292 is no multiple of 16: one column more is grown, and the last stage cuts the surplus off both sides.
        scale = 2**stages
        columns = -(-frames // scale)
        extra = columns * scale - frames
        if bands % scale or extra % 2:
            raise RunError(f"a spectrogram of {bands} x {frames} cannot be reached by {stages} doublings")
        self.latent = latent

        # Deeper ones begin with as many channels for longer, shallower ones leave the first stages out.
        growth = (_GROWTH[0],) * max(stages - STAGES, 0) + _GROWTH[max(STAGES - stages, 0) :]
        channels = [factor * width for factor in growth]
        self.seed_shape = (channels[0], bands // scale, columns)
        self.condition = nn.Sequential(
            nn.Linear(2, embedding), nn.LeakyReLU(_SLOPE), nn.Linear(embedding, embedding), nn.LeakyReLU(_SLOPE)
        )
        self.dense = nn.Linear(latent + embedding, channels[0] * self.seed_shape[1] * columns)
        grown = [nn.Sequential(_norm(channels[0]), nn.ReLU())]
        for inputs, outputs in pairwise(channels):
            grown.append(_stage(inputs, outputs, upsampling))
        self.stages = nn.Sequential(*grown)
        self.image = Up(channels[-1], 1, upsampling, trim=extra // 2)
        # One bias per band, so that `start_from` can set the songs' mean spectrum: after 20 steps the profile's
        # similarity is .98 with it and .00 without (benchmarks/studies/results/gan-steps.md).
        self.band_bias = nn.Parameter(torch.zeros(bands, 1))

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Grow [B, L] and [B, D] into [B, 1, M, T]."""
        seed = self.dense(torch.cat([noise, self.condition(condition)], 1))
        return torch.tanh(self.image(self.stages(seed.unflatten(1, self.seed_shape))) + self.band_bias)

    @torch.no_grad()
    def start_from(self, band_means: Tensor) -> None:
        """Set the output's bias per band so that an untrained generator has the real mean spectrum [M]."""
        self.band_bias.copy_(torch.atanh(band_means.clamp(-_EDGE, _EDGE)).reshape(self.band_bias.shape))


class Discriminator(nn.Module):
    """Judge spectrogram and emotion together: a logit [B], positive for real.

    Spectral norm on every layer. Its power iteration advances once per optimiser step (`advance`), not once per pass:
    real, generated and accumulated clips of a step all meet the same weights.
    """

    def __init__(self, width: int = 64, embedding: int = 64, bands: int = 128, projection: bool = False) -> None:
        """Build the map of the condition, four halvings, and a linear judge that knows a feature's band.

        projection: judge by the inner product of features and embedded condition as well.
        """
        super().__init__()
        scale = 2**STAGES
        if bands % scale:
            raise RunError(f"{bands} mel bands cannot be halved {STAGES} times")

        # One value per band, the same in every frame: the rating is of the whole clip.
        self.condition = nn.Sequential(
            spectral_norm(nn.Linear(2, embedding)), nn.LeakyReLU(_SLOPE), spectral_norm(nn.Linear(embedding, bands))
        )

        channels = [2, *(factor * width for factor in reversed(_GROWTH))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers)
        # Mean over time but not over bands: the judge must know in which band a feature lies, but not when.
        features = channels[-1] * (bands // scale)
        self.judge = spectral_norm(nn.Linear(features, 1))
        # Last, so that the weights above are drawn alike with it and without.
        self.project: nn.Module | None = None
        if projection:
            self.project = nn.Sequential(
                spectral_norm(nn.Linear(2, embedding)),
                nn.LeakyReLU(_SLOPE),
                spectral_norm(nn.Linear(embedding, features)),
            )
        self.train()

    def forward(self, mel: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B] and the features [B, F] that they were read from."""
        plane = self.condition(condition)[:, None, :, None].expand(-1, -1, -1, mel.shape[-1])  # [B, 1, M, T]
        features = self.layers(torch.cat([mel, plane], 1)).mean(3).flatten(1)
        logits = self.judge(features)[:, 0]
        if self.project is not None:
            # Whether the clip fits what was asked for is then one product away, not four layers of mixing.
            logits = logits + (self.project(condition) * features).sum(1)
        return logits, features

    def _norms(self) -> list[nn.Module]:
        """List the modules that hold the power iterations."""
        return [module for name, module in self.named_modules() if name.endswith("parametrizations.weight.0")]

    def train(self, mode: bool = True) -> Discriminator:
        """Switch the mode of everything but the power iterations, which only `advance` moves."""
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    @torch.no_grad()
    def advance(self) -> None:
        """Take one step of every layer's power iteration."""
        for norm in self._norms():
            norm.train()
        for module in self.modules():
            if hasattr(module, "parametrizations"):
                _ = module.weight  # reading the weight is what iterates
        self.train(self.training)


def _norm(channels: int) -> nn.GroupNorm:
    """Normalise over groups of at most eight channels of one clip; batch norm would mix clips, see above."""
    return nn.GroupNorm(max(channels // 8, 1), channels)


def _stage(inputs: int, outputs: int, upsampling: str) -> nn.Sequential:
    """Double the sides, normalise, and weigh the channels."""
    return nn.Sequential(Up(inputs, outputs, upsampling), _norm(outputs), nn.ReLU(), ChannelAttention(outputs))


def save_generator(generator: Generator, folder: Path, record: GanRecord) -> None:
    """Write `generator.safetensors` and `gan.json`, the record and what it takes to build the network again."""
    save_tensors(folder / WEIGHTS_FILE, generator.state_dict())
    # The record last: a folder without it holds no generator yet.
    write_json(folder / RECORD_FILE, asdict(record) | {"generator": generator.options})


def load_generator(folder: Path) -> tuple[Generator, GanRecord]:
    """Read what `save_generator` wrote: the network in evaluation mode, and the record."""
    path = folder / RECORD_FILE
    if not path.exists():
        raise RunError(f"{folder} holds no trained generator ({RECORD_FILE}); run the teacher stage first")
    values: dict[str, Any] = read_json(path)
    generator = Generator(**values.pop("generator"))
    generator.load_state_dict(load_tensors(folder / WEIGHTS_FILE, f"delete {folder} and run the teacher stage again"))
    return generator.eval(), from_json(GanRecord, values, str(path), "run the teacher stage again")
