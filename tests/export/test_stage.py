"""The whole export stage on a tiny student: what it leaves, what it refuses, and how it goes on after a fault."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export import card, corpora, stage
from export.__main__ import main
from export.config import PRESETS, ExportConfig
from export.coreml import to_coreml
from export.golden import golden_pairs
from export.onnx import to_onnx
from export.parity_record import read_records
from pocketmood.bundle import Bundle
from pocketmood.data.clips import ClipStore
from pocketmood.data.record import CorpusRecord
from pocketmood.data.run_folder import RunFolder
from pocketmood.data.split import Split
from pocketmood.errors import ConfigError, RunError
from pocketmood.runs import file_hash, read_json
from pocketmood.spec import MelSpec
from student.mobilevit import Student, save_student
from tests.helpers import export_fixtures as tiny


def test_the_words_of_a_command_line_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[ExportConfig] = []
    monkeypatch.setattr(stage, "run", seen.append)
    main(["--preset", "smoke", "--run", str(tmp_path)])
    assert seen == [replace(PRESETS["smoke"], run=tmp_path)]


@pytest.mark.slow
def test_leaves_a_proven_bundle(exported_run: Path) -> None:
    folder = exported_run / "bundle"
    about, records = read_json(folder / "bundle.json"), read_json(folder / "parity.json")
    names = [artefact.file for artefact in ExportConfig().artefacts]
    packages = [record for record in records if record["artefact"].endswith(".mlpackage")]
    assert [record["artefact"] for record in records] == names
    assert {record["verdict"] for record in records} == {"passed"}
    assert all(record["clips"] == 4 and (folder / record["artefact"]).exists() for record in records)
    assert len(names) == len(set(names)) and len(packages) == 5
    assert all("Apple" in record["reason"] for record in packages)
    assert all(record["tolerance"] >= 1e-3 and record["ccc_songs"] >= 4 for record in records)
    compressed = {record["artefact"]: record["compressed_weights"] for record in packages}
    assert compressed["model.int8.mlpackage"] == compressed["model.palette6.mlpackage"] == 3968
    assert compressed["model.fp32.mlpackage"] == compressed["model.fp16.mlpackage"] == 0
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert held - set(about["files"]) == {"bundle.json", "stage.json"}
    assert all(file_hash(folder / name) == hash_ for name, hash_ in about["files"].items())
    assert about["labels"]["synthetic"] and about["input"]["shape"] == [1, 661500] and about["schema"] == 2
    text = (folder / "MODEL_CARD.md").read_text()
    assert "> - data: synthetic labels on rendered music" in text and all(f"`{name}`" in text for name in names)
    # One list: data's warning and the student's, in every place that shows figures.
    run = RunFolder(exported_run)
    assert about["warnings"] == list(run.warnings()) == run.record("bundle")["warnings"]
    assert [sentence.split(":")[0] for sentence in about["warnings"]] == ["data"]
    assert Bundle.open(folder).warnings == run.warnings() and about["left_out"] == {}
    mel = np.fromfile(folder / "golden" / "mel.f32", "<f4")
    assert mel.size == 128 * 256 and np.abs(mel).max() <= 1


@pytest.mark.slow
def test_second_time_it_is_up_to_date(exported_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.export(exported_run) == 0
    assert capsys.readouterr().out == "bundle: up to date\n"


def broken(*_: Any, **__: Any) -> Any:
    """Fail as an exporter does."""
    raise ValueError("no such operator\nand more")


ONLY: dict[str, Any] = {"to": ("onnx", "coreml"), "precision": ("fp32",)}
REASON = "ValueError: no such operator"


@pytest.mark.slow
def test_a_failing_format_is_left_out_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny.make_run(tmp_path / "run")
    folder = RunFolder(run)
    with monkeypatch.context() as patch:
        patch.setattr(to_coreml, "write", broken)
        assert tiny.export(run, **ONLY) == stage.EXIT_LEFT_OUT == 3
        # Nothing that reads the bundle meets a trace of the program but the sentence that it is not there.
        bundle = run / "bundle"
        assert not list(bundle.glob("*.mlpackage")) and not (run / "bundle.part").exists()
        assert {record.artefact: record.verdict for record in read_records(bundle)} == {"model.fp32.onnx": "passed"}
        about = read_json(bundle / "bundle.json")
        assert about["left_out"] == {"model.fp32.mlpackage": REASON} and "model.fp32.onnx" in about["files"]
        card_text, warning = (
            (bundle / "MODEL_CARD.md").read_text(),
            f"bundle: model.fp32.mlpackage was left out: {REASON}",
        )
        assert f"`model.fp32.mlpackage` was left out: {REASON}." in card_text and f"> - {warning}" in card_text
        assert about["warnings"][-1] == warning == folder.warnings()[-1]
        assert [record["reason"] for record in folder.record("bundle")["left_out"]] == [REASON]
        assert f"model.fp32.mlpackage: {REASON}" in capsys.readouterr().err
        Bundle.open(bundle).verify()

        # Still broken: the same bundle again, in which only the format that failed was tried.
        lacking = folder.fingerprint("bundle")
        assert tiny.export(run, **ONLY) == stage.EXIT_LEFT_OUT
        assert "onnx.fp32: done before" in capsys.readouterr().out and folder.fingerprint("bundle") == lacking

    # Mended: the whole bundle, another one for who reads it, without writing again what was there.
    monkeypatch.setattr(to_onnx, "write", broken)
    assert tiny.export(run, **ONLY) == 0
    assert "onnx.fp32: done before" in capsys.readouterr().out
    assert read_json(run / "bundle" / "bundle.json")["left_out"] == {} and folder.fingerprint("bundle") != lacking
    assert not folder.export_steps.exists() and tiny.export(run, **ONLY) == 0
    assert capsys.readouterr().out == "bundle: up to date\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_", "changes"),
    [
        (to_coreml, {"strict": True}),
        (to_coreml, {"required": ("model.fp32.mlpackage",)}),
        (to_coreml, {"to": ("coreml",)}),  # nothing is left
        (to_onnx, {}),
    ],
)
def test_without_a_required_program_there_is_no_bundle(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    format_: Any,
    changes: dict[str, Any],
) -> None:
    monkeypatch.setattr(format_, "write", broken)
    run = tiny.make_run(tmp_path / "run")
    assert tiny.export(run, **ONLY | changes) == 1
    name = "model.fp32.onnx" if format_ is to_onnx else "model.fp32.mlpackage"
    assert f"{name} (required): {REASON}" in capsys.readouterr().err or changes == {"to": ("coreml",)}
    assert not (run / "bundle").exists()
    records = {record.artefact: record.verdict for record in read_records(run / "bundle.part")}
    assert records.pop(name) == "failed" and set(records.values()) <= {"passed"}


@pytest.mark.slow
def test_a_program_that_predicts_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = to_onnx.read

    def swapped(path: Path, threads: int = 0) -> Any:
        run = read(path, threads)
        return lambda wave: tuple(part[:, ::-1] for part in run(wave))

    monkeypatch.setattr(to_onnx, "read", swapped)
    run = tiny.make_run(tmp_path / "run")
    assert tiny.export(run, to=("onnx",), precision=("fp32",)) == 1
    # The next try writes it anew, since what was wrong may have been mended.
    assert not (RunFolder(run).export_steps / "onnx.fp32" / "stage.json").exists()
    printed = capsys.readouterr().err
    assert "is beyond the limit of 1e-04" in printed
    # The file itself is right, and what is wrong is the reader: the line below the gate's says so.
    assert (
        "model.fp32.onnx (required): largest error" in printed and "; nowhere diverges by more than rounding" in printed
    )
    assert not (run / "bundle").exists()


@pytest.mark.slow
def test_a_checkpoint_of_another_window_and_stride_exports_as_it_is(tmp_path: Path) -> None:
    run, folder = tiny.make_run(tmp_path / "run"), tmp_path / "ten seconds"
    torch.manual_seed(0)
    folder.mkdir()
    save_student(Student("mobilevit_xxs", 3, 128, MelSpec(seconds=10.0), layers=1), folder)
    config = ExportConfig(run, folder / "model.safetensors", ("onnx",), ("fp32",), golden=2, held_out=1, processes=0)
    assert stage.run(replace(config, ccc_drop_limit=None)) == 0
    waves, predictions = golden_pairs(run / "bundle")
    whole = ClipStore.open(run / "data" / "store")
    names = read_json(run / "bundle" / "bundle.json")["golden"]["ids"]
    np.testing.assert_array_equal(waves, whole.waveforms(names)[:, 220_500:441_000])  # 10 to 20 of 30 s
    emotion, _ = Bundle.open(run / "bundle").predictor()(waves[0])
    np.testing.assert_allclose(emotion, predictions[0, :2], rtol=0, atol=1e-4)


def test_missing_stages_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="make data"):
        stage.run(ExportConfig(run=tmp_path))
    with pytest.raises(RunError, match=r"no model.safetensors and no config.json"):
        stage.student_fingerprint(ExportConfig(run=tmp_path, checkpoint=tmp_path / "model.safetensors"))


def test_clips_lie_evenly_and_do_not_overlap() -> None:
    test, validation = tuple(f"t{i}" for i in range(20)), tuple(f"v{i}" for i in range(20))
    split = Split(tuple(f"r{i}" for i in range(100)), validation, test, 0, "song")
    clips = stage.choose(ExportConfig(golden=5, held_out=30, calibration=10), split)
    assert (len(clips.golden), len(clips.held_out), len(clips.calibration)) == (5, 30, 10)
    assert not set(clips.golden) & set(clips.held_out)
    assert set(clips.golden) <= set(test) and set(clips.calibration) <= set(split.train)
    assert set(clips.predicted) >= set(test) and len(set(clips.predicted)) == len(clips.predicted)


def test_config_refuses_what_proves_or_writes_nothing() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        ExportConfig(golden=0)
    with pytest.raises(ConfigError, match=r"nothing to write: onnx in palette6"):
        ExportConfig(to=("onnx",), precision=("palette6",))
    with pytest.raises(ConfigError, match=r"--required model.int8.pte: not among what is written: model.fp32.onnx$"):
        ExportConfig(to=("onnx",), precision=("fp32",), required=("model.int8.pte",))
    with pytest.raises(ConfigError, match="no time"):
        ExportConfig(step_limit_s=0)
    assert set(PRESETS) == {"full", "streamlined", "demo", "recordings", "smoke"}
    assert PRESETS["smoke"].ccc_drop_limit is None


@pytest.mark.slow
def test_card_of_real_ratings_has_no_warning(exported_run: Path) -> None:
    bundle = exported_run / "bundle"
    about = read_json(bundle / "bundle.json")
    about["labels"] = {"set": "DEAM", "fix": "none", "synthetic": False, "corpus": "DEAM"}
    deam = CorpusRecord("deam", "DEAM", 4, "means", scale="1..9", citation="A. Author (2018).", licence="research")
    about |= {"warnings": [], "corpora": [asdict(deam) | {"deviations": 3}]}
    text = card.card(about, read_records(bundle))
    line = "means; ratings by people; 3 with deviations of their raters; scale 1..9. Terms: research. Cite: A. Author"
    assert f"- **DEAM**: 4 songs; {line} (2018)." in text
    assert "synthetic" not in text and "Read this first" not in text and "ratings by people" in text
    inside = about["metrics"]["inside_68_mean"]
    assert 0 <= inside <= about["metrics"]["inside_95_mean"] <= 1
    assert f" | {inside:.3f} |" in next(line for line in text.splitlines() if "songs within 1 interval68" in line)


@pytest.mark.slow
def test_card_of_tags_tells_signs_and_no_errors(exported_run: Path) -> None:
    bundle = exported_run / "bundle"
    about = read_json(bundle / "bundle.json")
    emotion = np.tile([[0.3, 0.2, 0.1, 0.1], [-0.2, 0.1, 0.1, 0.1]], (4, 1))
    labels = np.tile([[0.5, 0.5], [-0.5, -0.5]], (4, 1))
    about["metrics"] = stage.quality(emotion, labels, [str(row) for row in range(8)], "quadrants")
    about["labels"] = {"set": "4Q", "fix": "none", "synthetic": False, "corpus": "4Q", "kind": "quadrants"}
    about["corpora"] = [asdict(CorpusRecord("4q", "4Q", 4, "4Q", "quadrants")) | {"deviations": 0}]
    text = card.card(about, read_records(bundle))
    assert "| AUC of the sign | 1.000 (1.000 to 1.000) | 1.000" in text
    assert "| share in the right quadrant | | | 0.500 (" in text
    assert "CCC of signs" in text and "RMSE" not in text and "expert tags, not ratings" in text
    assert "ratings by people" not in text and "of a song's target (+-.5)" in text
    assert "Widths: no deviations of single listeners are known" not in text
    assert "Widths: no deviations" in card.card(about | {"deviations_known": False}, read_records(bundle))


def test_units_are_those_of_the_corpora_and_tags_have_none() -> None:
    deam, pmemo = (
        CorpusRecord(name, name, 2, "", scale=scale) for name, scale in (("DEAM", "1..9"), ("PMEmo", "0..1"))
    )
    tags = CorpusRecord("4q", "4Q", 2, "", label_kind="quadrants", scale="Q1..Q4")
    assert corpora.units([deam]) == "1 unit = 4 points of the 1-9 rating scale"
    assert corpora.units([deam, pmemo]) == (
        "1 unit = 4 points of the 1-9 rating scale (DEAM), 0.5 points of the 0-1 rating scale (PMEmo)"
    )
    assert corpora.units([tags]).startswith("only the sign was told (expert tags, not ratings)")
    assert corpora.units([tags, pmemo]).startswith("1 unit = 0.5 points of the 0-1 rating scale; of 4Q only the sign")
