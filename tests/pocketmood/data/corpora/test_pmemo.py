"""PMEmo's folders, tables and oddities, on a miniature; and its data stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketmood.data import stage
from pocketmood.data.corpora import pmemo, pmemo_audit
from pocketmood.data.run_folder import RunFolder
from pocketmood.emotion import Emotion
from pocketmood.errors import DataError
from tests.helpers import pmemo_miniature as mini


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.make(tmp_path_factory.mktemp("pmemo"))


def test_0_to_1_becomes_minus_1_to_1() -> None:
    assert [pmemo.from_unit(rating) for rating in (0.0, 0.25, 0.5, 1.0)] == [-1, -0.5, 0, 1]


def test_ratings_and_deviations_of_every_song(root: Path) -> None:
    songs, _ = pmemo.clips(pmemo.find(root))
    assert [int(clip.id) for clip in songs] == list(mini.GOOD)
    for clip in songs:
        valence, arousal = mini.mean_of(int(clip.id))
        # Twice a decimal of three digits: exact to the last bit but for rounding.
        assert clip.label == pytest.approx((2 * valence - 1, 2 * arousal - 1), rel=0, abs=1e-12)
        assert clip.deviation == (None if int(clip.id) == mini.NO_DEVIATION else Emotion(0.2, 0.4))


def test_what_is_left_out_is_listed_with_its_reason(root: Path) -> None:
    _, rejects = pmemo.clips(pmemo.find(root))
    found = {(reject.id, reject.file): reject.reason for reject in rejects}
    assert len(found) == 5
    static, std = f"annotations/{pmemo.STATIC}", f"annotations/{pmemo.DEVIATIONS}"
    assert found[str(mini.OUT_OF_RANGE), static] == 'Arousal(mean) is "62.5", expected a number from 0 to 1'
    assert found[str(mini.TWICE), static] == "second row for this id; the first is used"
    assert found[str(mini.NO_DEVIATION), std] == 'Valence(std) is "", expected a number from 0 to 0.5'
    assert "no audio file" in found[str(mini.MISSING), f"{mini.MISSING}.mp3"]
    assert found[str(mini.UNRATED), f"chorus/{mini.UNRATED}.mp3"] == "audio without a rating"


def test_tables_that_are_not_there(root: Path, tmp_path: Path) -> None:
    bare = mini.make(tmp_path / "bare", audio=False)
    for name in (pmemo.DEVIATIONS, pmemo.DYNAMIC):
        (bare / "annotations" / name).unlink()
    (bare / pmemo.METADATA).unlink()
    (bare / "chorus").mkdir()
    (bare / "chorus" / "1.mp3").write_bytes(b"")
    songs, rejects = pmemo.clips(pmemo.find(bare))
    assert [(clip.id, clip.deviation, clip.artist) for clip in songs] == [("1", None, None)]
    reasons = {reject.file: reject.reason for reject in rejects if not reject.id}
    assert "without deviations" in reasons[pmemo.DEVIATIONS]
    assert "different artists" in reasons[pmemo.METADATA]
    assert f"could not run: {pmemo.DYNAMIC} not found" in pmemo.audit(pmemo.find(bare))[0]
    (bare / "annotations" / pmemo.STATIC).unlink()
    with pytest.raises(DataError, match=f"no {pmemo.STATIC} in or below it"):
        pmemo.clips(pmemo.find(bare))


def test_the_audit_tells_named_from_swapped_and_sees_another_scale(root: Path) -> None:
    files = pmemo.find(root)
    sentence, lines = pmemo.audit(files)
    assert "valence and arousal look as named" in sentence
    assert "DIFFERENT SCALES" not in sentence
    assert lines.count("mean of whole choruses less mean over time") == 2
    static = pmemo.means(files, [])
    exchanged = {id_: Emotion(*mean[::-1]) for id_, mean in static.items()}
    assert "look swapped" in pmemo_audit.compare(static, exchanged)[0]
    halved = {id_: Emotion(mean.valence / 2, mean.arousal / 2) for id_, mean in static.items()}
    assert "DIFFERENT SCALES" in pmemo_audit.compare(static, halved)[0]
    few = dict(list(static.items())[:5])
    assert "5 songs are rated both ways, too few" in pmemo_audit.compare(few, few)[0]


def test_the_mean_over_time_skips_gaps(root: Path) -> None:
    files = pmemo.find(root)
    with files.tables[pmemo.DYNAMIC].open() as file:
        dynamic = pmemo.read_dynamic(file)
    # Six steps of a deviation of .02: the mean of song 13, which lacks its first, lies as near as the others'.
    for id_ in ("13", "14"):
        assert dynamic[id_] == pytest.approx(mini.mean_of(int(id_)), rel=0, abs=0.04)


def test_the_data_stage_keeps_ratings_and_artists(root: Path, tmp_path: Path) -> None:
    config = stage.DataConfig(tmp_path / "run", corpus="pmemo", music=(root,), workers=1)
    assert stage.run(config) == 0
    run = RunFolder(tmp_path / "run")
    assert (run.data_record.label_kind, run.data_record.songs) == ("ratings", len(mini.GOOD))
    assert run.data_record.split.by == "artist"
    deviations = dict(zip(run.store.ids, run.store.deviations(run.store.ids), strict=True))
    assert [int(id_) for id_, pair in deviations.items() if np.isnan(pair).any()] == [mini.NO_DEVIATION]
