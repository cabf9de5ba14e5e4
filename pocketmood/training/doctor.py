"""What a training needs and what is there: one screen before hours of it, with what to do where something lacks.

A stage hands in its needs as data (`Needs`); GPU, disk, weights, songs and time are looked at here. `demo` and `smoke`
never ask. The variable ANYWAY=1 goes on whatever was found.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pocketmood import presets
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from pocketmood.processes import is_main_process
from pocketmood.runs import STAGE_FILE
from pocketmood.training import weights

if TYPE_CHECKING:
    from pocketmood.training.device import Gpu
    from pocketmood.training.probe import Probe
    from pocketmood.training.schedule import Precision

ANYWAY = "ANYWAY"
Verdict = Literal["ok", "note", "stop"]


class Songs(NamedTuple):
    """How much music there is."""

    train: int
    """Rated songs to train on."""
    all: int
    """All of them, unrated ones included."""


DEAM = Songs(1262, 1802)
"""What is assumed while a run has no songs yet: the split of as many songs, each by an artist of its own."""


@dataclass(frozen=True)
class Needs:
    """What a stage needs."""

    stage: str
    """"teacher" or "student"."""
    precision: Precision
    """The arithmetic that its config asks for."""
    published: tuple[weights.Published, ...]
    """Published weights that its networks begin with."""
    gpu_bytes: int
    """GPU memory of its largest step, estimated."""
    smaller: str
    """Flags with which it needs less of it."""
    disk_bytes: Callable[[Songs], int]
    """Estimate of what it writes."""
    probes: Callable[[Songs], tuple[Probe, ...]]
    """Its training steps, to be timed."""
    gpu: bool = True
    """Whether a machine without a GPU would take days."""


@dataclass(frozen=True)
class Finding:
    """One line of the screen, and what to do about it."""

    verdict: Verdict
    """ok; note, which is worth knowing; stop, which ends the command."""
    subject: str
    """What was looked at."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do, in words or as a command."""


def examine(needs: Sequence[Needs], run: Path) -> list[Finding]:
    """Look at everything that these stages of a run need, in the order of the screen."""
    from pocketmood.training.device import find_gpu

    gpu, songs = find_gpu(), _songs(run)
    found = [*_gpu(gpu, needs), *_weights(needs), _disk(needs, run, songs or DEAM), _songs_found(songs, run)]
    # A GPU that cannot hold the batch, or has no kernels, cannot be timed either.
    fit = gpu is None or not any(finding.verdict == "stop" and finding.subject in _OF_GPU for finding in found)
    return [*found, *(_time(needs, songs or DEAM) if fit else ())]


_OF_GPU = ("GPU", "GPU memory")


def _gpu(gpu: Gpu | None, needs: Sequence[Needs]) -> list[Finding]:
    """Judge the GPU, its memory, and the arithmetic that follows from it."""
    from pocketmood.training.device import LEAST_CAPABILITY

    asked = needs[0].precision
    if gpu is None:
        remedy = "use one of compute capability 7.5 or later (T4, RTX 20 and newer), or PRESET=demo, which needs none"
        return [
            Finding("stop", "GPU", "none that torch can use; a CPU takes days", remedy)
            if any(need.gpu for need in needs)
            else Finding("ok", "GPU", "none that torch can use, and none is needed"),
            Finding("ok", "precision", "fp32: there is no GPU" if asked == "auto" else f"{asked}: asked for"),
        ]
    number = ".".join(map(str, gpu.capability))
    about = f"{gpu.name}, compute capability {number}"
    if gpu.capability < LEAST_CAPABILITY:
        return [Finding("stop", "GPU", f"{about}: the locked torch has kernels from 7.5 on (T4)", "use a newer GPU")]
    why = "the GPU computes in it" if gpu.bf16 else "compute capability below 8.0 has no bf16; the GAN trains in fp32"
    precision = f"{'bf16' if gpu.bf16 else 'fp16'}: {why}" if asked == "auto" else f"{asked}: asked for"

    largest = max(needs, key=lambda need: need.gpu_bytes)
    text = f"{_size(gpu.memory_bytes)}, {_size(gpu.free_bytes)} of it free; the {largest.stage}'s largest step takes "
    text += f"about {_size(largest.gpu_bytes)}"
    fits = gpu.free_bytes >= largest.gpu_bytes
    remedy = "" if fits else f"end what holds the GPU, or train with smaller batches:\n{_smaller(largest)}"
    return [
        Finding("ok", "GPU", about),
        Finding("ok" if fits else "stop", "GPU memory", text, remedy),
        Finding("ok", "precision", precision),
    ]


def _smaller(need: Needs) -> str:
    return f'{need.stage.upper()}="{need.smaller}"'


def _weights(needs: Sequence[Needs]) -> list[Finding]:
    """Judge the published weights of every network, with where they would come from."""
    findings = []
    for need in needs:
        for published in need.published:
            variable = f'{need.stage.upper()}="{published.flag} FOLDER"'
            files = " and ".join(published.files)
            remedy = f"put {files}\nof {published.repository or published.title} into a folder, and add {variable}"
            try:
                first = weights.resolve(published)
            except RunError as error:
                findings.append(Finding("stop", published.title, str(error)))
                continue
            kept = "the local cache" if published.command else "the hub's local cache"
            where = {
                "folder": f"in the folder {first.source}",
                "cache": f"{first.source}, in {kept}",
                "hub": f"{first.source}, at the hub ({_size(first.size)} to fetch)",
                "none": f"not to be had: {first.reason}",
            }[first.tier]
            missing = first.tier == "none"
            findings.append(Finding("stop" if missing else "ok", published.title, where, remedy if missing else ""))
    return findings


