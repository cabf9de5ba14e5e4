"""The export stage: choose clips, run the steps in processes, judge, and make a bundle if all gates are green."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from export import bundle, parity
from export.config import FP32, Artefact, ExportConfig
from export.contract import contract
from export.job import ANSWERS, GRAPH_ANSWERS, REFERENCE, SEARCH, Clips, Job
from pocketmood.calibration import songs_inside
from pocketmood.data.clips import ClipStore
from pocketmood.data.split import Split
from pocketmood.errors import ExportError, RunError
from pocketmood.metrics import bootstrap, score
from pocketmood.processes import end_with_parent
from pocketmood.runs import Stage, file_hash, read_json, stage_fingerprint, stage_record, write_json
from pocketmood.spec import MelSpec

STEPS = "steps"


def run(config: ExportConfig) -> int:
    """Make `RUN/bundle`, or say that it is up to date; return 1 where a gate is red, and leave no bundle then."""
    data = config.run / "data"
    inputs = {"data": stage_fingerprint(data, "make data"), "student": student_fingerprint(config)}
    command = f"python -m export --run {config.run}"
    stage = Stage(config.run, "bundle", config.shaping(), inputs, command)
    if stage.up_to_date():
        return 0
    red: list[str] = []
    try:
        with stage.work() as folder:
            records = _make(config, folder, inputs)
            print(parity.table(records), flush=True)
            red = parity.failures(records)
            red += [f"{one['artefact']} {one['diverges']}" for one in records if "diverges" in one]
            if red:
                raise ExportError("red gates")  # keeps the work folder unfinished
            stage.record |= {"parity": records, "warnings": []}
            shutil.rmtree(folder / STEPS)
    except ExportError:
        if not red:
            raise
        print("error: not all artefacts may ship, so there is no new bundle:",
              *red, f"records: {stage.part / 'parity.json'}", sep="\n  ", file=sys.stderr)  # fmt: skip
        return 1
    print(f"bundle: {stage.folder}", flush=True)
    return 0


def student_fingerprint(config: ExportConfig) -> str:
    """Identify the student: by its stage, or by its files where it comes from elsewhere."""
    if config.checkpoint is None:
        return stage_fingerprint(config.run / "student", f"python -m student --run {config.run}")
    files = [config.student_folder / name for name in ("model.safetensors", "config.json")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise RunError(
            f"{config.student_folder}: no {' and no '.join(missing)} here; --checkpoint takes the weights of a student "
            "that `python -m student` trained"
        )
    return "".join(file_hash(file)[:16] for file in files)


def choose(config: ExportConfig, split: Split) -> Clips:
    """Choose clips evenly over the sorted ids, so that the same split gives the same clips."""
    golden = spread_over(split.test, config.golden)
    others = [id_ for id_ in (*split.test, *split.validation) if id_ not in golden]
    calibration = spread_over(split.train, config.calibration)
    sensitivity = spread_over(split.validation, config.sensitivity)
    return Clips(golden, spread_over(others, config.held_out), tuple(split.test), calibration, sensitivity)


def spread_over(ids: Sequence[str], count: int) -> tuple[str, ...]:
    """Pick up to `count` of the ids at even distances."""
    if len(ids) <= count:
        return tuple(ids)
    return tuple(ids[int(place)] for place in np.linspace(0, len(ids) - 1, count).round())


def _make(config: ExportConfig, folder: Path, inputs: Mapping[str, str]) -> list[parity.Record]:
    """Run the steps, judge them, and fill the bundle's folder."""
    data = config.run / "data"
    split = Split.load(data / "split.json")
    said = read_json(config.student_folder / "config.json")
    spec = MelSpec.from_dict(said["spec"])
    record = stage_record(data, "make data")["record"]
    labels = {
        "set": record.get("label_set"),
        "fix": record.get("label_fix"),
        "synthetic": bool(record.get("synthetic_labels")),
        "corpus": record.get("corpus"),
    }
    promise = contract(spec, said["stride"], said["frames"], labels)
    clips = choose(config, split)
    job = Job(config, folder / STEPS, clips, promise, dict(inputs))
    store = job.store()
    job.folder.mkdir(exist_ok=True)
    print(
        f"export: {said['name']}, {len(config.artefacts)} programs, proven on {len(clips.proven)} clips, "
        f"CCC on {len(clips.test)} test songs",
        flush=True,
    )
    errors = _run_steps(job, config)
    reference = np.load(job.folder / REFERENCE / ANSWERS, allow_pickle=False)
    records = [_judge(config, job, one, errors[one.step], reference, store) for one in config.artefacts]
    if worst := parity.worst(records):
        artefact = next(one for one in config.artefacts if one.file == worst)
        records[config.artefacts.index(artefact)]["diverges"] = _where(job, artefact, store)
    write_json(folder / "parity.json", records)
    if not parity.failures(records):
        rows = [clips.answered.index(id_) for id_ in clips.test]
        metrics = _metrics(reference[rows], store.labels(clips.test), clips.test)
        bundle.write(folder, job.folder, config.artefacts, store, clips.golden, said, labels, metrics, records)
    return records


