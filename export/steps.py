"""The steps of the export stage: PyTorch's own answers, then one step per artefact, each a nested stage.

A step writes its artefact, reads it back from disk as a user would, lets it answer, and leaves `answers.npy` and a
record. Steps know nothing of each other, so they run in any order and in several processes, and a failing one stops no
other.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.config import ARTEFACTS, OWN_WEIGHTS, Artefact, ExportConfig
from export.contract import Contract
from export.int8 import steps
from export.job import ANSWERS, GRAPH_ANSWERS, MEL, REFERENCE, SEARCH, Job
from export.onnx.to_onnx import Runner
from export.pipeline import Pipeline, build
from export.predict import answer, in_torch
from pocketmood.data.clips import ClipStore
from pocketmood.errors import ExportError, PocketmoodError


def run(job: Job, step: str) -> str:
    """Make one step unless it is there; return "" or why it failed, so that the others go on."""
    stage, start = job.stage(step), time.perf_counter()
    if stage.up_to_date(quiet=True):
        print(f"  {step}: done before", flush=True)
        return ""
    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    torch.set_num_threads(max(1, torch.get_num_threads() // job.config.processes))
    try:
        with stage.work() as folder:
            if step == REFERENCE:
                _reference(job, folder)
            elif step == SEARCH:
                _search(job, folder, stage.record)
            else:
                _artefact(job, next(one for one in ARTEFACTS if one.step == step), folder, stage.record)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # exporters raise anything; whatever it is must not stop the other formats
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        reason = reason if isinstance(error, PocketmoodError) else f"{type(error).__name__}: {reason}"
        print(f"  {step}: FAILED after {time.perf_counter() - start:.0f} s: {reason}", flush=True)
        return reason
    print(f"  {step}: {time.perf_counter() - start:.0f} s", flush=True)
    return ""


def load_pipeline(config: ExportConfig) -> Pipeline:
    """Join the front end with the student that is to be exported."""
    from student.mobilevit import load_student

    student, _ = load_student(config.student_folder)
    return build(student, student.spec, student.stride, student.frames)


def _reference(job: Job, folder: Path) -> None:
    """Answer in PyTorch, unchanged network, for all clips; keep the spectrogram of the first golden one."""
    pipeline, store = load_pipeline(job.config), job.store()
    np.save(folder / ANSWERS, answer(in_torch(pipeline), store, job.clips.answered))
    with torch.inference_mode():
        mel = pipeline.front(torch.from_numpy(store.waveform(job.clips.golden[0])[None]))
    np.save(folder / MEL, mel[0, 0].numpy())


def _search(job: Job, folder: Path, record: dict[str, Any]) -> None:
    """Find out what may be int8, for all int8 programs."""
    store = job.store()
    steps.search(job, load_pipeline(job.config), store, folder, record)


def _artefact(job: Job, artefact: Artefact, folder: Path, record: dict[str, Any]) -> None:
    """Write one artefact, read it back, and let it answer."""
    pipeline, store = load_pipeline(job.config), job.store()
    path = folder / artefact.file
    start = time.perf_counter()
    ids = job.clips.answered
    if artefact.format == "onnx":
        run, facts = _onnx(job, artefact, pipeline, path, store, folder)
    elif artefact.format == "coreml":
        # The evaluator knows every operator of the programs but is no fast runtime: the proven clips are enough.
        run, facts = _coreml(job, artefact, pipeline, path, store, folder)
        ids = job.clips.proven
    else:
        run, facts = _executorch(job, artefact, pipeline, path, store, folder)
    record |= facts | {"size_bytes": _size(path), "write_s": round(time.perf_counter() - start, 1)}
    np.save(folder / ANSWERS, answer(run, store, ids))


def _onnx(
    job: Job, artefact: Artefact, pipeline: Pipeline, path: Path, store: ClipStore, folder: Path
) -> tuple[Runner, dict[str, Any]]:
    from export.onnx import to_onnx
    from export.rewrite import for_onnx

    if artefact.precision == "int8":
        facts = steps.for_onnx(job, pipeline, path, store, folder)
    else:
        facts = to_onnx.write(for_onnx(pipeline), path, job.contract)
    require_contract(job.contract, to_onnx.read_contract(path), path.name)
    return to_onnx.read(path), facts


def _coreml(
    job: Job, artefact: Artefact, pipeline: Pipeline, path: Path, store: ClipStore, folder: Path
) -> tuple[Runner, dict[str, Any]]:
    from export.coreml import mil, to_coreml
    from export.coreml.compress import with_own_weights
    from export.rewrite import for_coreml

    rewritten = for_coreml(pipeline)
    module: torch.nn.Module = rewritten
    facts: dict[str, Any] = {}
    if artefact.precision == "w8a8":
        module, facts = steps.graph(job, rewritten, store, folder)
    to_coreml.write(module, pipeline.spec.samples, path, job.contract, artefact.precision)
    program, contract = to_coreml.read_program(path)
    require_contract(job.contract, {name: contract.get(name) for name in job.contract}, path.name)
    facts |= mil.describe(program)
    if artefact.against == OWN_WEIGHTS:
        twin, facts["compressed_tensors"] = with_own_weights(rewritten, program, artefact.precision)
        np.save(folder / GRAPH_ANSWERS, answer(in_torch(twin), store, job.clips.proven))
    facts["reason"] = (
        "the saved program was run by export/coreml/mil.py; Apple's own kernels were not (they need a Mac)"
    )
    return mil.evaluator(program), facts


def _executorch(
    job: Job, artefact: Artefact, pipeline: Pipeline, path: Path, store: ClipStore, folder: Path
) -> tuple[Runner, dict[str, Any]]:
    from export.executorch import to_executorch
    from export.rewrite import for_xnnpack

    module: torch.nn.Module = for_xnnpack(pipeline)
    facts: dict[str, Any] = {}
    if artefact.precision == "int8":
        module, facts = steps.graph(job, for_xnnpack(pipeline), store, folder)
    facts |= to_executorch.write(module, (1, pipeline.spec.samples), path, job.contract)
    require_contract(job.contract, to_executorch.read_contract(path), path.name)
    return to_executorch.read(path), facts


def require_contract(promise: Contract, found: dict[str, Any], name: str) -> None:
    """Refuse an artefact that does not say of itself what it should."""
    wrong = [key for key, value in promise.items() if str(found.get(key)) != str(value)]
    if wrong:
        raise ExportError(f"{name}: its own contract is wrong in {', '.join(wrong)} (found {found})")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
