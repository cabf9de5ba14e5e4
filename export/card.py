"""The model card, MODEL_CARD.md, from measured figures only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from export import corpora
from export.contract import Labels, interval_of
from export.parity import drop_in_words
from export.parity_record import ParityRecord
from pocketmood.label_kind import IN_WORDS, QUADRANTS, RATINGS, TAGS, ccc_name, has_signs


def card(about: Mapping[str, Any], records: Sequence[ParityRecord]) -> str:
    """Write the card of a bundle; `about` is what bundle.json says, the records are those of its programs."""
    return "\n".join(
        [
            *_summary(about),
            *_data(about),
            *_quality(about["metrics"]),
            *corpora.card_scores(about["metrics"].get("by_corpus", ())),
            *_programs(records, about.get("left_out", {})),
            *_front_end(about),
            "## Limits",
            f"- One prediction per {about['spec']['seconds']:g} s; shorter music must be repeated to that length, "
            "longer music cut.",
            *_what_it_predicts(about["metrics"]["label_kind"]),
            "- Other genres, cultures and recording levels than the corpus's are untested.",
            "- Latency depends on the device: see the benchmarks of the run.",
            "",
            "## Licence",
            "The code is Apache-2.0. The weights inherit the terms of the music and ratings that they were trained on, "
            "which stand above under Data: look them up before you ship.",
            "",
        ]
    )


def _summary(about: Mapping[str, Any]) -> list[str]:
    spec, input_, parameters = about["spec"], about["input"], about.get("parameters")
    size = f", {parameters / 1e6:.2f} M parameters" if parameters else ""
    return [
        f"# {about['name']}: how music feels",
        "",
        *_warnings(about.get("warnings", ())),
        f"A {spec['seconds']:g} s waveform in, valence and arousal in [-1, 1] out, each with interval68: "
        f"{interval_of(about['metrics']['label_kind'])}. {about['name']}{size}.",
        "",
        "## Use",
        f"- Input `{input_['name']}`: float32 `{input_['shape']}`, in [-1, 1], {input_['unit']}. Nothing else is to be "
        "done outside: the spectrogram is part of the program.",
        f"- Outputs: `emotion` `[1, 2]` (valence, arousal), `interval68` `[1, 2]`: {about['outputs'][0]['unit']}.",
        "- Golden pairs are in `golden/` (raw little-endian float32): test any port against them.",
        "",
    ]


def _warnings(sentences: Sequence[str]) -> list[str]:
    """Quote what a reader must know before the first figure."""
    return ["> **Read this first:**", *(f"> - {sentence}" for sentence in sentences), ""] if sentences else []


def _data(about: Mapping[str, Any]) -> list[str]:
    labels = Labels(**about["labels"])
    return [
        "## Data",
        f"- Corpus: {labels.corpus or 'unknown'}. Labels: {labels.sentence()}.",
        *corpora.card_lines(about["corpora"]),
        *([] if about["deviations_known"] else [f"- Widths: {corpora.NO_DEVIATIONS}."]),
        "- Split into training, validation and test songs, by artist where known; all figures are of the test songs.",
        "",
    ]


def _quality(metrics: Mapping[str, Any]) -> list[str]:
    kind = metrics["label_kind"]
    # Of signs there is no error to tell: nobody gave a number that a prediction could miss.
    titles = {key: title for key, title in _METRICS.items() if f"{key}_mean" in metrics}
    return [
        f"## Quality on {metrics['songs']} test songs (fp32, whole clips)",
        "| | valence | arousal | mean |",
        "| --- | --- | --- | --- |",
        *_sign_rows(metrics),
        *(_metric(metrics, key, title) for key, title in titles.items()),
        "",
        f"Labels: {IN_WORDS[kind]}. In brackets 95 % intervals over songs." if has_signs(kind) else "",
        f"95 % interval over songs of the mean of {ccc_name(kind)}: {metrics['ccc_mean_low']:.3f} to "
        f"{metrics['ccc_mean_high']:.3f}.",
        "",
    ]


def _programs(records: Sequence[ParityRecord], left_out: Mapping[str, str]) -> list[str]:
    return [
        "## Programs",
        "| file | MB | largest error | against | limit | from fp32 | CCC drop [95 %] | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_program(record) for record in records),
        "",
        *(f"- `{name}` was left out: {reason}." for name, reason in left_out.items()),
        *(f"- `{record.artefact}`: {record.reason}." for record in records if record.reason),
        *(_in_int8(record) for record in records if record.facts.quantised_ops is not None),
        "",
    ]


def _front_end(about: Mapping[str, Any]) -> list[str]:
    spec = about["spec"]
    return [
        "## Front end",
        f"{spec['sample_rate']} Hz mono, n_fft {spec['n_fft']}, hop {spec['hop']}, {spec['bands']} Slaney mel bands "
        f"from {spec['low_hz']:g} to {spec['high_hz']:g} Hz, {spec['low_db']:g} to {spec['high_db']:g} dB mapped to "
        f"[-1, 1]; the network sees every {about['stride']}. frame, {about['frames']} frames. "
        f"Hash `{about['spec_hash']}`.",
        "",
    ]


_METRICS = {
    "ccc": "CCC",
    "pearson": "Pearson r",
    "rmse": "RMSE",
    "range_ratio": "range ratio",
    "inside_68": "songs within 1 interval68",
    "inside_95": "songs within 1.96 interval68",
}


def _what_it_predicts(kind: str) -> list[str]:
    sentences = {
        RATINGS: "- It predicts what an average listener of the rated corpus reported, not what you feel.",
        QUADRANTS: f"- It learnt {TAGS}: on which side of the plane a song lies. How far out a prediction lies tells "
        "how sure it is, not how strong the feeling.",
    }
    # A mixed run learnt both, and a reader cannot tell which of them a prediction comes from.
    return [sentences[kind]] if kind in sentences else list(sentences.values())


def _sign_rows(metrics: Mapping[str, Any]) -> list[str]:
    """Lay out what labels of two signs can tell, each with its interval; nothing where labels are ratings."""
    if not has_signs(metrics["label_kind"]):
        return []

    def with_ends(name: str) -> str:
        return f"{metrics[name]:.3f} ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})"

    return [
        f"| AUC of the sign | {with_ends('auc_valence')} | {with_ends('auc_arousal')} | |",
        f"| share in the right quadrant | | | {with_ends('quadrant_accuracy')} |",
    ]


def _metric(metrics: Mapping[str, Any], key: str, title: str) -> str:
    title = title.replace("CCC", ccc_name(metrics["label_kind"]))
    values = " | ".join(f"{metrics[f'{key}_{axis}']:.3f}" for axis in ("valence", "arousal", "mean"))
    return f"| {title} | {values} |"


def _program(record: ParityRecord) -> str:
    distance, gates, size = record.distance, record.gates, record.facts.size_bytes
    # Only green records reach a card, and a green one has been run, judged and weighed.
    assert distance is not None and gates is not None and size is not None
    return (
        f"| `{record.artefact}` | {size / 1e6:.2f} | {distance.max_error:.1e} | {record.against} | "
        f"{gates.limit:.0e} | {record.fp32_max_error:.1e} | {drop_in_words(record.ccc, 'not measured')} | "
        f"{record.verdict_in_words} |"
    )


def _in_int8(record: ParityRecord) -> str:
    facts = record.facts
    return (
        f"- `{record.artefact}`: {facts.quantised_ops} operators in int8 ({facts.quantised}), "
        f"{facts.float_ops} in float ({facts.left_float})."
    )
