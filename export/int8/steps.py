"""The int8 parts of the export stage: one search, a quantised graph for ExecuTorch and CoreML, and one for ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.job import GRAPH_PREDICTIONS, SENSITIVITY, Job
from export.parity import OUTPUTS
from export.parity_record import Facts
from export.pipeline import Pipeline
from export.predict import Waves, in_torch, predict_clips
from export.record import SearchRecord
from pocketmood.data.clips import ClipStore
from pocketmood.metrics import score
from pocketmood.runs import write_json

RANGE_CLIPS = 16
"""Calibration clips that the search's ranges come from; the programs' own come from all of them."""
ROW_CLIPS = 32
"""Validation clips, at most, that every group is measured on alone; a choice is judged on all of them."""


def search(job: Job, pipeline: Pipeline, store: ClipStore, folder: Path, record: dict[str, Any]) -> None:
    """Measure what int8 costs group by group, choose, and keep the table as JSON."""
    from export.int8 import sensitivity
    from export.int8.search import limits_of
    from export.int8.search import search as choose
    from export.rewrite import for_xnnpack

    config, clips = job.config, job.clips
    network = sensitivity.Roundable(for_xnnpack(pipeline), _mels(pipeline, store, clips.calibration[:RANGE_CLIPS]))
    mels, labels = _mels(pipeline, store, clips.sensitivity), store.labels(clips.sensitivity)
    rows = sensitivity.measure(network, mels[:ROW_CLIPS], labels[:ROW_CLIPS])

    limits = limits_of(config.int8_drop, config.int8_limit, config.int8_fp32_limit)
    found = choose(network, rows, mels, labels, limits, config.int8_prefer)
    cost = found.cost
    print(sensitivity.table(rows, found.left), flush=True)
    print(
        f"  int8 leaves {len(found.left)} of {len(rows)} groups in float: CCC drop {cost.ccc_drop:+.4f} and error "
        f"{cost.max_error:.1e} on {len(mels)} validation clips, expected drift {cost.drift:.1e}",
        flush=True,
    )

    record |= asdict(SearchRecord(**cost._asdict(), trials=found.trials))
    write_json(
        folder / SENSITIVITY,
        {
            "clips": len(mels),
            "row_clips": min(len(mels), ROW_CLIPS),
            "limits": limits._asdict(),
            "cost": cost._asdict(),
            "left": found.left,
            "groups": [row._asdict() for row in rows],
        },
    )


def graph(job: Job, pipeline: Pipeline, store: ClipStore, folder: Path) -> tuple[torch.nn.Module, Facts]:
    """Quantise a rewritten pipeline, finish it where that is asked for and worth it; keep the graph's predictions."""
    from export.int8.quantise import quantise

    left = job.left_in_float()
    int8 = quantise(pipeline, Waves(store, job.clips.calibration), left)
    facts = Facts()
    if job.config.qat_steps:
        from export.int8.qat import improve

        split = job.run.split
        labels = store.labels(split.validation)

        def rate(module: torch.nn.Module) -> float:
            found = predict_clips(in_torch(module), store, split.validation)
            return score(found[:, OUTPUTS["emotion"]], labels)["ccc_mean"]

        int8, facts = improve(pipeline, int8, Waves(store, split.train), rate, job.config.qat_steps, left)

    # What the runtime is held to: its own graph in float, where only the runtime's rounding differs.
    np.save(folder / GRAPH_PREDICTIONS, predict_clips(in_torch(int8.module), store, job.clips.proven))
    return int8.module, facts | _facts(job, int8.quantised, int8.left_float, left)


def for_onnx(job: Job, pipeline: Pipeline, path: Path, store: ClipStore) -> Facts:
    """Write the int8 program for ONNX Runtime; keep what its graph predicts as it is written, with nothing fused."""
    from export.onnx import quantise, to_onnx
    from export.rewrite import for_onnx as rewrite

    source, left = path.with_suffix(".source"), job.left_in_float()
    facts = to_onnx.write(rewrite(pipeline), source, job.contract)
    waves = (store.waveform(id_)[None] for id_ in job.clips.calibration)
    int8 = quantise.write(source, path, waves, left, job.contract)
    source.unlink()

    as_written = to_onnx.read(path, as_written=True)
    np.save(path.parent / GRAPH_PREDICTIONS, predict_clips(as_written, store, job.clips.proven))
    return facts | _facts(job, int8.quantised, int8.left_float, left)


def _mels(pipeline: Pipeline, store: ClipStore, ids: tuple[str, ...]) -> Tensor:
    """Return the spectrograms [N, 1, M, T] of clips."""
    with torch.inference_mode():
        return torch.cat([pipeline.front(wave) for wave in Waves(store, ids)])


def _facts(job: Job, quantised: Mapping[str, int], left_float: Mapping[str, int], left: Mapping[str, str]) -> Facts:
    return Facts(
        quantised_ops=sum(quantised.values()),
        float_ops=sum(left_float.values()),
        quantised=_counts_in_words(quantised),
        left_float=_counts_in_words(left_float),
        left_groups=dict(left),
        calibration_clips=len(job.clips.calibration),
    )


def _counts_in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
