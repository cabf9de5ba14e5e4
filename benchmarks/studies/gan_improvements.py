"""Ablation of the generator: its quality score, with the improvements added one after the other.

`python -m benchmarks.studies.gan_improvements --run runs/demo` trains the demo preset's generator once per improvement
and seed, draws from it, and has the clips judged by the run's own ridge. Finished ones stay in RUN/gan_improvements, so
that the same command continues after a kill. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.machine import describe
from benchmarks.studies.result_files import RESULTS, markdown_table, parse_command, write_result
from benchmarks.table import number
from pocketmood import command
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from pocketmood.runs import Stage, file_hash
from teacher.gan.config import GanConfig
from teacher.presets import PRESETS

if TYPE_CHECKING:
    from teacher.gan.record import Candidate

LOSSES = ("generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake")
_DEMO = PRESETS["demo"].gan


@dataclass(frozen=True)
class GanImprovementsConfig:
    """Which run's songs to train on, and how often."""

    run: Path
    """Run folder with finished data and teacher stages."""
    epochs: int | None = None
    """Epochs of each training; as the demo preset if left out."""
    seeds: int = 1
    """Trainings per row."""
    out: Path = RESULTS / "gan-steps"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse to train nothing."""
        if self.seeds < 1:
            raise ConfigError(f"--seeds {self.seeds}: give at least 1")


class Variant(NamedTuple):
    """An improvement, and what it changes in the config of the one before."""

    name: str
    title: str
    change: dict[str, Any]


VARIANTS = (
    Variant(
        "plain",
        "transposed convolutions, nothing else",
        {"upsampling": "transpose", "band_bias": False, "instance_noise": 0.0, "feature_matching": 0.0},
    ),
    Variant("band-bias", "+ output bias per band from the data", {"band_bias": True}),
    Variant("resize", "+ resize, then convolve", {"upsampling": "resize"}),
    Variant("instance-noise", "+ instance noise", {"instance_noise": _DEMO.instance_noise}),
    Variant("feature-matching", "+ feature matching", {"feature_matching": _DEMO.feature_matching}),
)


def configs(base: GanConfig, variants: Sequence[Variant] = VARIANTS) -> list[GanConfig]:
    """Return the config of each variant: its change on top of all earlier ones."""
    found = []
    for variant in variants:
        base = replace(base, **variant.change)
        found.append(base)
    return found


def measure(
    run: RunFolder, base: GanConfig, synthetic: int, seeds: int = 1, variants: Sequence[Variant] = VARIANTS
) -> dict[str, Any]:
    """Train and judge each variant with each seed; returns rows of means over seeds, and the quality table's others.

    synthetic: clips to draw. Everything is compared with the same real training clips.
    """
    from pocketmood.training.device import keep_freed_memory
    from teacher.floor import Ridge

    keep_freed_memory()
    # It reads back which emotion a drawn clip has. By file: the teacher's stage need not be finished, nor of these
    # settings; its ridge is all that is read.
    ridge_file = run.ridge
    if not ridge_file.is_file():
        raise RunError(f"{ridge_file}: no ridge to read emotions back with; run: python -m teacher --run {run.path}")
    inputs = {"data": run.fingerprint("data"), "ridge": file_hash(ridge_file)}
    data = (run.store, run.split, Ridge.load(ridge_file))

    rows, records = [], []
    for variant, config in zip(variants, configs(base, variants), strict=True):
        found = []
        for seed in range(seeds):
            settings = {"gan": config, "seed": seed, "synthetic": synthetic}
            # A stage each: a training takes minutes, and whoever stops the command continues with the next one.
            stage = Stage(run.beside("gan_improvements"), f"{variant.name}-seed{seed}", settings, inputs)
            if not stage.up_to_date():
                print(f"gan_improvements: {variant.title}, seed {seed}", flush=True)
                with stage.work() as work:
                    stage.record |= judged(work, config, seed, synthetic, data)
            found.append(stage.record)
        rows.append({"name": variant.name, "title": variant.title, "change": variant.change, **mean_row(found)})
        records += found

    # Real clips and noise are the same for every variant, so that the first one's stand for all.
    references = [row for row in records[0]["table"] if row["candidate"] != "synthetic"]
    facts = {"songs": len(run.split.train), "seeds": seeds, "steps": records[0]["steps"], "synthetic": synthetic}
    return {"rows": rows, "references": references, **facts, "machine": describe()}


def judged(work: Path, config: GanConfig, seed: int, count: int, data: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Train, draw and judge one generator in a folder; data: store, split and ridge.

    "seconds" is None where the training was begun by an earlier call: nobody timed all of it.
    """
    from teacher.gan import quality, synthesis, train

    store, split, ridge = data
    # A folder that is there holds an earlier call's epochs, which nobody's clock has seen.
    begun = (work / "gan").exists()
    start = time.perf_counter()
    trained = train.train(store, split, config, work / "gan", seed)
    seconds = None if begun else time.perf_counter() - start
    labels = store.labels(split.train)
    synthetic = synthesis.draw_clips(work / "gan", labels, count, work / "synthetic", seed)
    verdict = quality.measure(store, split, synthetic, ridge, config, work)
    # A third of a megabyte per clip, drawn again in a second.
    shutil.rmtree(work / "synthetic")
    facts = {"seed": seed, "seconds": seconds, "steps": trained.generator_steps, "losses": trained.last_epoch}
    return {**facts, "table": [_flat(row) for row in verdict.table]}