def _run_steps(job: Job, config: ExportConfig) -> dict[str, str]:
    """Run PyTorch's step, the search and one per artefact; return why each failed, "" where it did not."""
    needs: dict[str, tuple[str, ...]] = {one.step: (SEARCH,) if one.is_searched else () for one in config.artefacts}
    if any(needs.values()):
        needs = {SEARCH: (), **needs}
    errors = _in_order(job, {**needs, REFERENCE: ()}, config.processes)
    if errors[REFERENCE]:
        raise ExportError(f"the student itself does not run in PyTorch: {errors[REFERENCE]}")
    return errors


def _in_order(job: Job, needs: Mapping[str, Sequence[str]], processes: int) -> dict[str, str]:
    """Run steps, each as soon as those that it needs are done and a process is free.

    A step whose needs failed fails with their reason, untried.
    """
    waiting, errors, running = list(needs), dict[str, str](), dict[Future[str], str]()
    with _workers(processes) as pool:
        while waiting or running:
            for step in [one for one in waiting if all(need in errors for need in needs[one])]:
                failed = [need for need in needs[step] if errors[need]]
                if failed:
                    errors[step] = f"{failed[0]} failed: {errors[failed[0]]}"
                elif len(running) < processes:
                    running[pool.submit(run_step, job, step)] = step
                else:
                    continue
                waiting.remove(step)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                errors[running.pop(future)] = _outcome(future)
    return errors


def run_step(job: Job, step: str) -> str:
    """Make one step unless it is there; return "" or why it failed. The process that calls it is the one with torch."""
    from export import steps

    return steps.run(job, step)


def _outcome(future: Future[str]) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        return "its process died, most likely for want of memory; try --processes 1"


def _workers(processes: int) -> Executor:
    """Return fresh processes, or this one where one is asked for.

    Forked ones would save importing torch again, but took several times as long to lower a program (250 to 280 s, on a
    busy machine; page faults are suspected).
    """
    if processes == 1:
        return InlineExecutor()
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=end_with_parent)


class InlineExecutor(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it, and return what it returned."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def _judge(
    config: ExportConfig, job: Job, artefact: Artefact, error: str, reference: parity.Answers, store: ClipStore
) -> parity.Record:
    """Turn what a step left into a parity record."""
    if error:
        return parity.not_written(artefact.file, error)
    folder, clips = job.folder / artefact.step, job.clips
    answers = np.load(folder / ANSWERS, allow_pickle=False)
    proven = len(clips.proven)
    wanted, fp32_limit = reference[:proven], None
    facts = read_json(folder / "stage.json")["record"]
    if artefact.against != FP32:
        to_fp32 = parity.compare(answers[:proven], wanted)
        names = ("max_error", "emotion_mean_error", "emotion_signed_error", "emotion_sqnr_db")
        facts |= {f"fp32_{name}": to_fp32[name] for name in names}
        wanted, fp32_limit = np.load(folder / GRAPH_ANSWERS, allow_pickle=False), config.int8_fp32_limit
    record = {"artefact": artefact.file, "against": artefact.against}
    record |= parity.compare(answers[:proven], wanted) | facts
    # The CCC is that of the test songs, or of the proven clips where only these were answered.
    songs = clips.test if len(answers) == len(reference) else clips.proven
    rows = [clips.answered.index(id_) for id_ in songs]
    record |= parity.ccc_change(answers[rows], reference[rows], store.labels(songs), songs)
    return parity.judge(record, config.limit(artefact), config.ccc_drop_limit, fp32_limit)


def _where(job: Job, artefact: Artefact, store: ClipStore) -> str:
    """Say where along the graph an artefact leaves PyTorch, on the first golden clip."""
    from export import diverge, steps

    path, wave = job.folder / artefact.step / artefact.file, store.waveform(job.clips.golden[0])[None]
    try:
        return diverge.explain(artefact, path, steps.load_pipeline(job.config), wave)
    except Exception as error:  # a program bad enough to be red may break its reader, too; the gate's line matters more
        return f"where it diverges cannot be told: {type(error).__name__}: {error}"


def _metrics(answers: Any, truth: Any, songs: Sequence[str]) -> dict[str, Any]:
    """Score answers [N, 4], emotion before interval68, against the ratings' means [N, 2]."""
    emotion, interval68 = (answers[:, columns] for columns in parity.OUTPUTS.values())
    low, high = bootstrap(emotion, truth, songs)
    inside = {
        f"inside_{level}_{axis}": share
        for level, shares in songs_inside(emotion, interval68, truth).items()
        for axis, share in shares.items()
    }
    return {**score(emotion, truth), "ccc_mean_low": low, "ccc_mean_high": high, "songs": len(songs), **inside}
