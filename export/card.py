"""MODEL_CARD.md, from measured figures only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from export.contract import describe_labels

SYNTHETIC_WARNING = (
    "> **These labels are synthetic.** The music was rendered and rated by formulas, not by people. The figures below "
    "prove the toolchain; they say nothing about how well this model understands music.\n"
)


def card(about: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """Write the card of a bundle; `about` is what bundle.json says, `records` are the parity records."""
    spec, metrics, labels = about["spec"], about["metrics"], about["labels"]
    parameters = about.get("parameters")
    size = f", {parameters / 1e6:.2f} M parameters" if parameters else ""
    return "\n".join(
        [
            f"# {about['name']}: how music feels",
            "",
            *([SYNTHETIC_WARNING] if labels.get("synthetic") else []),
            f"A {spec['seconds']:g} s waveform in, valence and arousal in [-1, 1] out, each with an interval: the mean "
            f"rating of 68 % of songs lies within emotion +- interval68. {about['name']}{size}.",
            "",
            "## Use",
            f"- Input `{about['input']['name']}`: float32 `{about['input']['shape']}`, in [-1, 1], "
            f"{about['input']['unit']}. Nothing else is to be done outside: the spectrogram is part of the program.",
            f"- Outputs: `emotion` `[1, 2]` (valence, arousal), `interval68` `[1, 2]`: {about['outputs'][0]['unit']}.",
            "- Golden pairs are in `golden/` (raw little-endian float32): test any port against them.",
            "",
            "## Data",
            f"- Corpus: {labels.get('corpus') or 'unknown'}. Labels: {describe_labels(labels)}.",
            "- Split 70/15/15 by artist where known, else by song; all figures are of the test part.",
            "",
            f"## Quality on {metrics['songs']} test songs (fp32, whole clips)",
            "| | valence | arousal | mean |",
            "| --- | --- | --- | --- |",
            *(_metric(metrics, key, title) for key, title in _METRICS.items()),
            "",
            f"95 % interval of the mean CCC over songs: {metrics['ccc_mean_low']:.3f} to "
            f"{metrics['ccc_mean_high']:.3f}.",
            "",
            "## Programs",
            "| file | MB | largest error | against | limit | from fp32 | CCC drop [95 %] | verdict |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *(_program(record) for record in records),
            "",
            *(f"- `{record['artefact']}`: {record['reason']}." for record in records if record.get("reason")),
            *(
                f"- `{record['artefact']}`: {record['quantised_ops']} operators in int8 ({record['quantised']}), "
                f"{record['float_ops']} in float ({record['left_float']})."
                for record in records
                if "quantised_ops" in record
            ),
            "",
            "## Front end",
            f"{spec['sample_rate']} Hz mono, n_fft {spec['n_fft']}, hop {spec['hop']}, {spec['bands']} Slaney mel "
            f"bands from {spec['low_hz']:g} to {spec['high_hz']:g} Hz, {spec['low_db']:g} to {spec['high_db']:g} dB "
            f"mapped to [-1, 1]; the network sees every {about['stride']}. frame, {about['frames']} frames. "
            f"Hash `{about['spec_hash']}`.",
            "",
            "## Limits",
            f"- One answer per {spec['seconds']:g} s; shorter music must be repeated to that length, longer music cut.",
            "- It predicts what an average listener of the rated corpus reported, not what you feel.",
            "- Other genres, cultures and recording levels than the corpus's are untested.",
            "- Latency depends on the device: see the benchmarks of the run.",
            "",
            "## Licence",
            "The code is Apache-2.0. The weights inherit the terms of the music and ratings that they were trained on: "
            "look these up before you ship.",
            "",
        ]
    )


_METRICS = {
    "ccc": "CCC",
    "pearson": "Pearson r",
    "rmse": "RMSE",
    "range_ratio": "range ratio",
    "inside_68": "songs within 1 interval68",
    "inside_95": "songs within 1.96 interval68",
}


def _metric(metrics: Mapping[str, Any], key: str, title: str) -> str:
    values = " | ".join(f"{metrics[f'{key}_{axis}']:.3f}" for axis in ("valence", "arousal", "mean"))
    return f"| {title} | {values} |"


def _program(record: Mapping[str, Any]) -> str:
    drop = "not measured"
    if record.get("ccc_drop") is not None:
        drop = f"{record['ccc_drop']:+.4f} [{record['ccc_drop_low']:+.4f}, {record['ccc_drop_high']:+.4f}]"
    return (
        f"| `{record['artefact']}` | {record['size_bytes'] / 1e6:.2f} | {record['max_error']:.1e} | "
        f"{record['against']} | {record['limit']:.0e} | {record.get('fp32_max_error', record['max_error']):.1e} | "
        f"{drop} | {record['verdict']} |"
    )
