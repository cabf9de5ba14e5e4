"""The Makefile's road: targets make what they need first, and what is misspelt or missing is one line at once."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.config import PRESETS as BENCHMARKS
from export.config import PRESETS as EXPORT
from pocketmood import presets
from pocketmood.runs import STAGES
from student.config import PRESETS as STUDENT
from teacher.presets import PRESETS as TEACHER
from tests.helpers import ROOT

STAGE = re.compile(r"python -m (pocketmood data|teacher|student|export|benchmarks) ")


def make(*words: str, dry: bool = True) -> subprocess.CompletedProcess[str]:
    """Run make in the checkout without the variables that a make around this test has set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "GOALS"))}
    return subprocess.run(
        ["make", *(["-n"] if dry else []), *words], cwd=ROOT, env=clean, capture_output=True, text=True, check=False
    )


def stages(*words: str) -> list[str]:
    """Return the stages that make would run for these words, in order."""
    done = make(*words)
    assert done.returncode == 0, done.stderr
    return STAGE.findall(done.stdout)


def finish(run: Path, *names: str) -> None:
    """Make stages look finished."""
    for name in names:
        (run / name).mkdir(parents=True)
        (run / name / "stage.json").write_text("{}")


def test_the_road_begins_with_the_data(tmp_path: Path) -> None:
    assert stages("teacher", "DEAM=/music", f"RUN={tmp_path}") == ["pocketmood data", "teacher"]
    finish(tmp_path, "data", "teacher", "student")
    # Data that are there are still asked whether they are those of this DEAM; nothing is asked twice.
    road = ["pocketmood data", "teacher", "student", "export"]
    assert stages("teacher", "student", "export", "DEAM=/music", f"RUN={tmp_path}") == road
    assert stages("data", "teacher", "DEAM=/music", f"RUN={tmp_path}") == road[:2]
    finish(tmp_path, "bundle")
    assert stages("all", "DEAM=/music", f"RUN={tmp_path}") == [*road, "benchmarks"]


@pytest.mark.parametrize(
    ("target", "needs"), [("teacher", "data"), ("student", "teacher"), ("export", "student"), ("benchmarks", "export")]
)
def test_a_target_makes_what_it_needs_and_no_more(tmp_path: Path, target: str, needs: str) -> None:
    before = STAGES[: STAGES.index({"export": "bundle"}.get(needs, needs))]
    finish(tmp_path, *before)
    missing = {"data": "pocketmood data"}.get(needs, needs)
    deam = [] if needs != "data" else ["DEAM=/music"]
    assert stages(target, *deam, f"RUN={tmp_path}") == [missing, target]
    finish(tmp_path, {"export": "bundle"}.get(needs, needs))
    assert stages(target, f"RUN={tmp_path}") == [target]


@pytest.mark.parametrize("preset", [[], ["PRESET=smoke"]])
def test_missing_music_is_one_line_with_the_command(tmp_path: Path, preset: list[str]) -> None:
    done = make("teacher", "student", f"RUN={tmp_path / 'x'}", *preset, dry=False)
    assert done.returncode != 0 and not (tmp_path / "x").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    run = tmp_path / "x"
    # With its preset: typed without, it would train another one.
    command = " ".join([f"make teacher student CORPUS=deam MUSIC=/path/to/deam RUN={run}", *preset])
    assert errors == [f"error: {run}/data needs music. Type `{command}`, or make demo"]


def test_music_of_several_corpora_is_a_folder_each(tmp_path: Path) -> None:
    words = ["data", "CORPUS=deam+table", f"RUN={tmp_path}"]
    assert (
        '--corpus deam+table --music "/my music/DEAM" "/mine" --label'
        in make(*words, "MUSIC=/my music/DEAM:/mine").stdout
    )
    assert "CORPUS=deam+table MUSIC=/path/to/deam:/path/to/table RUN=" in make(*words, dry=False).stderr
    # One corpus, one folder, whatever its name; DEAM= is the short form.
    assert '--corpus table --music "/a:b c" --label' in make("data", "CORPUS=table", "MUSIC=/a:b c").stdout
    assert '--corpus deam --music "/a b" --label' in make("data", "DEAM=/a b").stdout


def test_an_unknown_preset_is_refused_before_any_stage(tmp_path: Path) -> None:
    done = make("teacher", "PRESET=strimlined", "DEAM=/music", f"RUN={tmp_path}", dry=False)
    assert done.returncode == 2 and "PRESET=strimlined is unknown; choose from full streamlined" in done.stderr


def test_every_stage_accepts_the_makefiles_presets() -> None:
    listed = re.search(r"^PRESETS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    for known in (TEACHER, STUDENT, EXPORT, BENCHMARKS):
        assert list(known) == listed[1].split()


def test_dials_reach_their_stage(tmp_path: Path) -> None:
    finish(tmp_path, *STAGES)
    for target in ("teacher", "student", "export", "benchmarks"):
        done = make(target, f"RUN={tmp_path}", f"{target.upper()}=--seed 7")
        assert f"python -m {target} --preset full --run {tmp_path} --seed 7" in done.stdout
    done = make("data", "DEAM=/music", f"RUN={tmp_path}", "DATA=--split.train .8 --split.validation .1")
    assert "--label-fix none --split.train .8 --split.validation .1\n" in done.stdout


def test_the_run_that_is_measured_is_the_one_whose_bundle_is_made(tmp_path: Path) -> None:
    finish(tmp_path, *STAGES[:3])
    dry = make("benchmarks", f"MEASURED={tmp_path}").stdout
    assert f"python -m export --preset full --run {tmp_path} " in dry
    assert f"python -m benchmarks --preset full --run {tmp_path} " in dry


def test_the_makefile_and_the_table_name_the_same_presets_and_run() -> None:
    text = (ROOT / "Makefile").read_text()
    listed, run = re.search(r"^PRESETS := (.*)$", text, re.MULTILINE), re.search(r"^RUN +\?= (.*)$", text, re.MULTILINE)
    assert listed is not None and run is not None
    assert [preset.name for preset in presets.PRESETS] == listed[1].split() and str(presets.DEFAULT_RUN) == run[1]


def test_doctor_is_handed_preset_run_and_dials(tmp_path: Path) -> None:
    dials = ['TEACHER=--vit.weights "/a b/vit"', "STUDENT=--weights random"]
    # In Python's place a program that prints a word per line: quotes inside of a dial must reach the doctor whole.
    printed = make("doctor", f"RUN={tmp_path}", "PRESET=streamlined", *dials, r"PY=printf '%s\n'", dry=False).stdout
    words = ["-m", "pocketmood.training", "doctor", "--preset", "streamlined", "--run", str(tmp_path)]
    assert printed.splitlines()[-9:] == [*words, '--teacher=--vit.weights "/a b/vit"', "--student=--weights random"]
