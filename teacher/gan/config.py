"""Every number of the conditional GAN, its synthetic clips and the gate that they must pass. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pocketmood.errors import ConfigError

STRONG = 0.95
"""The recipe's accuracy above which the discriminator has won."""


@dataclass(frozen=True)
class GanConfig:
    """Training, synthesis and quality gate of the generator. The defaults are the published recipe's."""

    # The networks.
    latent: int = 100
    """Length of the random vector that a spectrogram grows from."""
    embedding: int = 64
    """Length of the embedded condition (valence, arousal)."""
    width: int = 64
    """Channels next to the image in both networks; deeper layers have up to four times as many."""
    upsampling: Literal["transpose", "resize"] = "transpose"
    """Transposed convolutions, or nearest-neighbour resizing before each convolution (no checkerboard, slower)."""
    first_bands: Literal[4, 8, 16] = 8
    """Mel bands of the generator's first, coarsest spectrogram: five, four or three doublings make 128 of them."""
    projection: bool = False
    """Let the discriminator also judge by the inner product of features and condition (Miyato and Koyama 2018)."""
    # Their training. Where the discriminator wins, the generator's gradient vanishes: a lower rate, extra steps, noise
    # and feature matching are all there to keep the two level (measured: benchmarks/studies/results/gan-steps.md).
    batch_size: int = 24
    """Real clips per pass, over all processes."""
    accumulation: int = 2
    """Passes whose gradients make one optimiser step."""
    epochs: int = 10
    """Passes over the training songs."""
    steps_per_epoch: int = 0
    """Generator steps per epoch; 0 means one pass over the training songs."""
    learning_rate: float = 2e-4
    """Adam's rate for the generator."""
    discriminator_rate: float = 0.5
    """Rate of the discriminator, as a share of the generator's."""
    decay: float = 0.99
    """Factor on both rates after each epoch."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    weak: float = 0.6
    """Accuracy of the discriminator below which it may step again before the generator does."""
    strong: float = STRONG
    """Accuracy of the discriminator above which it has won for now: the generator catches up, where it may take more
    than one step, and carried steps become fewer. Without either it decides nothing, and must be left alone."""
    most_discriminator_steps: int = 3
    """Discriminator steps per generator step while it is weak."""
    carry_steps: bool = False
    """Carry the number of discriminator steps from turn to turn: one more after a turn that it was weak in, one fewer
    after a strong one. Otherwise every turn begins with one, and repeats while it is weak."""
    catch_up_steps: int = 1
    """Generator steps per discriminator step while that is strong; 1 is the recipe's."""
    band_bias: bool = True
    """Start the generator's output at the songs' mean level per band; without, at the middle of the range."""
    instance_noise: float = 0.0
    """Deviation of the noise on what the discriminator sees, falling to zero over the training."""
    feature_matching: float = 0.0
    """Weight of the distance between mean discriminator features of real and generated clips."""
    r1: float = 0.0
    """Weight of the discriminator's squared gradient on real clips (R1); one process only."""
    r1_every: int = 8
    """Turns from one R1 penalty to the next, which weighs so many times as much."""
    spectral: float = 0.0
    """Weight of the distance between real and generated bands: their means, deviations and changes over time, at
    several resolutions. The quality score looks at the same bands, so that it flatters such a generator."""
    # The emotions that synthetic clips are drawn for.
    conditions: Literal["density", "uniform"] = "density"
    """Draw conditions from the training songs' own valence-arousal density, or uniformly from the square."""
    jitter: float = 0.05
    """Deviation of the noise on a drawn condition, in units of [-1, 1]."""
    plot_epochs: int = 1
    """Epochs between two sheets of samples."""
    # The gate: without it a bad generator would teach the teacher its own mistakes.
    quality_clips: int = 1024
    """Real training clips, at most, that the quality table compares with."""
    min_quality: float = 50.0
    """Quality score from 0 to 100 that synthetic clips must reach."""
    min_conditioning: float = 0.3
    """Mean CCC of asked and read-back emotion that synthetic clips must reach."""
    force_synthetic: bool = False
    """Let synthetic clips into the teacher's training data whatever the gate says."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot train."""
        positive = ("latent", "embedding", "width", "batch_size", "accumulation", "epochs", "most_discriminator_steps")
        for name in (*positive, "catch_up_steps", "plot_epochs", "learning_rate", "clip", "r1_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"gan: {name} is {getattr(self, name)}, must be above 0")
        # With weak above strong, one accuracy would give both sides extra steps.
        if not 0 <= self.weak < self.strong <= 1:
            raise ConfigError(f"gan: need 0 <= weak < strong <= 1, not weak {self.weak} and strong {self.strong}")
        if min(self.r1, self.spectral, self.feature_matching, self.instance_noise) < 0:
            raise ConfigError("gan: r1, spectral, feature_matching and instance_noise must not be negative")
        # Nothing would look at it: every turn then begins with one step of each network, however strong one is.
        if self.strong != STRONG and self.catch_up_steps == 1 and not self.carry_steps:
            raise ConfigError(
                f"gan: strong {self.strong} decides nothing here; add --gan.catch-up-steps 2 or --gan.carry-steps, or "
                "leave it out"
            )
        if self.quality_clips < 8:
            raise ConfigError(f"gan: quality_clips is {self.quality_clips}, two halves to compare need at least 8")


FULL = GanConfig()
"""The published recipe."""
STREAMLINED = GanConfig(width=48, accumulation=1)
"""The recipe without accumulation, and narrower."""
DEMO = GanConfig(
    width=8,
    upsampling="resize",
    batch_size=6,
    accumulation=1,
    epochs=4,
    steps_per_epoch=5,
    learning_rate=5e-4,
    instance_noise=0.1,
    feature_matching=1.0,
    plot_epochs=2,
    quality_clips=96,
)
"""Half a minute of two CPU cores: enough to run and measure everything, not enough for usable samples."""
SMOKE = GanConfig(width=4, batch_size=4, accumulation=1, epochs=2, steps_per_epoch=1, quality_clips=16)
"""A few steps, for plumbing."""
PRESETS = {"full": FULL, "streamlined": STREAMLINED, "demo": DEMO, "smoke": SMOKE}
"""By the names of the teacher's presets."""
GATE = ("quality_clips", "min_quality", "min_conditioning", "force_synthetic")
"""Fields of the gate: changing them must not train another generator."""
LEAST_SONGS, LEAST_CLIPS = 8, 4
"""Training songs and synthetic clips without which the quality gate has nothing to compare: two halves of real songs,
and as many clips as a half."""


def refuse_too_few(songs: int, clips: int) -> None:
    """Refuse what the gate cannot judge, before a generator is trained for it; 0 clips are no GAN, and pass."""
    if clips and (songs < LEAST_SONGS or clips < LEAST_CLIPS):
        more = f"or at least --synthetic {LEAST_CLIPS}" if songs >= LEAST_SONGS else "or make data of more music"
        raise ConfigError(
            f"{songs} training songs and {clips} synthetic clips; the quality gate needs {LEAST_SONGS} and "
            f'{LEAST_CLIPS}. Type --synthetic 0 (TEACHER="--synthetic 0" with make) to train without a GAN, {more}'
        )
