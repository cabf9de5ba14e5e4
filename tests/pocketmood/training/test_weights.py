"""First weights: three tiers, one identity by whichever way they came, and a hub that is asked only briefly."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketmood.errors import RunError
from pocketmood.training import weights
from pocketmood.training.weights import FOLDER_FILES, FirstWeights, Published
from tests.helpers import fake_hub

NAME = "someone/some-vit"
EMPTY = (2).to_bytes(8, "little") + b"{}"  # a safetensors file without tensors
NOWHERE = "http://127.0.0.1:9"  # the port of "discard", where nobody listens


def published(path: Path | None = None, repository: str = NAME) -> Published:
    return Published("ViT-B/16", repository, path, FOLDER_FILES, "--vit.weights")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Return the folder of a hub with one repository."""
    folder = tmp_path / "hub" / NAME
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(EMPTY)
    return tmp_path / "hub"


def test_hub_then_cache_then_folder_are_the_same_weights(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, asked = hashlib.sha256(EMPTY).hexdigest(), list[str]()
    with fake_hub.serve(hub, asked) as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        at_hub = weights.resolve(published())
        # Metadata alone, 346 MB can wait; the client asks the hub for things of its own beside it.
        assert [line for line in asked if NAME in line] == [f"HEAD /{NAME}/resolve/main/model.safetensors"]
        assert (at_hub.tier, at_hub.digest, at_hub.size, at_hub.place) == ("hub", digest, 10, "")
        fetched = weights.fetch(published(), at_hub)
        assert Path(fetched.place).read_bytes() == EMPTY
        assert (Path(fetched.place).parent / "config.json").is_file()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        asked.clear()
        cached = weights.resolve(published())
        assert asked == [] and cached.tier == "cache" and cached.place == fetched.place
    folder = weights.resolve(published(hub / NAME))
    assert folder.tier == "folder" and folder.source == "some-vit"
    assert at_hub.identity == fetched.identity == cached.identity == folder.identity == digest
    assert str(fetched) == f"hub {NAME} at 0123456, SHA-256 {digest[:12]}"
    assert str(folder) == f"folder some-vit, SHA-256 {digest[:12]}"
    assert weights.fetch(published(), cached) is cached


def test_without_any_the_reason_is_said_and_the_identity_is_random(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_hub.point_to(monkeypatch, NOWHERE, tmp_path / "cache")
    silent = weights.resolve(published())
    assert (silent.tier, silent.identity, str(silent)) == ("none", "random", "random") and silent.reason
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in weights.resolve(published()).reason
    assert weights.resolve(published(repository="")).reason == "no folder and no hub name were given"
    with fake_hub.serve(hub) as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        assert weights.resolve(published(repository="someone/else")).tier == "none"


def test_a_hub_that_goes_away_or_changes_between_question_and_download(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_hub.serve(hub) as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        found = weights.resolve(published())
        (hub / NAME / "model.safetensors").write_bytes(b"other")
        with pytest.raises(RunError, match=f"{NAME}: the hub has just replaced these weights"):
            weights.fetch(published(), found)


def test_a_download_that_fails_leaves_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> str:
        raise OSError("connection reset\nand more")

    # In the client's place: it tries for half a minute, which is right where the hub has just answered.
    monkeypatch.setattr("huggingface_hub.hf_hub_download", broken)
    gone = weights.fetch(published(), FirstWeights("hub", NAME, "0123456", "ab", 7))
    assert gone == FirstWeights("none", NAME, reason="connection reset")


def test_a_folder_that_is_named_must_hold_the_files(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere: no config\.json, so no weights of ViT-B/16; --vit\.weights takes"):
        weights.resolve(published(tmp_path / "nowhere"))
    file = tmp_path / "other-name.safetensors"
    file.write_bytes(EMPTY)
    assert weights.resolve(Published("mobilevit_s", "", file)).place == str(file)
    with pytest.raises(RunError, match=r"absent\.safetensors: no absent\.safetensors, so no weights of mobilevit_s"):
        weights.resolve(Published("mobilevit_s", "", tmp_path / "absent.safetensors"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("config.json", b"[]"),
        ("config.json", b"{"),
        ("config.json", b"\xff\xfe"),
        ("model.safetensors", b""),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 346000000\n"),
        ("model.safetensors", b"\x40" + EMPTY[1:]),  # its head was to have 64 bytes
    ],
)
def test_damaged_files_are_refused_before_anything_trains(hub: Path, name: str, data: bytes) -> None:
    (hub / NAME / name).write_bytes(data)
    with pytest.raises(RunError, match=rf"{name}: damaged, no network can be read from it \(.+\); it has {len(data)} "):
        weights.resolve(published(hub / NAME))


def test_what_a_hub_sends_and_a_cache_holds_must_be_weights(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub / NAME / "model.safetensors").write_bytes(b"<html>log in first</html>")
    with fake_hub.serve(hub) as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        with pytest.raises(RunError, match=r"model\.safetensors: damaged, no network can be read from it"):
            weights.fetch(published(), weights.resolve(published()))
        with pytest.raises(RunError, match=r"model\.safetensors: damaged, no network can be read from it") as caught:
            weights.resolve(published())
        # Once what it names is deleted, the same command fetches it again.
        (hub / NAME / "model.safetensors").write_bytes(EMPTY)
        named = re.search(r"; delete (\S+) and get it again", str(caught.value))
        assert named is not None
        Path(named.group(1)).unlink()
        assert Path(weights.fetch(published(), weights.resolve(published())).place).read_bytes() == EMPTY


def test_a_finished_stage_is_not_thrown_away_for_random_weights(tmp_path: Path) -> None:
    none, some = FirstWeights("none", reason="no network"), FirstWeights("folder", "x", digest="ab")
    assert weights.identities({"vit": none}) == {"weights of vit": "random"}
    finished = {"name": "teacher", "fingerprint": "f", "config": {}, "inputs": {"weights of vit": "cd"}, "record": {}}
    finished |= {"versions": {}, "wall_s": 1.0, "peak_rss_bytes": None, "continued_after_a_stop": False}
    (tmp_path / "stage.json").write_text(json.dumps(finished))
    assert weights.identities({"vit": none}, tmp_path) == {"weights of vit": "cd"}
    assert weights.identities({"vit": some}, tmp_path) == {"weights of vit": "ab"}  # found: they decide
    assert weights.identities({"ast": none}, tmp_path) == {"weights of ast": "random"}


def test_in_one_process_all_are_resolved_and_fetched_by_name(hub: Path) -> None:
    wanted = {"vit": published(hub / NAME), "ast": published(repository="")}
    found = weights.resolve_once(wanted)
    assert {name: first.tier for name, first in found.items()} == {"vit": "folder", "ast": "none"}
    assert weights.fetch_once(wanted, found) == found


def test_another_networks_weights_are_refused_where_they_are_resolved(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import save_file

    folder = hub / NAME
    asked = replace(published(folder), model_type="vit", tensors=(".cls_token", ".weight"))
    for text, kind in (
        ('{"model_type": "audio-spectrogram-transformer"}', "audio-spectrogram-transformer"),
        ('{"architecture": "mobilevit_s"}', "mobilevit_s"),
        ("{}", "network without a model_type"),
    ):
        (folder / "config.json").write_text(text)
        match = rf"some-vit: holds a '{kind}', and ViT-B/16 is a 'vit'; give another folder by --vit\.weights"
        with pytest.raises(RunError, match=match):
            weights.resolve(asked)
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(RunError, match=r"model\.safetensors: no tensor '\.cls_token' among its 0, so no ViT-B/16"):
        weights.resolve(asked)
    with fake_hub.serve(hub) as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        at_hub = replace(asked, path=None)
        # Of a hub the metadata alone are known, until it is fetched: still before any training.
        found = weights.resolve(at_hub)
        with pytest.raises(RunError, match="so no ViT-B/16"):
            weights.fetch(at_hub, found)
    names = ("vit.embeddings.cls_token", "vit.layer.0.weight")
    save_file({name: np.zeros(1, np.float32) for name in names}, folder / "model.safetensors")
    assert weights.resolve(asked).tier == "folder"
