"""Teachers in company: names, the mean and disagreement by hand, weights against a grid, the stage with two members."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError
from pocketmood.predictions import read_predictions
from pocketmood.runs import read_stage
from teacher.company import combine
from teacher.company.config import CompanyConfig, MemberName, published, trained
from teacher.company.open import open_company
from teacher.company.record import company_of
from teacher.presets import PRESETS
from teacher.soft_targets import SoftTargets
from teacher.stage import run
from tests.helpers import tiny


def test_a_member_is_a_kind_and_a_seed() -> None:
    assert MemberName.parse("vit") == ("vit", 0) and MemberName.parse("ast@12") == ("ast", 12)
    for name in ("vit@", "vit@0", "vit@01", "vit@-1", "vit@x", "vit@²"):
        with pytest.raises(ConfigError, match="behind @"):
            MemberName.parse(name)
    with pytest.raises(ConfigError, match=r"'bert': no such kind; there are vit, ast"):
        CompanyConfig(("bert",))
    with pytest.raises(ConfigError, match="each once"):
        CompanyConfig(("vit", "vit"))
    with pytest.raises(ConfigError, match="features 'ast': no member"):
        CompanyConfig(("vit",), features="ast")
    assert CompanyConfig(("ast", "vit")).featured == "ast"


def test_the_baseline_is_not_trained_twice() -> None:
    demo = PRESETS["demo"]
    assert trained(demo) == ("ast", "vit") and published(demo) == {}
    assert trained(replace(demo, company=CompanyConfig(("vit", "ast", "vit@1")))) == ("vit", "ast", "vit@1")
    assert list(published(replace(PRESETS["full"], company=CompanyConfig(("vit", "vit@1"))))) == ["vit"]


def test_mean_and_disagreement_by_hand() -> None:
    emotion = np.array([[[0.2, -0.4]], [[0.6, 0.0]]])  # [M, N, D]
    # (.2 + .6) / 2 and (-.4 + 0) / 2; both members lie .2 from the mean on both axes. Rounded to float32.
    np.testing.assert_allclose(combine.join(emotion, combine.equal_weights(2)), [[0.4, -0.2]], rtol=0, atol=1e-7)
    np.testing.assert_allclose(combine.disagreement(emotion), [[0.2, 0.2]], rtol=0, atol=1e-7)
    assert combine.disagreement(emotion[:1]).tolist() == [[0.0, 0.0]]
    weights = np.array([[0.75, 0.0], [0.25, 1.0]])
    np.testing.assert_allclose(combine.join(emotion, weights), [[0.3, 0.0]], rtol=0, atol=1e-7)


def members(songs: int, noises: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions [M, N, 2] of members that err by so much, and the ratings."""
    rng = np.random.default_rng(seed)
    labels = rng.uniform(-0.8, 0.8, (songs, 2))
    return np.stack([labels + rng.normal(0, noise, labels.shape) for noise in noises]), labels


@pytest.mark.parametrize("penalty", [0.0, 0.3, 3.0])
def test_weights_are_the_best_of_a_grid(penalty: float) -> None:
    emotion, labels = members(60, (0.1, 0.25, 0.6))
    found = combine.stack(emotion, labels, penalty)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(0), 1, rtol=0, atol=1e-12)
    step = 0.01
    for axis in range(2):
        errors = emotion[..., axis] - labels[:, axis]
        scale = penalty * (errors**2).mean()
        costs = {
            (a, b): float(((a * errors[0] + b * errors[1] + (1 - a - b) * errors[2]) ** 2).mean())
            + scale * (a**2 + b**2 + (1 - a - b) ** 2)
            for a in np.arange(0, 1 + step / 2, step)
            for b in np.arange(0, 1 - a + step / 2, step)
        }
        a, b = min(costs, key=lambda place: costs[place])
        # A grid's best lies within a step of the true one in every weight; the third has the error of both.
        np.testing.assert_allclose(found[:, axis], [a, b, 1 - a - b], rtol=0, atol=2 * step)


