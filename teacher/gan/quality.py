"""How good synthetic spectrograms are, as a score from 0 to 100, and the gate that keeps bad ones out.

The score is 100 times the weighted geometric mean of six similarities in [0, 1] (formulas: `similarity.py`), so that
no strength pays for a failure. Every candidate is compared with the same half of the real training clips, at equal
numbers: the other real half (should be near 100), the synthetic clips, one real clip over and over (a collapsed
generator), noise with the real bands' means and deviations, and plain noise (should be near 0).

Scores of few clips are uncertain, those of real ones too: the level that can be reached is the mean score of several
random real halves. Where that stays below `LEAST_REFERENCE`, a low score says as much about the songs as about the
generator, and the gate does not judge: it refuses, unless it is forced.

The conditioning check asks whether a reader that was fitted on real training songs reads back the emotions that the
generator was given (mean CCC of valence and arousal).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from pocketmood.errors import DataError
from pocketmood.metrics import ccc
from teacher.gan import plots, similarity
from teacher.gan.config import refuse_too_few
from teacher.gan.record import (
    BAND_NOISE,
    EXCELLENT,
    GOOD,
    NOISE,
    NOT_JUDGED,
    POOR,
    REAL_HALF,
    REPEATED,
    SYNTHETIC,
    WEIGHTS,
    Candidate,
    Verdict,
)
from teacher.gan.training_songs import TrainingSongs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pocketmood.data.clips import ClipStore
    from pocketmood.data.split import Split
    from teacher.gan.config import GanConfig
    from teacher.gan.synthesis import SyntheticStore

    Reader = Callable[[NDArray[np.float32]], NDArray[np.float64]]
    """Spectrograms [B, 1, M, T] at stride 1 -> emotions [B, D]."""

LEAST_REFERENCE = 80.0
"""Mean score of real halves below which the gate does not judge."""
_GRADES = ((70.0, EXCELLENT), (50.0, GOOD), (0.0, POOR))
_SHOWN = 4


def measure(
    store: ClipStore, split: Split, synthetic: SyntheticStore, reader: Reader, config: GanConfig, folder: Path
) -> Verdict:
    """Measure synthetic clips against real training clips, write `quality.json` and plots, and print the verdict."""
    songs = TrainingSongs(store, split)
    refuse_too_few(len(songs.ids), len(synthetic))
    # As many clips of every candidate: distances of finite samples grow as the samples get smaller.
    size = min(len(songs.ids), config.quality_clips, 2 * len(synthetic)) // 2
    rng = np.random.default_rng(len(songs.ids))
    chosen = [songs.ids[row] for row in rng.permutation(len(songs.ids))[: 2 * size]]
    picked = rng.permutation(len(synthetic))[:size]

    # One clip after the other: spectrograms of 1024 clips would take 680 MB, their statistics take 14.
    real_mels = (songs.mels([id_]).cpu().numpy() for id_ in chosen)
    real, real_read = _read(real_mels, reader, "real clips", len(chosen))
    fake, fake_read = _read((_stored(synthetic, row) for row in picked), reader, "synthetic clips", size)
    asked, labels = synthetic.labels[picked], store.labels(chosen)

    scale = similarity.Scale.fit(real, seed=size)
    half = real.rows(scale.first)
    table = (
        Candidate(REAL_HALF, size, scale.score(real.rows(scale.second)), mean_ccc(real_read, labels)),
        Candidate(SYNTHETIC, size, scale.score(fake), mean_ccc(fake_read, asked)),
        # What the score must not be fooled by: no variety, no structure in time, nothing at all.
        Candidate(REPEATED, size, scale.score(half.rows(np.zeros(size, np.int64)))),
        Candidate(BAND_NOISE, size, scale.score(_described(_band_noise(half, rng), size))),
        Candidate(NOISE, size, scale.score(_described(_plain_noise(half, rng), size))),
    )
    reference = float(np.mean(scale.half_scores(seed=size)))
    verdict = judge(table, scale.name, reference, config)
    verdict.save(folder)

    pictures = folder / "plots"
    pictures.mkdir(parents=True, exist_ok=True)
    _draw_examples(songs, chosen, synthetic, picked, pictures / "real-and-synthetic.png")
    plots.distributions(real, fake, pictures / "distributions.png")
    plots.score_bars(verdict, config.min_quality, pictures / "quality.png")
    plots.conditioning(asked, fake_read, verdict.conditioning_ccc, pictures / "conditioning.png")
    print(f"{format_table(table)}\n{verdict.sentence}", flush=True)
    return verdict


def judge(table: Sequence[Candidate], embedding: str, reference: float, config: GanConfig) -> Verdict:
    """Accept the table's synthetic row if its score and conditioning reach the config's limits, or if forced.

    reference: mean score of real halves; below `LEAST_REFERENCE` nothing is accepted that is not forced.
    """
    row = next(row for row in table if row.candidate == SYNTHETIC)
    score, read_back = row.measures.score, row.conditioning_ccc
    if read_back is None:
        raise DataError(f"the quality table has no conditioning of its {SYNTHETIC!r} row, so the gate cannot judge it")
    can_judge = reference >= LEAST_REFERENCE
    # Both, or a generator that draws one fine clip, or fine clips of any emotion, would pass.
    good = can_judge and score >= config.min_quality and read_back >= config.min_conditioning
    forced = config.force_synthetic and not good

    share = score / max(reference, 1e-6)
    grade = next(name for least, name in _GRADES if score >= least) if can_judge else NOT_JUDGED
    facts = (
        f"quality {score:.0f} of 100, {grade} (needs {config.min_quality:.0f}; real halves of {row.clips} clips reach "
        f"{reference:.0f}, of which this is {share:.0%}), "
        f"emotions read back at CCC {read_back:.2f} (needs {config.min_conditioning:.2f})"
    )
    sentence = f"{_outcome(good, forced, can_judge)}: {facts}"
    return Verdict(good or forced, forced, score, reference, share, grade, read_back, sentence, embedding, tuple(table))


def _outcome(good: bool, forced: bool, can_judge: bool) -> str:
    """Say what becomes of the clips, and on whose word."""
    if good:
        return "synthetic clips ACCEPTED into the teacher's training data"
    why = "by the quality gate"
    if not can_judge:
        why = (
            f"because the gate cannot judge where real halves stay below {LEAST_REFERENCE:.0f}, as with these few songs"
        )
    if forced:
        return f"synthetic clips REFUSED {why}, but FORCED into the teacher's training data"
    return f"synthetic clips REFUSED {why}, the teacher trains on real clips only"


def format_table(table: Sequence[Candidate]) -> str:
    """Format the quality table for people, one line per candidate."""
    names = list(WEIGHTS)
    lines = [f"{'candidate':<24}{'score':>7}" + "".join(f"{name:>12}" for name in names) + f"{'read back':>12}"]
    for row in table:
        read_back = "-" if row.conditioning_ccc is None else f"{row.conditioning_ccc:.2f}"
        cells = "".join(f"{getattr(row.measures.similarity, name):>12.2f}" for name in names)
        lines.append(f"{row.candidate:<24}{row.measures.score:>7.1f}{cells}{read_back:>12}")
    return "\n".join(lines)


def _draw_examples(
    songs: TrainingSongs, chosen: Sequence[str], synthetic: SyntheticStore, picked: NDArray[Any], path: Path
) -> None:
    """Draw a few real clips above a few synthetic ones, each with its emotion."""
    real = [songs.mels([id_]).cpu().numpy()[0, 0] for id_ in chosen[:_SHOWN]]
    fake = [np.asarray(synthetic.mels[row, 0], np.float32) for row in picked[:_SHOWN]]
    labels = (songs.store.labels(chosen[:_SHOWN]), synthetic.labels[picked[:_SHOWN]])
    captions = [[f"V {emotion[0]:+.2f}  A {emotion[1]:+.2f}" for emotion in emotions] for emotions in labels]
    plots.side_by_side(real, fake, captions, path)


def _read(
    mels: Iterator[NDArray[np.float32]], reader: Reader, what: str, count: int
) -> tuple[similarity.Description, NDArray[np.float64]]:
    """Describe spectrograms [1, 1, M, T] and read their emotions, one clip in memory at a time."""
    described, read = [], []
    for mel in tqdm(mels, what, count, disable=not sys.stderr.isatty(), leave=False):
        described.append(similarity.describe(mel))
        read.append(reader(mel))
    return similarity.Description.join(described), np.concatenate(read)


def _described(mels: Iterator[NDArray[np.float32]], count: int) -> similarity.Description:
    """Describe the next `count` clips, one in memory at a time."""
    return similarity.Description.join([similarity.describe(next(mels)) for _ in range(count)])


def _stored(synthetic: SyntheticStore, row: int) -> NDArray[np.float32]:
    """Read one clip [1, 1, M, T] from the memory map."""
    return np.asarray(synthetic.mels[row : row + 1], np.float32)


def _band_noise(real: similarity.Description, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Draw clips whose bands have the real means and deviations, and nothing else of music."""
    # Moments, profile and range take it for music (.94 to 1.0), the other three do not: see
    # benchmarks/studies/results/gan-steps.md.
    mean, deviation = real.band_mean.mean(0), real.band_deviation.mean(0)
    while True:
        noise = rng.standard_normal((len(mean), real.frame_mean.shape[1]))
        yield np.clip(mean[:, None] + deviation[:, None] * noise, -1, 1)[None, None].astype(np.float32)


def _plain_noise(real: similarity.Description, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Draw clips of uniform noise over the whole range."""
    while True:
        yield rng.uniform(-1, 1, (1, 1, real.band_mean.shape[1], real.frame_mean.shape[1])).astype(np.float32)


def mean_ccc(read: NDArray[np.float64], wanted: NDArray[np.float32]) -> float:
    """Return the mean CCC of valence and arousal of emotions [N, D] read and wanted."""
    return float(np.mean([ccc(read[:, axis], wanted[:, axis]) for axis in range(2)]))
