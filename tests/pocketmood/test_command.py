"""Command lines from dataclasses, errors as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.config import PRESETS as BENCHMARKS
from export.config import PRESETS as EXPORT
from pocketmood import command, presets
from pocketmood.errors import DataError, RunError
from student.config import PRESETS as STUDENT
from teacher.presets import PRESETS as TEACHER
from tests.helpers import ROOT


@dataclass(frozen=True)
class Inner:
    width: int = 8
    """Channels of the first stage."""


@dataclass(frozen=True)
class Config:
    epochs: int = 20
    """Times through the training songs."""
    gan: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise DataError(f"epochs {self.epochs} must be at least 1")


PRESETS = {"full": Config(), "demo": Config(epochs=3, gan=Inner(2))}


def parse(*args: str) -> Config:
    return command.parse(PRESETS, "teacher", "Train.", args)


def test_a_preset_sets_all_and_a_flag_overrides_one() -> None:
    assert parse() == Config()
    assert parse("--preset", "demo") == PRESETS["demo"]
    assert parse("--preset", "demo", "--gan.width", "5") == Config(3, Inner(5))


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--epoch-count", "3")
    assert stop.value.code == 2
    assert "epoch-count" in capsys.readouterr().err


def test_a_broken_rule_is_our_error() -> None:
    with pytest.raises(DataError, match="epochs 0"):
        parse("--epochs", "0")


def test_help_shows_the_fields_strings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    assert "Times through the training songs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RunError("no teacher"), 1, "error: no teacher\n"),
        (KeyboardInterrupt(), 130, "continues"),
        (OSError(28, "No space left on device", "runs/x"), 1, "runs/x: No space left on device"),
    ],
)
def test_errors_are_one_line(error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        command.start(fails)
    assert stop.value.code == code
    captured = capsys.readouterr().err
    assert text in captured
    assert captured.count("\n") == 1


@pytest.mark.parametrize(("error", "words"), [(RunError("no teacher"), "error: no teacher"), (KeyboardInterrupt(), "")])
def test_beside_the_main_process_only_an_error_of_its_own_is_printed(
    error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        assert not "".join(capsys.readouterr())  # by now torchrun has ended it, where the main process failed as well
        waited.append(seconds)

    def fails() -> None:
        raise error

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(command.time, "sleep", sleep)
    with pytest.raises(SystemExit) as stop:
        command.start(fails)
    alone = isinstance(error, RunError)
    assert stop.value.code == (1 if alone else command.EXIT_STOPPED)
    assert capsys.readouterr().err == (f"process 1: {words}\n" if alone else "")
    assert waited == ([command.PATIENCE_S] if alone else [])


def test_beside_the_main_process_nothing_is_said_of_wrong_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(command.time, "sleep", lambda seconds: None)
    for words, code in (("--epoch", 2), ("--help", 0)):
        with pytest.raises(SystemExit) as stop:
            parse(words)
        assert stop.value.code == code and not "".join(capsys.readouterr())


@pytest.mark.slow
def test_under_torchrun_an_error_is_printed_once() -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]
    for flags, words in ((["--gan.epochs", "0"], "gan: epochs is 0"), (["--nonsense"], "--nonsense")):
        done = subprocess.run(
            [*launcher, "teacher", *flags], cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 1
        # torchrun's own report names neither.
        assert done.stderr.count(words) == 1, done.stderr


def test_a_bug_keeps_its_traceback() -> None:
    def fails() -> None:
        raise FileNotFoundError(2, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        command.start(fails)


def test_a_preset_names_its_run_and_stands_in_the_help_with_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    for stages in (TEACHER, STUDENT, EXPORT, BENCHMARKS):
        runs = {name: command.parse(stages, "x", "", ["--preset", name]).run for name in stages}
        assert runs == {preset.name: preset.run for preset in presets.PRESETS}
        assert command.parse(stages, "x", "", ["--preset", "demo", "--run", "y"]).run == Path("y")
    with pytest.raises(SystemExit):
        command.parse(TEACHER, "x", "", ["--help"])
    assert "not measured (days on a CPU)" in " ".join(capsys.readouterr().out.split())
