"""The doctor's screen for machines of every kind, and what stops a training: GPU properties, hub and disk are fakes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pocketmood import presets
from pocketmood.data.clips import Clip
from pocketmood.data.split import split_clips
from pocketmood.emotion import Emotion
from pocketmood.errors import ConfigError, RunError
from pocketmood.training import device, doctor, probe, weights
from pocketmood.training.__main__ import FOUND, main
from pocketmood.training.__main__ import _words as words
from pocketmood.training.device import Gpu
from pocketmood.training.probe import Measured, Probe
from pocketmood.training.weights import FirstWeights
from student.config import PRESETS as STUDENT
from student.stage import run as run_student
from teacher.presets import PRESETS as TEACHER
from teacher.stage import run as run_teacher
from tests.helpers.soft_targets import make_teacher

GB = 10**9
H100 = Gpu("NVIDIA H100 80GB HBM3", 80 * GB, 79 * GB, (9, 0), bf16=True)
T4 = Gpu("Tesla T4", 16 * GB, 15 * GB, (7, 5), bf16=False)
SMALL = Gpu("NVIDIA GeForce GTX 1650", 4 * GB, 4 * GB, (7, 5), bf16=False)
P100 = Gpu("Tesla P100-PCIE-16GB", 16 * GB, 16 * GB, (6, 0), bf16=False)
FOUND_WEIGHTS = FirstWeights("hub", "someone/some-weights", "0123456", "ab", 346_000_000)


class Machine:
    """Sets what the doctor sees, and reads what it says."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Path) -> None:
        self.patch, self.capsys, self.run = patch, capsys, run
        self.has(H100)
        patch.setattr(doctor, "free_bytes", lambda folder: 500 * GB)
        patch.setattr(weights, "resolve", lambda published: FOUND_WEIGHTS)
        patch.setattr(probe, "measure", lambda probe: Measured(0.5, probe.batch))
        patch.delenv(doctor.ANYWAY, raising=False)

    def has(self, gpu: Gpu | None) -> None:
        self.patch.setattr(device, "find_gpu", lambda: gpu)

    def screen(self, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
        """Return subject -> (verdict, text) of the screen; it must fit a terminal of 120 columns and 24 lines."""
        assert main(["doctor", "--run", str(self.run), *words]) == code
        out = self.capsys.readouterr().out
        lines = out.splitlines()
        assert len(lines) <= 24 and max(map(len, lines)) <= 120 + len(str(self.run))
        found: dict[str, tuple[str, str]] = {}
        for verdict, subject, text in re.findall(r"^  (ok|note|stop) +(\S+(?: \S+)*)  +(\S.*)$", out, re.MULTILINE):
            found[subject] = (verdict, text)
        last = "stops at: " if code or any(verdict == "stop" for verdict, _ in found.values()) else "nothing stands"
        assert lines[-1].startswith(last)
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Machine:
    return Machine(monkeypatch, capsys, tmp_path)


def test_an_h100_goes_on_in_bf16(machine: Machine) -> None:
    found = machine.screen()
    assert list(found) == [
        "GPU", "GPU memory", "precision", "ViT-B/16", "mobilevit_s", "disk", "songs", "time",
    ]  # fmt: skip
    assert found["GPU"] == ("ok", "NVIDIA H100 80GB HBM3, compute capability 9.0")
    assert found["precision"] == ("ok", "bf16: the GPU computes in it")
    assert found["GPU memory"][0] == "ok" and "takes about 4.7 GB" in found["GPU memory"][1]
    assert found["ViT-B/16"] == ("ok", "someone/some-weights, at the hub (0.3 GB to fetch)")
    assert found["songs"] == ("note", "none yet; disk and time are those of DEAM's 1802")
    # By hand, half a second each: GAN 10 x 2 x (1262 // 48); ViT 24 x 106; AST 40 x 79; MobileViT 20 x 301.
    steps = 520 + 24 * 106 + 40 * 79 + 20 * 301
    assert found["time"][1].startswith(f"about {0.5 * steps / 60:.0f} min of training steps")


def test_a_t4_goes_on_in_fp16(machine: Machine) -> None:
    machine.has(T4)
    assert machine.screen()["precision"] == (
        "ok",
        "fp16: compute capability below 8.0 has no bf16; the GAN trains in fp32",
    )


def test_four_gigabytes_stop_unless_batches_are_smaller(machine: Machine) -> None:
    machine.has(SMALL)
    found = machine.screen(code=FOUND)
    assert found["GPU memory"][0] == "stop" and "time" not in found
    assert found["GPU memory"][1] == "4.0 GB, 4.0 GB of it free; the teacher's largest step takes about 4.7 GB"
    flags = "--training.schedule.batch-size 6 --gan.batch-size 12"
    assert machine.screen(f"--teacher={flags}")["GPU memory"][0] == "ok"


def test_a_busy_gpu_stops(machine: Machine) -> None:
    machine.has(replace(H100, free_bytes=2 * GB))
    assert machine.screen(code=FOUND)["GPU memory"][0] == "stop"


def test_too_old_a_gpu_and_none_at_all_stop(machine: Machine) -> None:
    machine.has(P100)
    found = machine.screen(code=FOUND)
    assert found["GPU"] == (
        "stop",
        "Tesla P100-PCIE-16GB, compute capability 6.0: the locked torch has kernels from 7.5 on (T4)",
    )
    machine.has(None)
    found = machine.screen(code=FOUND)
    assert found["GPU"][0] == "stop" and found["precision"] == ("ok", "fp32: there is no GPU")
    assert "time" in found  # how long this CPU would take is what decides
    machine.patch.setenv(doctor.ANYWAY, "1")
    assert machine.screen()["GPU"][0] == "stop"
    assert main(["doctor", "--run", str(machine.run)]) == 0


def test_missing_weights_and_a_full_disk_stop(machine: Machine) -> None:
    machine.patch.setattr(weights, "resolve", lambda published: FirstWeights("none", reason="no network"))
    machine.patch.setattr(doctor, "free_bytes", lambda folder: GB)
    found = machine.screen(code=FOUND)
    assert found["ViT-B/16"] == found["mobilevit_s"] == ("stop", "not to be had: no network")
    # By hand: 3200 clips of 128 x 1292 in two bytes, six copies of ViT-B, the AST, soft targets, half a gigabyte of the
    # rest; MobileViT.
    wanted = 3200 * 128 * 1292 * 2 + 6 * 4 * 86e6 + 100e6 + 1802 * 9 * 4 * 800 + 500e6 + 300e6
    assert found["disk"] == ("stop", f"1.0 GB free, about {wanted / 1e9:.1f} GB to be written (estimate)")
    assert machine.screen("--student=--weights random", code=FOUND).keys() == found.keys() - {"mobilevit_s"}


def test_demo_needs_no_weights(machine: Machine) -> None:
    assert {"ViT-B/16", "mobilevit_s"}.isdisjoint(machine.screen("--preset", "demo"))


def test_demo_and_smoke_need_no_gpu(machine: Machine) -> None:
    machine.has(None)
    for preset in ("demo", "smoke"):
        found = machine.screen("--preset", preset)
        assert found["GPU"] == ("ok", "none that torch can use, and none is needed")


def test_flags_are_split_as_the_shell_of_the_makefile_does(machine: Machine) -> None:
    machine.patch.setenv("HOME", str(machine.run))
    assert words("teacher", '--vit.weights "/a b/vit" --gan.epochs 3') == [
        "--vit.weights",
        "/a b/vit",
        "--gan.epochs",
        "3",
    ]
    assert words("teacher", "--vit.weights ~/vit") == ["--vit.weights", f"{machine.run}/vit"]
    with pytest.raises(ConfigError, match=r"--teacher .*No closing quotation"):
        words("teacher", '--vit.weights "/a')


def test_an_unknown_preset_is_refused(machine: Machine) -> None:
    with pytest.raises(
        ConfigError, match="'strimlined' is unknown; choose from full, streamlined, demo, recordings, smoke"
    ):
        machine.screen("--preset", "strimlined")


def test_a_batch_that_runs_out_of_memory_stops(machine: Machine) -> None:
    def full(probe: Probe) -> Measured:
        raise torch.OutOfMemoryError("full")

    machine.patch.setattr(probe, "measure", full)
    assert machine.screen(code=FOUND)["GPU memory"] == ("stop", "one step of MobileViT with 48 items ran out of memory")


def test_stages_of_full_stop_before_they_train_and_go_on_anyway(machine: Machine, tiny_run: Path) -> None:
    machine.has(None)
    with pytest.raises(RunError, match=rf"teacher was not begun.*make teacher RUN={tiny_run} ANYWAY=1"):
        run_teacher(replace(TEACHER["full"], run=tiny_run))
    assert [path.name for path in tiny_run.iterdir()] == ["data"]
    # What make was told goes with it, or other networks would be trained than were asked for.
    machine.patch.setenv("TEACHER", "--gan.epochs 20")
    machine.patch.setenv("GPUS", "2")
    with pytest.raises(RunError, match=rf"RUN={tiny_run} PRESET=full TEACHER='--gan\.epochs 20' GPUS=2 ANYWAY=1"):
        doctor.attend(doctor.of("teacher", "full", tiny_run), tiny_run)
    machine.patch.delenv("TEACHER")
    machine.patch.setenv("GPUS", "1")
    presets.choose("")
    out = machine.capsys.readouterr().out
    assert out.startswith(f"doctor: teacher of {tiny_run}\n  stop  GPU ") and "  ok    songs      24, 16" not in out
    make_teacher(tiny_run)
    with pytest.raises(RunError, match="student was not begun"):
        run_student(replace(STUDENT["streamlined"], run=tiny_run))
    assert not (tiny_run / "student.part").exists()
    machine.patch.setenv(doctor.ANYWAY, "1")
    doctor.attend(doctor.of("student", "full", tiny_run), tiny_run)


def test_the_teacher_says_what_the_student_will_lack(machine: Machine, tiny_run: Path) -> None:
    machine.patch.setattr(presets, "_chosen", ["full"])
    machine.patch.setattr(weights, "resolve", lambda published: FirstWeights("none", reason="no network"))
    with pytest.raises(RunError, match="PRESET=full ANYWAY=1"):
        run_teacher(replace(TEACHER["full"], run=tiny_run))
    out = machine.capsys.readouterr().out
    assert re.search(r"note  mobilevit_s +\(student\) not to be had: no network\n", out)


def test_weights_that_cannot_be_fetched_stop_unless_anyway(machine: Machine) -> None:
    wanted = {"vit": TEACHER["full"].vit.published()}
    before, after = {"vit": FOUND_WEIGHTS}, {"vit": FirstWeights("none", reason="reset")}
    doctor.refuse_lost(wanted, before, before)
    doctor.refuse_lost(wanted, after, after)  # never there: the screen has said so
    with pytest.raises(RunError, match=r"ViT-B/16: .*fetching them failed \(reset\)"):
        doctor.refuse_lost(wanted, before, after)
    machine.patch.setenv(doctor.ANYWAY, "1")
    doctor.refuse_lost(wanted, before, after)


@pytest.mark.parametrize("preset", ["demo", "smoke"])
def test_demo_and_smoke_never_ask(preset: str) -> None:
    assert not TEACHER[preset].doctor and not STUDENT[preset].doctor


def test_a_step_is_timed_and_scaled_to_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "default_device", lambda: torch.device("cpu"))
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(clock))
    taken: list[int] = []
    before = torch.get_rng_state()

    def build(place: torch.device) -> object:
        torch.rand(3)
        return taken.append

    measured = probe.measure(Probe("x", 12, 100, "auto", build, least=2))  # type: ignore[arg-type]
    assert measured == Measured(15.0, 2) and taken == [2]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_company_is_asked_for_what_its_members_need() -> None:
    def probes(*members: str) -> list[str]:
        wanted = doctor.of("teacher", "recordings", Path("runs/x"), ["--company.members", *members])
        return [probe.name for probe in wanted.probes(doctor.DEAM)]

    # Heads above frozen networks have no steps; of two ViTs each is timed.
    assert probes("musicnn") == []
    assert probes("musicnn", "vit", "vit@1", "ast") == ["ViT", "vit@1", "AST"]
    assert probes("musicnn-tuned", "musicnn") == ["musicnn-tuned"]
    wanted = doctor.of("teacher", "recordings", Path("runs/x"), ["--company.members", "musicnn-tuned"])
    assert 0 < probe.measure(wanted.probes(doctor.DEAM)[0]).seconds < 60


def test_every_probe_of_the_small_presets_takes_a_step() -> None:
    for stage in ("teacher", "student"):
        for step in doctor.of(stage, "smoke", Path("runs/x")).probes(doctor.DEAM):
            assert probe.measure(step).seconds > 0


def test_deams_training_songs_are_those_that_its_split_has_in_code_and_pages() -> None:
    clips = [Clip(str(number), None, Emotion(0, 0), None) for number in range(doctor.DEAM.all)]
    assert len(split_clips(clips).train) == doctor.DEAM.train
    docs = Path(__file__).parents[3] / "docs"
    counted = re.findall(r"\b(1[12]\d\d) songs", "".join(page.read_text() for page in sorted(docs.glob("*.md"))))
    assert counted and set(counted) == {str(doctor.DEAM.train)}
