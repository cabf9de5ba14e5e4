"""The presets that every stage knows, with what each costs: for `--help`, `make help`, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pocketmood import command

Config = TypeVar("Config")


@dataclass(frozen=True)
class Preset:
    """One name for `--preset`."""

    name: str
    """As it is typed."""
    what: str
    """What it does, in a phrase."""
    cost: str
    """Time, and on what; "not measured" where nothing was."""
    run: Path
    """The run folder that it uses where none is named."""


DEFAULT_RUN = Path("runs/deam")
PRESETS = (
    Preset("full", "the published recipe, on DEAM", "a GPU; not measured (days on a CPU)", DEFAULT_RUN),
    Preset("streamlined", "its short form, without optional steps", "a GPU; not measured (days on a CPU)", DEFAULT_RUN),
    Preset("demo", "smaller networks on 800 rendered songs", "a quarter of an hour on two cores", Path("runs/demo")),
    Preset(
        "recordings",
        "a teacher that has heard music, for recordings",
        "a quarter of an hour on two cores for 566 songs",
        Path("runs/recordings"),
    ),
    Preset("smoke", "all pipes, nothing learnt", "three minutes on two cores", Path("runs/smoke")),
)


def table(names: Sequence[str] = ()) -> str:
    """Lay the presets out, a line each; names: those of a command that has some of them only."""
    shown = [preset for preset in PRESETS if not names or preset.name in names]
    return "\n".join(f"{preset.name:<12}{preset.what:<48}{preset.cost}" for preset in shown)


_chosen: list[str] = []


def with_run(config: Config, name: str) -> Config:
    """Return a stage's config with the run folder of a preset as the default of `--run`; others as they are."""
    run = next((preset.run for preset in PRESETS if preset.name == name), None)
    ours = run is not None and getattr(config, "run", None) == DEFAULT_RUN
    return replace(config, run=run) if ours else config  # type: ignore[type-var]  # a dataclass, as `parse` takes


def choose(name: str) -> None:
    """Note which preset the command line of this process named, for messages that say what to type next."""
    _chosen[:] = [name]


def chosen() -> str:
    """Return the preset that the command line of this process named; "" where none did."""
    return _chosen[0] if _chosen else ""


def main(args: Sequence[str] | None = None) -> int:
    """Print the table for `make help`."""
    # No parser for a command without flags: `make help` works before anything is installed.
    print(table())
    return 0


if __name__ == "__main__":
    command.start(main)
