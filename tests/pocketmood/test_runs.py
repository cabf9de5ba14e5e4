"""Stages: whole or not at all, up to date, continued, moved."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pocketmood import runs, work_folder
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import RunError
from pocketmood.runs import Stage


@dataclass(frozen=True)
class Config:
    run: Path
    epochs: int = 3


def make(parent: Path, epochs: int = 3, inputs: dict[str, str] | None = None) -> Stage:
    return Stage(parent, "teacher", Config(parent, epochs), inputs or {"data": "abc"})


def finish(stage: Stage, text: str = "weights") -> None:
    with stage.work() as folder:
        (folder / "model").write_text(text)
        stage.record["ccc"] = np.float64(0.5)


def test_a_finished_stage_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not make(tmp_path).up_to_date()
    finish(make(tmp_path))
    again = make(tmp_path)
    assert again.up_to_date()
    assert capsys.readouterr().out == "teacher: up to date\n"
    assert again.record == {"ccc": 0.5}
    assert not (tmp_path / "teacher.part").exists()
    stage = RunFolder(tmp_path).stage_file("teacher")
    assert stage.config == {"epochs": 3}
    assert stage.inputs == {"data": "abc"}
    assert stage.versions["numpy"] == np.__version__


@pytest.mark.parametrize("change", [{"epochs": 4}, {"inputs": {"data": "other"}}])
def test_a_changed_config_or_input_is_not(tmp_path: Path, change: dict[str, object]) -> None:
    finish(make(tmp_path))
    assert not make(tmp_path, **change).up_to_date()  # type: ignore[arg-type]


def test_a_moved_run_folder_is_still_up_to_date(tmp_path: Path) -> None:
    finish(make(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    assert make(tmp_path / "new").up_to_date()


def test_an_error_keeps_the_work_and_the_old_result(tmp_path: Path) -> None:
    finish(make(tmp_path), "old")
    stage = make(tmp_path, epochs=9)
    with pytest.raises(ZeroDivisionError), stage.work() as folder:
        (folder / "half").write_text("done")
        _ = 1 / 0
    assert (tmp_path / "teacher" / "model").read_text() == "old"
    with make(tmp_path, epochs=9).work() as folder:
        assert (folder / "half").read_text() == "done"
    assert RunFolder(tmp_path).stage_file("teacher").continued_after_a_stop


def test_another_plan_starts_afresh(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), make(tmp_path, epochs=8).work() as folder:
        (folder / "half").write_text("of another plan")
        _ = 1 / 0
    with make(tmp_path, epochs=9).work() as folder:
        assert not (folder / "half").exists()


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    finish(make(tmp_path), "old")
    stage = make(tmp_path, epochs=9)
    finish(stage, "new")
    # what the disk shows when the old folder has moved away and the new one not yet come
    (tmp_path / "teacher").rename(tmp_path / "teacher.part")
    assert make(tmp_path, epochs=9).up_to_date()
    assert (tmp_path / "teacher" / "model").read_text() == "new"


def test_a_real_kill_loses_no_finished_step(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from pocketmood.runs import Stage
        outer = Stage(Path({str(tmp_path)!r}), "teacher", {{}})
        with outer.work() as folder:
            inner = Stage(folder, "gan", {{}})
            if not inner.up_to_date():
                with inner.work() as step:
                    (step / "weights").write_text("trained")
            if not os.environ.get("GO_ON"):
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "teacher").exists()
    done = subprocess.run(command, check=True, env=os.environ | {"GO_ON": "1"}, capture_output=True, text=True)
    assert done.stdout == "gan: up to date\n"
    assert (tmp_path / "teacher" / "gan" / "weights").read_text() == "trained"


def test_a_missing_stage_names_the_command(tmp_path: Path) -> None:
    typed = f"make teacher RUN={tmp_path} CORPUS=deam MUSIC=/path/to/deam"
    with pytest.raises(RunError, match=f"teacher: this stage has not been made yet. Type `{typed}`"):
        RunFolder(tmp_path).fingerprint("teacher")


def test_damaged_json_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stage.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        RunFolder(tmp_path).record("data")
    with pytest.raises(RunError, match="not found"):
        runs.read_json(tmp_path / "nothing.json")


def test_fingerprints_ignore_order_and_see_values() -> None:
    assert runs.fingerprint({"a": 1, "b": (2,)}) == runs.fingerprint({"b": [2], "a": 1})
    assert runs.fingerprint({"a": 1}) != runs.fingerprint({"a": 2})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    runs.write_text(path, "old")

    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space"):
        runs.write_text(path, "new")
    assert path.read_text() == "old"


def make_steps(parent: Path, epochs: int, names: tuple[str, ...], made: list[str]) -> None:
    """Make a stage of nested steps, of which only "network" depends on the epochs."""
    stage = Stage(parent, "teacher", {"epochs": epochs}, has_steps=True)
    if stage.up_to_date(quiet=True):
        return
    with stage.work() as folder:
        for name in names:
            step = Stage(folder, name, {"epochs": epochs} if name == "network" else {})
            if not step.up_to_date(quiet=True):
                with step.work() as work:
                    (work / "result").write_text(f"{name} {epochs}")
                made.append(name)
        stage.drop_steps(keep=names)


def test_a_changed_config_keeps_the_steps_that_still_fit(tmp_path: Path) -> None:
    made: list[str] = []
    make_steps(tmp_path, 1, ("gan", "network", "extra"), made)
    make_steps(tmp_path, 2, ("gan", "network"), made)
    assert made == ["gan", "network", "extra", "network"]
    folder = tmp_path / "teacher"
    assert (folder / "gan" / "result").read_text() == "gan 1" and (
        folder / "network" / "result"
    ).read_text() == "network 2"
    assert not (folder / "extra").exists()  # an earlier config's


def test_a_config_changed_after_a_kill_keeps_finished_steps(tmp_path: Path) -> None:
    made: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        make_steps(tmp_path, 1, ("gan", "network"), _StopsAt(made, "network"))
    make_steps(tmp_path, 2, ("gan", "network"), made)
    assert made == ["gan", "network"]


class _StopsAt(list[str]):
    """A list that is killed when a name is put in, while the step of that name is finished."""

    def __init__(self, kept: list[str], name: str) -> None:
        super().__init__()
        self.kept, self.name = kept, name

    def append(self, name: str) -> None:
        if name == self.name:
            raise KeyboardInterrupt
        self.kept.append(name)


def test_a_second_command_does_not_work_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_folder, "PATIENCE_S", 0.3)
    first, second = make(tmp_path), make(tmp_path, epochs=4)
    with first.work() as folder:
        (folder / "model").write_text("weights")
        with pytest.raises(RunError, match=r"teacher\.part: another command is making this stage"):
            finish(second)
        assert (folder / "model").read_text() == "weights"  # another config would have begun with an empty folder
    assert make(tmp_path).up_to_date()
    finish(second, "others")
    assert (tmp_path / "teacher" / "model").read_text() == "others"


def test_a_command_that_waited_for_a_kill_has_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other one ends while this one waits: its folder is the stage by then, and this one makes a new one.
    first, waits = make(tmp_path), make(tmp_path, epochs=4)
    with first.work() as folder:
        (folder / "model").write_text("weights")
        thread = threading.Thread(target=finish, args=(waits, "others"))
        thread.start()
        time.sleep(0.3)
    thread.join()
    assert make(tmp_path, epochs=4).up_to_date()
    assert (tmp_path / "teacher" / "model").read_text() == "others" and not (tmp_path / "teacher.part").exists()


@pytest.mark.parametrize("place", ["run", "run/teacher", "run/teacher.part"])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    with pytest.raises(RunError, match=rf"{path}: a file, where a folder is needed; move it away"):
        finish(make(tmp_path / "run"))
    assert path.read_text() == "x"
    if not place.endswith(".part"):
        with pytest.raises(RunError, match="a file, where a folder is needed"):
            RunFolder(tmp_path / "run").made("teacher")