def test_few_songs_and_equals_are_averaged_and_a_bad_member_is_not() -> None:
    emotion, labels = members(60, (0.2, 0.2, 0.2))
    assert combine.choose("auto", emotion, labels).how == "mean"
    bad, labels = members(60, (0.1, 0.9))
    chosen = combine.choose("auto", bad, labels)
    assert chosen.how == "stacked" and (chosen.weights[0] > 0.7).all() and "60 validation songs" in chosen.why
    assert combine.choose("auto", bad[:, :19], labels[:19]).why.startswith("the mean: 19 validation songs are too few")
    assert combine.choose("mean", bad, labels).weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert combine.choose("auto", bad[:1], labels).weights.tolist() == [[1.0, 1.0]]


def test_chance_is_rarely_taken_for_a_better_member() -> None:
    # Equally good members, 40 times: one standard error is passed by luck in about a sixth, and less by shrinking.
    taken = [combine.choose("auto", *members(60, (0.3, 0.3, 0.3), seed)).how == "stacked" for seed in range(40)]
    assert sum(taken) <= 8


@pytest.mark.slow
def test_a_company_is_its_members_and_another_member_trains_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from teacher import finetune

    made = tiny.make_data(tmp_path / "run")
    single = replace(PRESETS["smoke"], run=made, synthetic=0, baseline=False)
    run(single)
    folder = made / "teacher"
    alone = read_predictions(folder / "predictions.csv")
    weights = (folder / "vit" / "model.safetensors").read_bytes()
    assert (
        company_of(folder).members[0].weight_valence == 1
        and SoftTargets.open(folder / "soft_targets").disagreement is None
    )
    assert (folder / "predictions.csv").read_bytes() == (folder / "vit" / "predictions.csv").read_bytes()

    # Killed while the second member is saved: the first is there, and what follows ends the same way.
    company = replace(single, company=CompanyConfig(("vit", "vit@1"), "mean"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetune, "save_teacher", _stop)
        run(company)
    capsys.readouterr()
    run(company)
    printed = capsys.readouterr().out
    assert "vit: training" not in printed and "vit@1: training" in printed and "company of 2" in printed
    assert (folder / "vit" / "model.safetensors").read_bytes() == weights
    assert read_stage(folder / "vit@1").config["seed"] == 1

    two = [read_predictions(folder / name / "predictions.csv") for name in ("vit", "vit@1")]
    joined = read_predictions(folder / "predictions.csv")
    np.testing.assert_allclose(joined.emotion, (two[0].emotion + two[1].emotion) / 2, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(two[0].emotion, alone.emotion)
    table = SoftTargets.open(folder / "soft_targets")
    parts = [SoftTargets.open(folder / f"soft_targets-{name}") for name in ("vit", "vit@1")]
    assert table.disagreement is not None
    # Of two, each lies half of their distance from the mean.
    np.testing.assert_allclose(table.disagreement, np.abs(parts[0].emotion - parts[1].emotion) / 2, rtol=0, atol=1e-6)
    # A prediction of typical disagreement counts half of one that all share; one for each on average.
    np.testing.assert_allclose(table.agreement.mean((0, 1)), 1, rtol=1e-5, atol=0)
    typical = (table.disagreement**2).mean((0, 1))
    ratio = table.agreement * (typical + table.disagreement**2)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0, 0], ratio.shape), rtol=1e-4, atol=0)
    np.testing.assert_array_equal(table.features, parts[0].features)
    record = company_of(folder)
    assert set(record.adds["test"]) == {"vit", "vit@1"} and not (folder / "model.safetensors").exists()

    opened, store = open_company(folder), RunFolder(made).store
    emotion, _ = opened.hear(store.waveform(joined.ids[0]))
    # The same pass, a batch of one instead of sixteen.
    np.testing.assert_allclose(emotion, joined.emotion[0], rtol=0, atol=1e-4)
    assert opened.parameters == sum(member.training.parameters for member in record.members)
    assert "In company" in (folder / "report.html").read_text()


def _stop(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt
