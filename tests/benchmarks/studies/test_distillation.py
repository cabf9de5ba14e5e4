"""The study of distillation: who may hear whom, what each arm learns from, and the whole of it in small."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.studies import distillation
from benchmarks.studies.distillation import PRESETS, cells
from benchmarks.studies.distillation_parts import (
    Part,
    Teachers,
    fold_table,
    parts_of,
    shuffled,
    student_split,
    teacher_split,
)
from benchmarks.studies.distillation_students import Cell, paced, prepared
from pocketmood.data.clips import Clip, ClipStore, finish
from pocketmood.data.folds import make_fold
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.split import artist_key, refuse_leaks
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, DataError, RunError
from pocketmood.spec import MelSpec
from pocketmood.training import curves
from student.config import PRESETS as STUDENTS
from student.training_set import TrainingData
from teacher import attention_picture, plots, report
from teacher.soft_targets import Index, SoftTargets
from tests.helpers import tiny

SHARES = (0.125, 0.25, 0.5, 1.0)


def corpus(songs: int = 566) -> list[Clip]:
    """Songs in all quadrants, one to four of an artist, and some that nobody rated."""
    rng = np.random.default_rng(4)
    clips: list[Clip] = []
    artist = 0
    while len(clips) < songs:
        artist += 1
        for _ in range(min(int(rng.integers(1, 5)), songs - len(clips))):
            point = rng.choice([-0.5, 0.5], 2)
            clips.append(Clip(f"S{len(clips):03}", None, Emotion(*map(float, point)), None, f"A{artist}"))
    return [*clips, *(Clip(f"unlabelled-{n}", None, None, None) for n in range(3))]


def tables(parts: Sequence[Part], unrated: tuple[str, ...], share: float = 1.0) -> Teachers:
    """Teachers whose every answer names them and the clip: emotion is (pair, hash of the clip)."""
    found = {}
    for pair in combinations(range(len(parts)), 2):
        ids = tuple(id_ for number in pair for id_ in parts[number].train(share)) + unrated
        emotion = np.zeros((len(ids), 2, 2), np.float32)
        emotion[..., 0], emotion[..., 1] = pair[0] * 10 + pair[1], np.arange(len(ids))[:, None]
        features = np.zeros((len(ids), 2, 3), np.float32)
        index = Index(ids, ((0, 256), (0, 64)), 5, 256, MelSpec().hash, "t")
        found[pair] = SoftTargets(**vars(index), emotion=emotion, rater_sd=emotion, features=features)
    return Teachers(found, "all")


def test_parts_are_by_artist_and_subsets_are_nested() -> None:
    clips = corpus()
    artist = {clip.id: artist_key(clip) for clip in clips}
    parts = parts_of(clips, 5)
    assert sorted(id_ for part in parts for id_ in part.songs) == sorted(clip.id for clip in clips if clip.label)
    groups = [ids for part in parts for ids in (part.validation, part.spare, *part.eighths)]
    artists = [{artist[id_] for id_ in ids} for ids in groups]
    assert all(not a & b for a, b in combinations(artists, 2))
    for part in parts:
        subsets = [set(part.train(share)) for share in SHARES]
        assert all(small < large for small, large in pairwise(subsets))
        # To within an artist of four songs, of some ninety.
        assert [len(subset) / len(subsets[-1]) for subset in subsets] == pytest.approx(list(SHARES), abs=0.05)
        held = len(part.validation) + len(part.spare)
        assert held / len(part.songs) == pytest.approx(0.2, abs=0.03)
    assert parts_of(clips[::-1], 5) == parts
    with pytest.raises(DataError, match=r"part \d of 5 has \d artists, and 10 are needed: choose fewer"):
        parts_of(clips[:80], 5)


@pytest.mark.parametrize("share", SHARES)
def test_nobody_hears_what_it_answers_for_or_is_tested_on(share: float) -> None:
    clips = corpus()
    parts = parts_of(clips, 5)
    known = [clip for clip in clips if clip.label]
    for fold in range(5):
        split = student_split(parts, fold, share)
        refuse_leaks(split, known)
        assert split.test == parts[fold].songs
        for other in range(5):
            if other == fold:
                continue
            teacher = teacher_split(parts, (min(fold, other), max(fold, other)), share)
            refuse_leaks(teacher, known)
            heard = {*teacher.train, *teacher.validation, *teacher.test}
            assert not heard & {*parts[fold].songs, *parts[other].songs}
            assert set(teacher.train) < set(split.train)  # and no rating that its student has not


def test_each_song_is_answered_for_by_the_teacher_that_knows_neither_part() -> None:
    clips = corpus()
    parts, unrated = parts_of(clips, 5), tuple(clip.id for clip in clips if clip.label is None)
    table = fold_table(tables(parts, unrated), parts, 2, 1.0, unrated)
    split = student_split(parts, 2, 1.0)
    assert set(table.ids) == {*split.train, *unrated} and table.teacher == "all"
    for number, pair in ((0, 2), (1, 12), (3, 23), (4, 24)):
        rows = [table.index(id_) for id_ in parts[number].train(1.0)]
        assert (table.emotion[rows, :, 0] == pair).all()
    # Music without ratings has the mean of all four of them.
    rows = [table.index(id_) for id_ in unrated]
    assert (table.emotion[rows, :, 0] == np.mean([2, 12, 23, 24])).all()


def test_the_control_permutes_answers_within_their_kind() -> None:
    clips = corpus()
    parts, unrated = parts_of(clips, 5), tuple(clip.id for clip in clips if clip.label is None)
    table = fold_table(tables(parts, unrated), parts, 0, 1.0, unrated)
    rated = len(table.ids) - len(unrated)
    mixed = shuffled(table, rated, seed=3)
    assert mixed.ids == table.ids
    for rows in (slice(0, rated), slice(rated, None)):
        before, after = table.emotion[rows, 0], mixed.emotion[rows, 0]
        assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
    assert np.array_equal(mixed.emotion, mixed.rater_sd)  # a clip's answers move together
    assert (mixed.emotion[:rated, 0, 1] == table.emotion[:rated, 0, 1]).mean() < 0.05
    assert np.array_equal(shuffled(table, rated, 3).emotion, mixed.emotion)
    assert not np.array_equal(shuffled(table, rated, 4).emotion, mixed.emotion)


def test_arms_learn_from_what_they_say_and_take_equal_steps() -> None:
    clips = corpus()
    parts, unrated = parts_of(clips, 5), tuple(clip.id for clip in clips if clip.label is None)
    unrated_clips = [f"more-{n}" for n in range(1000)]
    config = replace(PRESETS["recordings"], steps=500, epochs=5)
    for share in SHARES:
        split = student_split(parts, 1, share)
        teachers = tables(parts, (*unrated, *unrated_clips), share)
        table = fold_table(teachers, parts, 1, share, unrated_clips)
        data = TrainingData(None, split, table)  # type: ignore[arg-type]  # no sound is asked for
        for cell in (cell for cell in cells(replace(config, few=0.25)) if cell.share == share):
            recipe, learnt = prepared(cell, config, data, unrated_clips, 11)
            loss, ids = recipe.loss, learnt.soft_targets.ids
            shown = 0.5 if cell.arm == "features" else 0
            assert (loss.labels, loss.response, loss.features) == (1, 0 if cell.arm == "labels" else 5, shown)
            assert set(ids) == {*split.train, *(unrated_clips if cell.arm not in ("labels", "clips") else ())}
            if len(set(ids)) > len(split.train):
                share_of_rated = sum(id_ in set(split.train) for id_ in ids) / len(ids)
                assert share_of_rated == pytest.approx(0.5, abs=0.1)
            assert recipe.seed == 11
            per_epoch = len(ids) * recipe.draws // recipe.schedule.batch_size
            assert np.ceil(recipe.schedule.epochs * per_epoch) == 500
            assert 3 <= np.ceil(recipe.schedule.epochs) <= 7
    # By hand: 100 steps of 8 in 4 epochs over 40 clips are five draws of each, 25 steps an epoch.
    by_hand = paced(STUDENTS["smoke"], 40, 100, 4)
    assert by_hand.draws == 5 and by_hand.schedule.epochs == pytest.approx(99.5 / 25)


def test_every_cell_is_trained_once() -> None:
    found = cells(PRESETS["demo"])
    assert len(found) == len(set(found)) == 10
    assert [cell.share for cell in found if cell.arm == "labels"] == list(SHARES)
    # One more where features have one space: those of a ViT, trained anew for each pair of parts, have none.
    assert set(cells(PRESETS["recordings"])) - set(found) == {Cell("features", 1.0)}
    assert Cell("labels", 0.125).name == "labels, 12.5 % of the ratings"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"folds": 2}, "--folds 2 at least 3: teachers leave out two"),
        ({"steps": 0}, "--steps 0"),
        ({"curve": (0.125, 1.0)}, "with --few 0.25 among them"),
        ({"curve": (0.1, 0.25, 1.0)}, "rising eighths"),
        ({"rated_share": 1.0}, "--rated-share 1 must lie between"),
    ],
)
def test_numbers_that_cannot_work_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        replace(PRESETS["demo"], **changes)


def test_a_clip_whose_rating_is_taken_away_is_music_without_ratings(tiny_run: Path) -> None:
    run = RunFolder(tiny_run)
    hidden = run.split.test[:2]
    split = replace(run.split, test=run.split.test[2:])
    fold = make_fold(run, split, tiny_run / "fold", unrated=hidden)
    assert np.isnan(fold.store.labels(hidden)).all() and not np.isnan(run.store.labels(hidden)).any()
    assert (fold.data_record.songs, fold.data_record.unlabelled) == (run.data_record.songs - 2, 2)
    np.testing.assert_array_equal(fold.store.raw, run.store.raw)
    assert not np.isnan(ClipStore.open(tiny_run / "data" / "store").labels(hidden)).any()  # the run's own file
    with pytest.raises(DataError, match="without a rating, yet in test"):
        make_fold(run, run.split, tiny_run / "leak", unrated=hidden)


def add_music(run: Path, count: int) -> None:
    """Take the ratings of a run's last clips away: music that nobody rated."""
    store = ClipStore.open(run / "data" / "store")
    clips = [*store.clips[:-count]]
    clips += [Clip(f"unlabelled-{clip.id}", None, None, None) for clip in store.clips[-count:]]
    finish(run / "data" / "store", clips, MelSpec())


