"""Command lines from dataclasses, errors as one line."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pocketmood import command
from pocketmood.errors import DataError, RunError


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


def test_a_bug_keeps_its_traceback() -> None:
    def fails() -> None:
        raise FileNotFoundError(2, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        command.start(fails)
