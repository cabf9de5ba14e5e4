"""The export stage: choose clips, run the steps in processes, judge, and make a bundle of what passed.

A required program that fails leaves no bundle; any other is left out of it, and named with its reason.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import bundle, corpora, parity, step_pool
from export.config import FP32, Artefact, ExportConfig
from export.job import GRAPH_PREDICTIONS, PREDICTIONS, REFERENCE, Clips, Job, Subject, step_record, student_folder
from export.parity_record import FAILED, PARITY_FILE, DistanceToFp32, Facts, ParityRecord
from export.record import BundleRecord
from pocketmood import signs
from pocketmood.bundle import SCHEMA
from pocketmood.calibration import songs_inside
from pocketmood.data.clips import ClipStore
from pocketmood.data.run_folder import CONFIG_FILE, WEIGHTS_FILE, RunFolder
from pocketmood.data.split import Split
from pocketmood.errors import ExportError, RunError
from pocketmood.label_kind import RATINGS, has_signs, score
from pocketmood.metrics import bootstrap
from pocketmood.runs import STAGE_FILE, Stage, file_hash, write_json

EXIT_LEFT_OUT = 3
"""Exit code of an export whose bundle lacks programs that were asked for."""


def run(config: ExportConfig) -> int:
    """Make `RUN/bundle`, or say that it is up to date.

    Returns 0 for all programs, 3 for a bundle without some that are not required, 1 where there is no new bundle.
    """
    # The schema is an input: a bundle of an older one is made anew, whatever else is unchanged.
    inputs = {
        "data": RunFolder(config.run).fingerprint("data"),
        "student": student_fingerprint(config),
        "schema": str(SCHEMA),
    }
    stage = Stage(config.run, "bundle", config.shaping(), inputs)
    if stage.up_to_date():
        return 0

    failed: dict[str, str] = {}
    fatal: list[str] = []
    try:
        with stage.work() as folder:
            job = _job(config, inputs)
            records = _prove(job, folder)
            print(parity.table(records), flush=True)
            failed = parity.failures(records)
            fatal = [name for name in failed if config.is_required(name) or len(failed) == len(records)]
            if fatal:
                raise ExportError("red gates")  # keeps the work folder unfinished
            _ship(job, folder, records)
            stage.record |= asdict(_record(job, records))
            stage.lack(failed)
    except ExportError:
        if not fatal:
            raise
    # Kept where a program is missing, so that the next try makes that one alone.
    if not failed:
        shutil.rmtree(RunFolder(config.run).export_steps)
    return _report(stage, failed, fatal)


def _report(stage: Stage, failed: Mapping[str, str], fatal: Sequence[str]) -> int:
    """Say what became of the bundle, and return the exit code."""
    reasons = [f"{name}{' (required)' * (name in fatal)}: {reason}" for name, reason in failed.items()]
    if fatal:
        print("error: not all required programs may ship, so there is no new bundle:", *reasons,
              f"records: {stage.part / PARITY_FILE}; the same command tries again only what failed",
              sep="\n  ", file=sys.stderr, flush=True)  # fmt: skip
        return 1
    print(f"bundle: {stage.folder}", flush=True)
    if failed:
        print(f"warning: {len(failed)} of the programs did not pass and are left out of {stage.folder}:", *reasons,
              "the others are whole; the same command tries again only what failed, --strict would make no bundle",
              sep="\n  ", file=sys.stderr, flush=True)  # fmt: skip
        return EXIT_LEFT_OUT
    return 0


def student_fingerprint(config: ExportConfig) -> str:
    """Identify the student: by its stage, or by its files where it comes from elsewhere."""
    if config.checkpoint is None:
        return RunFolder(config.run).fingerprint("student")
    folder = student_folder(config)
    files = [folder / name for name in (WEIGHTS_FILE, CONFIG_FILE)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise RunError(
            f"{folder}: no {' and no '.join(missing)} here; --checkpoint takes the weights of a student "
            "that `python -m student` trained"
        )
    return "".join(file_hash(file)[:16] for file in files)


def choose(config: ExportConfig, split: Split) -> Clips:
    """Choose clips evenly over the sorted ids, so that the same split gives the same clips."""
    golden = evenly(split.test, config.golden)
    # The int8 ranges come from training clips, the choice of groups from validation: neither is judged on its own.
    others = [id_ for id_ in (*split.test, *split.validation) if id_ not in golden]
    calibration = evenly(split.train, config.calibration)
    sensitivity = evenly(split.validation, config.sensitivity)
    return Clips(golden, evenly(others, config.held_out), tuple(split.test), calibration, sensitivity)


def evenly(ids: Sequence[str], count: int) -> tuple[str, ...]:
    """Pick up to `count` of the ids at even distances."""
    if len(ids) <= count:
        return tuple(ids)
    return tuple(ids[int(place)] for place in np.linspace(0, len(ids) - 1, count).round())


def _job(config: ExportConfig, inputs: Mapping[str, str]) -> Job:
    """Choose the clips, and say what is exported."""
    run = RunFolder(config.run)
    clips = choose(config, run.split)
    job = Job(config, run.export_steps, clips, Subject.of(config), dict(inputs))
    print(
        f"export: {job.subject.name}, {len(config.artefacts)} programs, proven on {len(clips.proven)} clips, "
        f"CCC on {len(clips.test)} test songs",
        flush=True,
    )
    return job


def _prove(job: Job, folder: Path) -> list[ParityRecord]:
    """Run the steps and judge them; all records are kept in the folder, green or red."""
    job.folder.mkdir(exist_ok=True)
    errors = step_pool.run_all(job)
    store, artefacts = job.store(), job.config.artefacts
    reference = np.load(job.folder / REFERENCE / PREDICTIONS, allow_pickle=False)
    records = [_judge(job, artefact, errors[artefact.step], reference, store) for artefact in artefacts]

    # Following a program through its graph takes minutes: only the worst one's fault is looked for.
    if worst := parity.worst(records):
        place = next(place for place, artefact in enumerate(artefacts) if artefact.file == worst)
        records[place] = replace(records[place], diverges=_where(job, artefacts[place], store))
    for artefact, record in zip(artefacts, records, strict=True):
        # The next try makes it anew: what wrote or ran it may have been mended. The rest stays to be looked at.
        if not record.passed:
            (job.folder / artefact.step / STAGE_FILE).unlink(missing_ok=True)
    # Written also where there is no bundle: then it is all that is left to look at.
    write_json(folder / PARITY_FILE, [record.to_json() for record in records])
    return records


def _ship(job: Job, folder: Path, records: Sequence[ParityRecord]) -> None:
    """Fill the bundle's folder with what passed."""
    store, clips = job.store(), job.clips
    reference = np.load(job.folder / REFERENCE / PREDICTIONS, allow_pickle=False)
    rows = [clips.predicted.index(id_) for id_ in clips.test]
    kind = job.subject.labels.kind
    found = quality(reference[rows], store.labels(clips.test), clips.test, kind)
    emotion = reference[rows][:, parity.OUTPUTS["emotion"]]
    found["by_corpus"] = corpora.scores(job.run.data_record, store, clips.test, emotion)
    bundle.write(folder, job, store, found, records)