def _disk(needs: Sequence[Needs], run: Path, songs: Songs) -> Finding:
    """Judge the free disk under a run by what its stages will write, less what they have written."""
    written = sum(_written(run / f"{need.stage}.part") for need in needs)
    wanted = max(sum(need.disk_bytes(songs) for need in needs) - written, 0)
    free = free_bytes(run)
    text = f"{_size(free)} free, about {_size(wanted)} to be written (estimate)"
    return (
        Finding("ok", "disk", text) if free >= wanted else Finding("stop", "disk", text, "make room, or another RUN=")
    )


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the file system that a folder, made or not, lies on."""
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def _written(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _songs(run: Path) -> Songs | None:
    """Count the songs of a run; None before its data stage."""
    folder = RunFolder(run)
    if not (folder.folder("data") / STAGE_FILE).is_file():
        return None
    record = folder.data_record
    return Songs(record.split.train, record.songs + record.unlabelled)


def _songs_found(songs: Songs | None, run: Path) -> Finding:
    if songs is None:
        text = f"none yet; disk and time are those of DEAM's {DEAM.all}"
        return Finding("note", "songs", text, RunFolder(run).command("data"))
    few = songs.train < 100
    text = f"{songs.all}, {songs.train} of them to train on"
    return Finding("note" if few else "ok", "songs", text, "so few teach a network little" if few else "")


def _time(needs: Sequence[Needs], songs: Songs) -> list[Finding]:
    """Time a step of every network, and tell from it how long the whole would take."""
    from pocketmood.training.probe import OutOfMemory, measure

    findings, total, parts = [], 0.0, []
    for need in needs:
        for probe in need.probes(songs):
            try:
                measured = measure(probe)
            except OutOfMemory:
                text = f"one step of {probe.name} with {probe.batch} items ran out of memory"
                findings.append(Finding("stop", "GPU memory", text, _smaller(need)))
                continue
            total += measured.seconds * probe.steps
            items = f"{measured.items} of {probe.batch} items, scaled" if measured.items < probe.batch else "measured"
            parts.append(f"{probe.name} {_duration(measured.seconds * probe.steps)} ({items})")
    about = f"about {_duration(total)} of training steps; validation, pictures and export come on top"
    return [*findings, Finding("note", "time", about, "\n".join(parts))]


def screen(findings: Sequence[Finding], title: str) -> str:
    """Lay the findings out: one line each, what to do below it, and what follows in the last line."""
    width = max(len(finding.subject) for finding in findings)
    lines = [title]
    for finding in findings:
        lines.append(f"  {finding.verdict:<5} {finding.subject:<{width}}  {finding.text}")
        lines += [f"        {'':<{width}}  {line}" for line in finding.remedy.splitlines()]
    stops = [finding.subject for finding in findings if finding.verdict == "stop"]
    last = f"stops at: {', '.join(stops)}. To go on all the same: {ANYWAY}=1" if stops else "nothing stands in the way"
    return "\n".join([*lines, last])


def attend(needs: Needs, run: Path) -> None:
    """Look before a stage begins, in its main process; RunError where something lacks and ANYWAY is not set."""
    from pocketmood.training import distributed

    stops = False
    if is_main_process():
        later = [of("student", presets.chosen(), run)] if needs.stage == "teacher" and presets.chosen() else []
        findings = examine([needs], run)
        # Said now, when it costs nothing yet: the next stage would stop at it after hours of this one.
        findings += [_only_noted(finding) for finding in _weights(later)]
        print(screen(findings, f"doctor: {needs.stage} of {run}"), flush=True)
        stops = any(finding.verdict == "stop" for finding in findings)
    if distributed.agree(stops) and not anyway():
        typed = " ".join([RunFolder(run).command(needs.stage), *_passed(needs.stage), f"{ANYWAY}=1"])
        raise RunError(f"the {needs.stage} was not begun: mend what stops it (above), or type `{typed}`")


def _only_noted(finding: Finding) -> Finding:
    verdict: Verdict = "note" if finding.verdict == "stop" else finding.verdict
    return Finding(verdict, finding.subject, f"(student) {finding.text}", finding.remedy)


def _passed(stage: str) -> list[str]:
    """Return what make was told of a stage beyond preset and run; it puts its variables into the environment."""
    found = {name: os.environ.get(name, "") for name in (stage.upper(), "GPUS")}
    return [f"{name}={shlex.quote(value)}" for name, value in found.items() if value and value != "1"]


def anyway() -> bool:
    """Tell whether the user goes on whatever is found."""
    return os.environ.get(ANYWAY, "") not in ("", "0")


def of(stage: str, preset: str, run: Path, words: Sequence[str] = ()) -> Needs:
    """Return the needs of a stage at a preset with further flags; it is imported only now, being further down."""
    from importlib import import_module

    found: Needs = import_module(f"{stage}.needs").of_words(["--preset", preset, "--run", str(run), *words])
    return found


def refuse_lost(
    wanted: Mapping[str, weights.Published],
    before: Mapping[str, weights.FirstWeights],
    after: Mapping[str, weights.FirstWeights],
) -> None:
    """Refuse to train where weights that were at the hub could not be fetched; RunError, unless ANYWAY is set."""
    for name, first in after.items():
        if first.tier == "none" and before[name].tier != "none" and not anyway():
            raise RunError(
                f"{wanted[name].title}: the hub has the weights, and fetching them failed ({first.reason}); run it "
                f"again, or with {ANYWAY}=1 from random weights"
            )


def require_preset(name: str) -> None:
    """Refuse a preset that no stage knows."""
    names = [preset.name for preset in presets.PRESETS]
    if name not in names:
        raise ConfigError(f"preset {name!r} is unknown; choose from {', '.join(names)}")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    """Write a duration with two digits at most."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
