"""A bundle on another corpus: what is refused, what is said, and the tables of a whole study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import transfer
from pocketmood.bundle import Bundle
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, DataError
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec


def bundle_of(run: Path, corpus: str) -> Path:
    """Write as much of a bundle as is read before a program is opened."""
    write_json(run / "bundle" / "bundle.json", {"labels": {"corpus": corpus, "set": "tones"}})
    return run / "bundle"


def test_songs_of_the_bundles_own_run_are_refused(tiny_run: Path, tiny_data: Path) -> None:
    bundle, other = bundle_of(tiny_run, "another corpus"), RunFolder(tiny_data)
    with pytest.raises(DataError, match=r"song 2 is song 2 of the run itself"):
        transfer.met_before(bundle, other, other.store.ids)


def test_a_corpus_of_the_same_name_is_refused_where_songs_cannot_be_compared(tmp_path: Path, tiny_data: Path) -> None:
    other = RunFolder(tiny_data)
    ours = other.data_record.corpus
    with pytest.raises(DataError, match="its clips do not lie beside it to compare songs with"):
        transfer.met_before(bundle_of(tmp_path, f"4Q + {ours}"), other, other.store.ids)
    (note,) = transfer.met_before(bundle_of(tmp_path, "4Q"), other, other.store.ids)
    assert note.startswith("The bundle was trained on 4Q; songs were not compared")


def test_other_songs_of_the_same_corpus_are_said_loudly(
    tiny_run: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RunFolder(tiny_data)
    (note,) = transfer.met_before(bundle_of(tiny_run, other.data_record.corpus), other, [])
    assert "BUT IT WAS TRAINED ON OTHER SONGS OF tests.helpers.tiny" in note


def test_what_makes_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--corpus 4q --music /path/to/4q, or --run RUN"):
        transfer.TransferConfig(tmp_path)
    with pytest.raises(ConfigError, match="go together"):
        transfer.TransferConfig(tmp_path, corpus="4q")


def test_a_whole_study(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that gives the labels themselves, in half their range and too excited by a quarter."""
    other, spec = RunFolder(tiny_data), MelSpec()
    labels = other.store.labels(other.store.ids).astype(float)
    bundle = bundle_of(tmp_path / "run", "4Q")
    opened = Bundle(bundle, spec, spec.samples, {})
    monkeypatch.setattr(Bundle, "open", lambda folder: opened)
    monkeypatch.setattr(transfer, "predictions", lambda *_: labels / 2 + [0, 0.25])
    out = tmp_path / "found"
    assert transfer.main(["--bundle", str(bundle), "--run", str(tiny_data), "--out", str(out)]) == 0

    found = read_json(out.with_suffix(".json"))
    assert list(found["rows"]) == ["model.fp32.onnx", "spectral centroid", "level", "onsets per second"]
    arousal = found["rows"]["model.fp32.onnx"]["arousal"]
    # A mean of .25 more at half the distance from 0; float32 labels are good for 1e-6.
    assert arousal["bias"]["value"] == pytest.approx(0.25 - labels[:, 1].mean() / 2, rel=0, abs=1e-6)
    assert arousal["range_ratio"]["value"] == pytest.approx(0.5, rel=0, abs=1e-6)
    assert arousal["rank_correlation"]["value"] == pytest.approx(1, rel=0, abs=1e-9)
    # These sounds are louder the more excited they are: the maker's own formula, with silence between pulses.
    assert found["rows"]["level"]["arousal"]["auc"]["value"] > 0.9
    assert np.isfinite(found["rows"]["spectral centroid"]["valence"]["rank_correlation"]["value"])
    text = out.with_suffix(".md").read_text()
    assert (
        text.startswith("# A bundle on tests.helpers.tiny, which it was not trained on")
        and "CCC (of signs)" not in text
    )
