"""The quality score: distances by hand and against slow twins, the order of known candidates, and the gate."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import ConfigError
from teacher.gan import quality, similarity
from teacher.gan.config import GanConfig
from teacher.gan.record import (
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
    Distances,
    Measures,
    Similarities,
    SyntheticRecord,
    Verdict,
)
from teacher.gan.synthesis import SyntheticStore
from teacher.gan.training_songs import TrainingSongs

CONFIG = GanConfig(quality_clips=16)


def music(count: int, seed: int) -> Any:
    """Spectrograms [N, 1, 24, 60] that share a tilt and differ in level, pulse and one loud band."""
    rng = np.random.default_rng(seed)
    bands, frames = np.arange(24)[:, None], np.arange(60)[None]
    clips = []
    for _ in range(count):
        level, pulse, peak = rng.normal(-0.1, 0.2), rng.uniform(4, 20), rng.normal(8, 3)
        clip = level + 0.3 - 0.03 * bands + 0.4 * np.exp(-((bands - peak) ** 2) / 8)
        clip = clip + 0.2 * np.sin(2 * np.pi * frames / pulse) + 0.03 * rng.standard_normal((24, 60))
        clips.append(clip)
    return np.clip(np.stack(clips)[:, None], -1, 1).astype(np.float32)


def test_frechet_distance_by_hand() -> None:
    a = np.random.default_rng(0).standard_normal((200, 3)) * [1, 2, 3]
    variances = a.var(0, ddof=1)
    np.testing.assert_allclose(similarity.frechet(a, a), 0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(similarity.frechet(a, a + np.array([3, 0, 4])), 25, rtol=1e-9, atol=0)
    # Twice the deviation: v + 4 v - 2 * 2 v = v per dimension, plus the moved mean.
    wanted = variances.sum() + (a.mean(0) ** 2).sum()
    np.testing.assert_allclose(similarity.frechet(a, 2 * a), wanted, rtol=1e-9, atol=0)


def test_frechet_distance_equals_scipys_root_where_covariances_do_not_commute() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(5)
    a = rng.standard_normal((300, 4)) @ rng.standard_normal((4, 4))
    b = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4)) + 0.5
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # Else the root of the product is the product of the roots, and a formula that takes one for the other passes.
    assert np.abs(cov_a @ cov_b - cov_b @ cov_a).max() > 1
    root = sqrtm(cov_a @ cov_b).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    np.testing.assert_allclose(similarity.frechet(a, b), wanted, rtol=1e-9, atol=1e-9)
    commuting = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.trace(cov_a) * np.trace(cov_b))
    assert abs(commuting - wanted) > 0.1 * wanted


def test_kernel_distance_equals_its_slow_twin() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((6, 2)), rng.standard_normal((6, 2)) + 1
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    width = np.median([((a[i] - a[j]) ** 2).sum() for i in range(6) for j in range(i)])

    def mean(rows: Any) -> float:
        return float(np.mean([np.exp(-((x - y) ** 2).sum() / width) for x, y in rows]))

    own = mean((a[i], a[j]) for i, j in pairs)
    found = own + mean((b[i], b[j]) for i, j in pairs) - 2 * mean((x, y) for x in a for y in b)
    np.testing.assert_allclose(similarity.kernel(a, b), found / own, rtol=1e-10, atol=1e-12)


def test_kernel_distance_is_about_one_for_sets_far_apart() -> None:
    a = np.random.default_rng(2).standard_normal((50, 2))
    np.testing.assert_allclose(similarity.kernel(a, a + 100), 2, rtol=0.3, atol=0)
    same = similarity.kernel(a, np.random.default_rng(3).standard_normal((50, 2)))
    assert abs(same) < 0.1


def test_description_equals_its_slow_twin() -> None:
    mel = music(2, 0)
    found = similarity.describe(mel)
    for clip in range(2):
        for band in range(24):
            row = [float(value) for value in mel[clip, 0, band]]
            mean = sum(row) / len(row)
            deviation = (sum((value - mean) ** 2 for value in row) / len(row)) ** 0.5
            change = sum(abs(y - x) for x, y in pairwise(row)) / (len(row) - 1)
            got = (found.band_mean[clip, band], found.band_deviation[clip, band], found.band_change[clip, band])
            np.testing.assert_allclose(got, (mean, deviation, change), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.histogram.sum(1), 1, rtol=1e-12, atol=0)
    np.testing.assert_allclose(found.frame_mean, mel[:, 0].mean(1), rtol=1e-5, atol=1e-6)


def test_shape_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    flat = similarity.describe(rng.uniform(-1, 1, (1, 1, 100, 1000)).astype(np.float32)).shape[0]
    np.testing.assert_allclose(flat, [0, -1.2, 1.8], rtol=0, atol=0.03)  # excess kurtosis of a uniform: -6/5


def test_weights_sum_to_one() -> None:
    np.testing.assert_allclose(sum(WEIGHTS.values()), 1, rtol=1e-12, atol=0)


def test_scores_order_known_candidates() -> None:
    real = similarity.describe(music(96, 0))
    scale = similarity.Scale.fit(real, seed=0)
    half = real.rows(scale.first)
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (48, 1, 24, 60)).astype(np.float32)
    candidates = {
        "real": real.rows(scale.second),
        "fresh": similarity.describe(music(48, 1)),
        "rough": similarity.describe(np.clip(music(48, 2) + 0.1 * rng.standard_normal((48, 1, 24, 60)), -1, 1)),
        "repeated": half.rows(np.zeros(48, int)),
        "noise": similarity.describe(noise),
    }
    scores = {name: scale.score(clips).score for name, clips in candidates.items()}
    assert scores["real"] > 85 and scores["fresh"] > 85
    assert scores["fresh"] > scores["rough"] > scores["noise"]
    assert scores["repeated"] < 50 and scores["noise"] < 10
    assert scale.name == "mel-statistics-72-pca-12"
    assert not set(scale.first) & set(scale.second)


def row(candidate: str, score: float, read_back: float = 0.0) -> Candidate:
    measures = Measures(score, Distances(0, 0, 0, 0), Similarities(0, 0, 0, 0, 0, 0))
    return Candidate(candidate, 4, measures, read_back)


@pytest.mark.parametrize(
    ("score", "read_back", "force", "accepted", "word"),
    [
        (50.0, 0.3, False, True, "ACCEPTED"),
        (49.9, 0.9, False, False, "REFUSED by the quality gate, the teacher trains on real clips only"),
        (90.0, 0.29, False, False, "REFUSED by the quality gate, the teacher trains on real clips only"),
        (10.0, 0.0, True, True, "REFUSED by the quality gate, but FORCED"),
        (90.0, 0.9, True, True, "ACCEPTED"),
    ],
)
def test_the_gate(score: float, read_back: float, force: bool, accepted: bool, word: str) -> None:
    table = [row(REAL_HALF, 98.0), row(SYNTHETIC, score, read_back)]
    verdict = quality.judge(table, "space", 80.0, replace(CONFIG, force_synthetic=force))
    assert verdict.accepted is accepted
    assert verdict.forced is ("FORCED" in word)
    assert word in verdict.sentence and f"CCC {read_back:.2f}" in verdict.sentence


@pytest.mark.parametrize(("force", "end"), [(False, "the teacher trains on real clips only"), (True, "but FORCED")])
def test_the_gate_cannot_judge_where_real_halves_are_not_alike(force: bool, end: str) -> None:
    table = [row(REAL_HALF, 0.9), row(SYNTHETIC, 60.0, 0.9)]
    verdict = quality.judge(table, "space", 79.9, replace(CONFIG, force_synthetic=force))
    assert (verdict.accepted, verdict.forced, verdict.grade) == (force, force, NOT_JUDGED)
    assert verdict.sentence.startswith(
        f"synthetic clips REFUSED because the gate cannot judge where real halves stay below 80, as with these few "
        f"songs, {end}"
    )


@pytest.mark.parametrize(("score", "grade"), [(70.0, EXCELLENT), (69.9, GOOD), (50.0, GOOD), (49.9, POOR), (0.0, POOR)])
def test_the_recipes_grades_and_the_share_of_what_real_halves_reach(score: float, grade: str) -> None:
    verdict = quality.judge([row(SYNTHETIC, score, 0.9)], "space", 80.0, CONFIG)
    assert (verdict.grade, verdict.share, verdict.reference) == (grade, score / 80, 80)
    share = f"{score / 80:.0%}"
    assert f"{score:.0f} of 100, {grade} (needs 50; real halves of 4 clips reach 80, of which this is {share})" in (
        verdict.sentence
    )


def test_the_reference_is_steadier_than_one_half_and_the_first_is_the_tables() -> None:
    real = similarity.describe(music(48, 0))
    scale = similarity.Scale.fit(real, seed=0)
    scores = scale.half_scores(seed=0)
    assert len(scores) == similarity.HALVES == 9 and len(set(scores)) == 9
    assert scores[0] == scale.score(real.rows(scale.second)).score
    assert scores == scale.half_scores(seed=0) != scale.half_scores(seed=1)
    # Songs of one tone each lie all apart: nothing can be told from so few, and the reference says it.
    pure = np.full((16, 1, 24, 60), -1.0, np.float32)
    pure[np.arange(16), 0, np.arange(16)] = 1
    apart = similarity.Scale.fit(similarity.describe(pure), seed=0)
    assert np.mean(apart.half_scores(seed=0)) < quality.LEAST_REFERENCE < np.mean(scores)


def write_store(folder: Path, mels: Any, labels: Any) -> SyntheticStore:
    """Write a store as `synthesise` does, from given spectrograms."""
    folder.mkdir()
    (folder / "mels.f16").write_bytes(np.asarray(mels, "<f2").tobytes())
    (folder / "labels.f32").write_bytes(np.asarray(labels, "<f4").tobytes())
    record = SyntheticRecord(len(mels), mels.shape[2], mels.shape[3], 0, "0" * 16, "0" * 64)
    (folder / "synthetic.json").write_text(json.dumps(asdict(record)))
    return SyntheticStore.open(folder)


def loudness_reader(mels: Any) -> Any:
    """Reads both axes from the level: right for arousal of the test songs, wrong for valence."""
    level = np.asarray(mels, np.float64).mean((1, 2, 3))
    return np.stack([level, level], 1)


@pytest.mark.slow
def test_a_perfect_generator_passes_and_noise_does_not(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, split = ClipStore.open(tiny_run / "data" / "store"), Split.load(tiny_run / "data" / "split.json")
    songs = TrainingSongs(store, split)
    perfect = write_store(tmp_path / "perfect", songs.mels(split.train).numpy(), songs.labels)
    # The songs' own labels stand in for a reader that knows them all, in the order it is shown the clips.
    known = {
        songs.mels([id_]).numpy().astype(np.float16).tobytes(): songs.labels[i] for i, id_ in enumerate(split.train)
    }

    def reader(mels: Any) -> Any:
        return np.stack([known[mel.astype(np.float16).tobytes()] for mel in mels]).astype(np.float64)

    accepted = quality.measure(store, split, perfect, reader, CONFIG, tmp_path)
    assert accepted.accepted and accepted.score > 80
    np.testing.assert_allclose(accepted.conditioning_ccc, 1, rtol=1e-6, atol=0)
    assert "ACCEPTED" in capsys.readouterr().out

    noise = np.random.default_rng(0).uniform(-1, 1, (8, 1, 128, 1292))
    refused = quality.measure(
        store, split, write_store(tmp_path / "bad", noise, songs.labels[:8]), loudness_reader, CONFIG, tmp_path
    )
    scores = {row.candidate: row.measures.score for row in refused.table}
    assert not refused.accepted and refused.score < 10
    assert scores[REAL_HALF] > 60 > scores[REPEATED] and scores[NOISE] < 10
    saved = Verdict.load(tmp_path)
    assert saved == refused and len(refused.table) == 5 and Verdict.load(tmp_path / "plots") is None
    plots = {path.name for path in (tmp_path / "plots").iterdir()}
    assert plots == {"real-and-synthetic.png", "distributions.png", "quality.png", "conditioning.png"}
    assert quality.format_table(refused.table).count("\n") == 5


def test_too_few_clips_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    store, split = ClipStore.open(tiny_run / "data" / "store"), Split.load(tiny_run / "data" / "split.json")
    few = write_store(tmp_path / "few", np.zeros((3, 1, 128, 1292)), np.zeros((3, 2)))
    with pytest.raises(ConfigError, match="16 training songs and 3 synthetic clips"):
        quality.measure(store, split, few, loudness_reader, CONFIG, tmp_path)
