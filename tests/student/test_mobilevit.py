"""The student network: shapes, ranges, sizes refused, three tiers of weights, what is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from pocketmood.data.saved_student import Labelling, Origin
from pocketmood.emotion import RATER_SD_FLOOR
from pocketmood.errors import PocketmoodError, RunError
from pocketmood.runs import read_json, write_json
from pocketmood.spec import MelSpec
from pocketmood.training.checkpoints import load_tensors, save_tensors
from pocketmood.training.weights import FirstWeights, find
from student import mobilevit
from student.config import StudentConfig, require_size
from student.mobilevit import Student, load_imagenet, load_student, save_student
from tests.helpers import fake_hub


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    return Student("mobilevit_xxs", frames=64).eval()


def mel(batch: int = 2, frames: int = 64) -> torch.Tensor:
    return torch.rand(batch, 1, 128, frames, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_shapes_and_ranges(student: Student) -> None:
    with torch.no_grad():
        for frames in (64, 128):
            emotion, interval68, features = student(mel(frames=frames))
            assert emotion.shape == interval68.shape == (2, 2) and features.shape == (2, student.width)
            assert float(emotion.abs().max()) < 1 and float(interval68.min()) > RATER_SD_FLOOR
            # untrained: near the middle, and as unsure as one listener
            assert float(emotion.abs().max()) < 0.5 and 0.2 < float(interval68.mean()) < 0.8


def test_second_generation_has_the_same_face() -> None:
    student = Student("mobilevitv2_050", frames=64).eval()
    with torch.no_grad():
        emotion, _, features = student(mel(1))
    assert emotion.shape == (1, 2) and features.shape == (1, student.width)


@pytest.mark.parametrize("name", ["mobilevit_xxs", "mobilevitv2_050"])
def test_fewer_layers_per_block_when_asked(name: str, tmp_path: Path) -> None:
    whole, cut = Student(name, frames=64), Student(name, frames=64, layers=1)

    def layers(student: Student) -> set[str]:
        return {key.split(".norm1")[0] for key in student.state_dict() if ".transformer." in key and ".norm1" in key}

    assert (len(layers(whole)), len(layers(cut))) == (2 + 4 + 3, 3)
    assert cut.state_dict().keys() < whole.state_dict().keys()
    save_student(cut, tmp_path)
    assert load_student(tmp_path)[0].layers == 1


@pytest.mark.parametrize("size", [0, 32, 100, 258])
def test_sizes_that_would_be_resized_are_refused(size: int) -> None:
    with pytest.raises(PocketmoodError, match=f"frames {size} must be a multiple of 64: MobileViT"):
        require_size(size, "frames")
    with pytest.raises(PocketmoodError, match="crop_frames"):
        StudentConfig(crop_frames=size)
    with pytest.raises(PocketmoodError, match="multiple of 64"):
        Student("mobilevit_xxs", frames=size)


def test_allowed_sizes_are_not_resized(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    def resized(*args: object, **kwargs: object) -> None:
        raise AssertionError("resized")

    monkeypatch.setattr("timm.models.mobilevit.F.interpolate", resized)
    with torch.no_grad():
        student(mel(1, 64))
        with pytest.raises(AssertionError, match="resized"):
            student(mel(1, 96))


def test_attention_is_not_fused(student: Student) -> None:
    fused = [module.fused_attn for module in student.modules() if hasattr(module, "fused_attn")]
    assert fused and not any(fused)


def test_saved_and_loaded_is_the_same_student(student: Student, tmp_path: Path) -> None:
    save_student(student, tmp_path, Origin(labels=Labelling("x", "none", False, "ratings")))
    back, saved = load_student(tmp_path)
    assert (saved.name, saved.stride, saved.frames, saved.spec) == (back.name, back.stride, back.frames, back.spec)
    assert saved.labels == Labelling("x", "none", False, "ratings") and saved.weights is None
    assert {"name", "stride", "frames", "spec", "labels"} <= read_json(tmp_path / "config.json").keys()
    assert (back.name, back.stride, back.frames, back.spec) == ("mobilevit_xxs", 5, 64, MelSpec())
    assert not back.training
    with torch.no_grad():
        for ours, theirs in zip(student(mel()), back(mel()), strict=True):
            assert torch.equal(ours, theirs)


def test_a_config_with_other_keys_is_refused(student: Student, tmp_path: Path) -> None:
    save_student(student, tmp_path)
    values = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", values | {"mood": "glad"})
    with pytest.raises(RunError, match=r"config.json needs exactly .*'mood'.*python -m student --run"):
        load_student(tmp_path)
    del values["stride"]
    write_json(tmp_path / "config.json", values)
    with pytest.raises(RunError, match=r"config.json needs exactly .*'stride'"):
        load_student(tmp_path)


def test_damaged_weights_are_one_line_with_the_command(student: Student, tmp_path: Path) -> None:
    save_student(student, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(RunError, match=r"model.safetensors: damaged.*and run: python -m student --run"):
        load_student(tmp_path)


def test_missing_student_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"python -m student --run {tmp_path.parent}"):
        load_student(tmp_path)


def published(path: Path) -> dict[str, torch.Tensor]:
    """Write weights as the hub has them: three channels, and a classifier."""
    torch.manual_seed(5)
    weights = timm.create_model("mobilevit_xxs", pretrained=False, in_chans=3, num_classes=10).state_dict()
    save_tensors(path, weights)
    return weights


def adopt(student: Student, weights: str | Path) -> str | None:
    """Find the weights that a flag names, and load them."""
    wanted = mobilevit.published(student.name, str(weights))
    assert wanted is not None
    return load_imagenet(student, find(wanted))


def test_weights_from_a_file_or_folder(tmp_path: Path) -> None:
    weights = published(tmp_path / "model.safetensors")
    for source in (tmp_path, tmp_path / "model.safetensors"):
        student = Student("mobilevit_xxs", frames=64)
        assert adopt(student, source) is None
        found = student.body.state_dict()
        for name, value in found.items():
            expected = weights[name].sum(1, keepdim=True) if name == "stem.conv.weight" else weights[name]
            assert torch.equal(value, expected), name


def test_a_grey_picture_gives_the_same_features_as_in_three_channels(tmp_path: Path) -> None:
    weights = published(tmp_path / "model.safetensors")
    student = Student("mobilevit_xxs", frames=64).eval()
    adopt(student, tmp_path)
    three = timm.create_model("mobilevit_xxs", pretrained=False, in_chans=3, num_classes=0).eval()
    three.load_state_dict({name: value for name, value in weights.items() if not name.startswith("head.fc")})
    with torch.no_grad():
        ours, theirs = student.body(mel(1)), three(mel(1).repeat(1, 3, 1, 1))
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    published(tmp_path / "model.safetensors")
    with pytest.raises(RunError, match="is this file for another network"):
        adopt(Student("mobilevit_xs", frames=64), tmp_path)
    with pytest.raises(RunError, match="so no weights of mobilevit_xxs"):
        adopt(Student("mobilevit_xxs", frames=64), tmp_path / "absent")


def test_a_silent_hub_is_a_loud_warning() -> None:
    student = Student("mobilevit_xxs", frames=64)
    before = student.body.state_dict()["stem.conv.weight"].clone()
    warning = load_imagenet(student, FirstWeights("none", reason="no route to the hub"))
    assert warning is not None and "could not be had: no route to the hub;" in warning and "RANDOM" in warning
    assert torch.equal(student.body.state_dict()["stem.conv.weight"], before)
    assert mobilevit.published("mobilevit_xxs", "random") is None


def test_the_hub_is_asked_for_safetensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    repository = tmp_path / "timm" / "mobilevit_xxs.cvnets_in1k"
    repository.mkdir(parents=True)
    published(repository / "model.safetensors")
    student = Student("mobilevit_xxs", frames=64)
    with fake_hub.serve(tmp_path) as address:
        fake_hub.point_to(monkeypatch, address, tmp_path / "cache")
        assert adopt(student, "imagenet") is None
    expected = load_tensors(repository / "model.safetensors")["stem.bn.weight"]
    assert torch.equal(student.body.state_dict()["stem.bn.weight"], expected)