def _record(job: Job, records: Sequence[ParityRecord]) -> BundleRecord:
    """Say of the result what stands in stage.json."""
    shipped, rest = ([record.to_json() for record in records if record.passed is passed] for passed in (True, False))
    return BundleRecord(tuple(shipped), tuple(rest), bundle.warnings(job.subject, records))


def _judge(job: Job, artefact: Artefact, error: str, reference: parity.Outputs, store: ClipStore) -> ParityRecord:
    """Turn what a step left into a parity record; what cannot even be compared has failed."""
    if error:
        return parity.not_written(artefact.file, error)
    try:
        return _compare(job, artefact, reference, store)
    except Exception as fault:  # of this program alone: a program that gives another shape must not cost the others
        return parity.not_written(artefact.file, f"cannot be compared: {type(fault).__name__}: {fault}")


def _compare(job: Job, artefact: Artefact, reference: parity.Outputs, store: ClipStore) -> ParityRecord:
    """Compare what a step predicted with PyTorch, and judge it."""
    folder, clips, config = job.folder / artefact.step, job.clips, job.config
    found = np.load(folder / PREDICTIONS, allow_pickle=False)
    count = len(clips.proven)
    wanted: parity.Outputs = reference[:count]
    to_fp32: DistanceToFp32 | None = None
    fp32_limit: float | None = None
    # Two gates for a quantised program: to its own graph, which shows faults of the runtime, and to fp32, which shows
    # those of the quantisation. One alone lets the other kind through.
    if artefact.against != FP32:
        to_fp32, fp32_limit = parity.compare_to_fp32(found[:count], wanted), config.int8_fp32_limit
        wanted = np.load(folder / GRAPH_PREDICTIONS, allow_pickle=False)

    # The CCC is that of the test songs, or of the proven clips where only these were predicted.
    songs = clips.test if len(found) == len(reference) else clips.proven
    rows = [clips.predicted.index(id_) for id_ in songs]
    record = ParityRecord(
        artefact.file,
        FAILED,  # until judged
        against=artefact.against,
        distance=parity.compare(found[:count], wanted),
        to_fp32=to_fp32,
        ccc=parity.ccc_change(found[rows], reference[rows], store.labels(songs), songs),
        facts=Facts.from_json(step_record(folder)),
    )
    return parity.judge(record, config.limit(artefact), config.ccc_drop_limit, fp32_limit)


def _where(job: Job, artefact: Artefact, store: ClipStore) -> str:
    """Say where along the graph an artefact leaves PyTorch, on the first golden clip."""
    from export import diverge, steps

    path, wave = job.folder / artefact.step / artefact.file, store.waveform(job.clips.golden[0])[None]
    try:
        return diverge.explain(artefact, path, steps.load_pipeline(job.config), wave)
    except Exception as error:  # a program bad enough to be red may break its reader, too; the gate's line matters more
        return f"where it diverges cannot be told: {type(error).__name__}: {error}"


def quality(found: parity.Outputs, truth: NDArray[Any], songs: Sequence[str], kind: str = RATINGS) -> dict[str, Any]:
    """Score predictions [N, 4] against labels [N, 2]: CCC and its interval, errors or metrics of signs, and coverage.

    kind: of the labels, of `pocketmood.label_kind`.
    """
    emotion, interval68 = (found[:, columns] for columns in parity.OUTPUTS.values())
    low, high = bootstrap(emotion, truth, songs)
    inside = {
        f"inside_{level}_{axis}": share
        for level, shares in songs_inside(emotion, interval68, truth).items()
        for axis, share in shares.items()
    }
    scores: dict[str, Any] = score(kind, emotion, truth)
    if has_signs(kind):
        for name, ends in signs.score_intervals(emotion, truth, songs).items():
            scores |= {f"{name}_low": ends.low, f"{name}_high": ends.high}
    return {"label_kind": kind, **scores, "ccc_mean_low": low, "ccc_mean_high": high, "songs": len(songs), **inside}