@pytest.mark.slow
def test_the_whole_study_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pages and pictures of six teachers, which nobody looks at, would take longer than all trainings.
    drawn = ((plots, "sizes"), (plots, "teacher_pictures"), (curves, "draw"), (attention_picture, "draw_quadrants"))
    for module, name in (*drawn, (report, "write")):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    run = tiny.make_data(tmp_path / "run", songs=39)
    student = replace(STUDENTS["smoke"], run=run)
    config = replace(PRESETS["smoke"], student=student, curve=(0.25, 1.0), out=tmp_path / "out")
    schedule = replace(config.teacher.training.schedule, epochs=1)
    teacher = replace(config.teacher, training=replace(config.teacher.training, schedule=schedule))
    config = replace(config, teacher=teacher, student=replace(config.student, schedule=replace(schedule, batch_size=2)))
    with pytest.raises(RunError, match="make recordings-more"):
        distillation.run(config)
    add_music(run, 3)

    distillation.run(config, "a command")
    text, stored = (tmp_path / "out.md").read_text(), json.loads((tmp_path / "out.json").read_text())
    assert stored["command"] == "a command"
    rows = stored["groups"]["All ratings"]
    assert [row["name"].split(",")[0] for row in rows] == ["labels", "clips", "unlabelled", "shuffled"]
    facts = [row["facts"] for rows in stored["groups"].values() for row in rows]
    assert {fact["steps"] for fact in facts} == {2}
    assert [row["seeds"] for row in rows] == [3] * 4
    assert len(stored["groups"]["Ratings alone"]) == 2 and "are worth" in text and "36 songs, each tested" in text
    assert {"songs", "low", "high", "beyond"} == set(stored["worth"])
    trainings = [path for path in (run / "ablation" / "distillation").iterdir() if not path.name.startswith("teacher")]
    assert len(trainings) == 3 * 8

    from student import train_once
    from teacher import finetune

    # Nothing may train again.
    monkeypatch.setattr(train_once, "train_student", None)
    monkeypatch.setattr(finetune, "train", None)
    distillation.run(config, "a command")
    assert (tmp_path / "out.md").read_text() == text
