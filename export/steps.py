"""The steps of the export stage: PyTorch's reference predictions, then one step per artefact, each a nested stage.

A step writes its artefact, reads it back from disk as a user would, predicts with it, and leaves `predictions.npy` and
a record. Steps know nothing of each other, so they run in any order and in several processes, and a failing one stops
no other.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export.config import ARTEFACTS, OWN_WEIGHTS, Artefact, ExportConfig
from export.contract import Contract
from export.int8 import steps as int8_steps
from export.job import GRAPH_PREDICTIONS, MEL, PREDICTIONS, REFERENCE, SEARCH, Job, student_folder
from export.parity_record import Facts
from export.pipeline import Pipeline, build
from export.predict import in_torch, predict_clips
from pocketmood.data.clips import ClipStore
from pocketmood.errors import ExportError, PocketmoodError
from pocketmood.programs import Program


def run(job: Job, step: str) -> str:
    """Make one step unless it is there; return "" or why it failed, so that the others go on."""
    stage, start = job.stage(step), time.perf_counter()
    if stage.up_to_date(quiet=True):
        print(f"  {step}: done before", flush=True)
        return ""

    # Two warnings per import come from torchao's enums, none of them ours to act on.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    # Each process would else take all cores, and two of them would get in each other's way.
    torch.set_num_threads(max(1, _threads_at_first() // max(1, job.config.processes)))
    try:
        with stage.work() as folder:
            if step == REFERENCE:
                _reference(job, folder)
            elif step == SEARCH:
                int8_steps.search(job, load_pipeline(job.config), job.store(), folder, stage.record)
            else:
                artefact = next(artefact for artefact in ARTEFACTS if artefact.step == step)
                stage.record |= _artefact(job, artefact, folder).to_json()
    except KeyboardInterrupt:
        raise
    except Exception as error:  # exporters raise anything; whatever it is must not stop the other formats
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        reason = reason if isinstance(error, PocketmoodError) else f"{type(error).__name__}: {reason}"
        print(f"  {step}: FAILED after {time.perf_counter() - start:.0f} s: {reason}", flush=True)
        return reason

    print(f"  {step}: {time.perf_counter() - start:.0f} s", flush=True)
    return ""


@cache
def _threads_at_first() -> int:
    """Return how many threads torch had before any step: a process that makes several must not halve them each time."""
    return torch.get_num_threads()


def load_pipeline(config: ExportConfig) -> Pipeline:
    """Join the front end with the student that is to be exported."""
    from student.mobilevit import load_student

    student, _ = load_student(student_folder(config))
    return build(student, student.spec, student.stride, student.frames)


def _reference(job: Job, folder: Path) -> None:
    """Predict all clips in PyTorch with the unchanged network; keep the spectrogram of the first golden one."""
    pipeline, store = load_pipeline(job.config), job.store()
    np.save(folder / PREDICTIONS, predict_clips(in_torch(pipeline), store, job.clips.predicted))
    with torch.inference_mode():
        mel = pipeline.front(torch.from_numpy(store.waveform(job.clips.golden[0])[None]))
    np.save(folder / MEL, mel[0, 0].numpy())


def _artefact(job: Job, artefact: Artefact, folder: Path) -> Facts:
    """Write one artefact, read it back, and predict with it."""
    make = {"onnx": _onnx, "coreml": _coreml, "executorch": _executorch}[artefact.format]
    path, store = folder / artefact.file, job.store()
    start = time.perf_counter()
    program, facts = make(job, artefact, load_pipeline(job.config), path, store)
    facts |= Facts(size_bytes=_size(path), write_s=round(time.perf_counter() - start, 1))

    # CoreML's evaluator knows every operator of the programs but is no fast runtime: the proven clips are enough.
    ids = job.clips.proven if artefact.format == "coreml" else job.clips.predicted
    np.save(folder / PREDICTIONS, predict_clips(program, store, ids))
    return facts


def _onnx(job: Job, artefact: Artefact, pipeline: Pipeline, path: Path, store: ClipStore) -> tuple[Program, Facts]:
    from export.onnx import to_onnx
    from export.rewrite import for_onnx

    if artefact.precision == "int8":
        facts = int8_steps.for_onnx(job, pipeline, path, store)
    else:
        facts = to_onnx.write(for_onnx(pipeline), path, job.contract)
    require_contract(job.contract, to_onnx.read_contract(path), path.name)
    return to_onnx.read(path), facts


def _coreml(job: Job, artefact: Artefact, pipeline: Pipeline, path: Path, store: ClipStore) -> tuple[Program, Facts]:
    from export.coreml import mil, to_coreml
    from export.coreml.compress import with_own_weights
    from export.rewrite import for_coreml

    rewritten = for_coreml(pipeline)
    module: torch.nn.Module = rewritten
    facts = Facts(caveat="the saved program was run by export/coreml/mil.py; Apple's own kernels were not (they need a "
                         "Mac)")  # fmt: skip
    if artefact.precision == "w8a8":
        module, quantised = int8_steps.graph(job, rewritten, store, path.parent)
        facts |= quantised
    to_coreml.write(module, pipeline.spec.samples, path, job.contract, artefact.precision)

    program, contract = to_coreml.read_program(path)
    # The metadata holds coremltools' own entries, too.
    require_contract(job.contract, {name: contract.get(name) for name in job.contract}, path.name)
    facts |= mil.describe(program)
    if artefact.against == OWN_WEIGHTS:
        # PyTorch with the very weights that the package stores repeats it to the last bits; to fp32, compression is
        # a hundred times larger than any fault that this shows.
        twin, count = with_own_weights(rewritten, program, artefact.precision)
        facts |= Facts(compressed_tensors=count)
        np.save(path.parent / GRAPH_PREDICTIONS, predict_clips(in_torch(twin), store, job.clips.proven))
    return mil.evaluator(program), facts


def _executorch(
    job: Job, artefact: Artefact, pipeline: Pipeline, path: Path, store: ClipStore
) -> tuple[Program, Facts]:
    from export.executorch import to_executorch
    from export.rewrite import for_xnnpack

    module: torch.nn.Module = for_xnnpack(pipeline)
    facts = Facts()
    if artefact.precision == "int8":
        module, facts = int8_steps.graph(job, for_xnnpack(pipeline), store, path.parent)
    facts |= to_executorch.write(module, (1, pipeline.spec.samples), path, job.contract)
    require_contract(job.contract, to_executorch.read_contract(path), path.name)
    return to_executorch.read(path), facts


def require_contract(promise: Contract, found: dict[str, Any], name: str) -> None:
    """Refuse an artefact that does not say of itself what it should."""
    # As text, because ONNX and CoreML keep metadata as strings.
    wrong = [key for key, value in promise.items() if str(found.get(key)) != str(value)]
    if wrong:
        raise ExportError(f"{name}: its own contract is wrong in {', '.join(wrong)} (found {found})")


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a package."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