def _flat(row: Candidate) -> dict[str, Any]:
    """Lay out a row of the quality table in one level, as the stored results have it."""
    values: dict[str, Any] = {"candidate": row.candidate, "clips": row.clips, "score": row.measures.score}
    for kind, measures in (("distance", row.measures.distance), ("similarity", row.measures.similarity)):
        values |= {f"{kind}_{name}": value for name, value in asdict(measures).items()}
    # Noise was asked for no emotion, so nothing could be read back of it.
    return values if row.conditioning_ccc is None else values | {"conditioning_ccc": row.conditioning_ccc}


def mean_row(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average what was found with several seeds; the score's lowest and highest beside its mean."""
    drawn = [next(row for row in record["table"] if row["candidate"] == "synthetic") for record in found]
    similarities = [name for name in drawn[0] if name.startswith("similarity_")]
    # Lowest and highest, not a deviation: that of two or three seeds would say nothing.
    scores = [row["score"] for row in drawn]
    row = {name: _mean([row[name] for row in drawn]) for name in ("score", *similarities, "conditioning_ccc")}
    row |= {name: _mean([record["losses"][name] for record in found]) for name in LOSSES}
    timed = [record["seconds"] for record in found if record["seconds"] is not None]
    return {**row, "score_low": min(scores), "score_high": max(scores), "seconds": _mean(timed) if timed else None}


def table(results: dict[str, Any]) -> str:
    """Lay out all rows as Markdown, the real and the noisy ones below the generators."""
    similarities = [name for name in results["rows"][0] if name.startswith("similarity_")]
    headings = ["clips", "score", "over seeds", *(name.removeprefix("similarity_") for name in similarities)]
    headings += ["read back", "s", "loss G", "loss D", "right on real", "right on synthetic"]
    lines = []
    for row in results["rows"] + [{**row, "title": row["candidate"]} for row in results["references"]]:
        # Real clips and noise are measured once, whatever the number of seeds.
        several = results["seeds"] > 1 and "score_low" in row
        span = f"{row['score_low']:.1f}..{row['score_high']:.1f}" if several else "-"
        cells = [number(row[name], 2) for name in similarities] + [number(row.get("conditioning_ccc"), 2)]
        cells += [number(row.get("seconds"), 0), *(number(row.get(name), 2) for name in LOSSES)]
        lines.append([row["title"], number(row["score"], 1), span, *cells])
    return markdown_table(headings, lines)


def caption(results: dict[str, Any]) -> str:
    """Say what the numbers are."""
    several = f"mean of {results['seeds']} seeds with the lowest and highest score"
    seeds = several if results["seeds"] > 1 else "one seed"
    return (
        f"Each row keeps the improvements of the rows above it. {results['songs']} training songs, generator "
        f"steps: {results['steps']}, {results['synthetic']} clips drawn, {seeds}. Score: 0 to 100, formula in "
        "`teacher/gan/quality.py`. Read back: mean CCC of the emotions asked for and those that the ridge floor reads. "
        "s: "
        f'training, on {results["machine"]["cpu"]} ({results["machine"]["cores"]} cores); "-" where it was '
        "interrupted. Losses and shares of right judgements: means of the last epoch."
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure and write both files."""
    return run(*parse_command(GanImprovementsConfig, "benchmarks.studies.gan_improvements", __doc__, args))


def run(
    config: GanImprovementsConfig,
    typed: str,
    base: GanConfig = _DEMO,
    synthetic: int = PRESETS["demo"].synthetic,
    variants: Sequence[Variant] = VARIANTS,
) -> int:
    """Measure and write both files; typed: the command; all behind it differ from the demo preset in tests only."""
    if config.epochs is not None:
        base = replace(base, epochs=config.epochs)
    results = measure(RunFolder(config.run), base, synthetic, config.seeds, variants)
    parts = [table(results), caption(results)]
    write_result(config.out, "What each improvement of the generator is worth", typed, results, parts)
    print("\n\n".join(parts), flush=True)
    return 0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    command.start(main)
