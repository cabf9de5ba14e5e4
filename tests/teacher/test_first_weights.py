"""The teacher's stage and its first weights: what they are decides which steps are done again, not where they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pocketmood.runs import read_json
from pocketmood.training.schedule import Schedule
from student import mobilevit
from student.config import PRESETS as STUDENT_PRESETS
from student.stage import _described
from teacher.config import FineTuneConfig, TeacherConfig, VitConfig
from teacher.presets import PRESETS
from teacher.stage import run
from tests.helpers import fake_hub
from tests.helpers.tiny_weights import write_weights

NAME = "someone/tiny-vit"
NOWHERE = "http://127.0.0.1:9"  # the port of "discard", where nobody listens
TRAINED = FineTuneConfig(schedule=Schedule(epochs=1, batch_size=8), crop_frames=1292, mask_bands=0, mask_frames=0)


def config(run_folder: Path) -> TeacherConfig:
    """Return a teacher on a tiny pretrained ViT, with a GAN and without the baseline."""
    vit = VitConfig(size="base", stride=1, frames=1292, hidden=8, hub=NAME)
    return replace(PRESETS["smoke"], run=run_folder, vit=vit, training=TRAINED, baseline=False)


def steps(run_folder: Path) -> dict[str, float]:
    """Return when each step of the finished teacher was made."""
    return {file.parent.name: file.stat().st_mtime for file in (run_folder / "teacher").glob("*/stage.json")}


@pytest.mark.slow
def test_with_the_network_back_only_the_network_trains_again(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from teacher import pretrained

    write_weights(tmp_path / "hub" / NAME, "base")
    tiny = write_weights(tmp_path / "numbers", "base", seed=2)
    bare = pretrained.bare_backbone
    # A random ViT-B has 86 million numbers; the hub's network here has a few thousand.
    monkeypatch.setattr(pretrained, "bare_backbone", lambda size, _=None: bare(size, read_json(tiny / "config.json")))
    fake_hub.point_to(monkeypatch, NOWHERE, tmp_path / "cache")
    with pytest.warns(UserWarning, match="RANDOM WEIGHTS"):
        run(config(tiny_run))
    stage_file = tiny_run / "teacher" / "stage.json"
    first, record = steps(tiny_run), read_json(stage_file)["record"]
    # So small a GAN is refused as well, with a warning of its own that stays.
    assert record["weights"] == "random" and "teacher: ViT-B/16 started from RANDOM weights" in record["warnings"]
    assert read_json(stage_file)["inputs"]["weights of vit"] == "random"

    with fake_hub.serve(tmp_path / "hub") as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        run(config(tiny_run))
    second, record = steps(tiny_run), read_json(stage_file)["record"]
    assert record["weights"].startswith(f"hub {NAME} at ") and not any(
        "RANDOM" in sentence for sentence in record["warnings"]
    )
    assert {name for name in first if first[name] != second[name]} == {"vit", "company", "soft_targets"}

    # From the cache without network, and then without cache as well: the weights are the ones it was made from.
    for cache in ("cache", "empty"):
        fake_hub.point_to(monkeypatch, NOWHERE, tmp_path / cache)
        capsys.readouterr()
        run(config(tiny_run))
        assert capsys.readouterr().out == "teacher: up to date\n"
    folder = replace(config(tiny_run).vit, hub=None, weights=tmp_path / "hub" / NAME)
    run(replace(config(tiny_run), vit=folder))
    assert capsys.readouterr().out == "teacher: up to date\n" and steps(tiny_run) == second


def test_a_student_is_known_by_what_its_weights_are(tmp_path: Path) -> None:
    full = replace(STUDENT_PRESETS["full"], run=tmp_path)
    prints = {
        _described(replace(full, weights=asked), {"weights of mobilevit_s": identity}).fingerprint
        for asked, identity in (("imagenet", "ab"), (str(tmp_path / "x.safetensors"), "ab"))
    }
    assert len(prints) == 1
    changed = _described(full, {"weights of mobilevit_s": "random"}).fingerprint
    assert changed not in prints
    chosen = replace(full, weights="random")
    assert _described(chosen, {}).fingerprint != changed  # a wish, which warns of nothing
    asked = mobilevit.published("mobilevit_s", "imagenet")
    assert asked is not None and asked.repository.startswith("timm/mobilevit_s.")
