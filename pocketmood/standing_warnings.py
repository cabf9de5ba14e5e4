"""Warnings that stay: what a reader of any figure of a run must know, told by every stage, page, card and bundle.

This is the one list of what there is to warn of. A stage keeps those that it finds in its stage.json (`warnings`);
`RunFolder.warnings` gathers them, and whoever shows figures shows them all. A sentence begins with its stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pocketmood.label_kind import RATINGS, TAGS, has_signs


def of_labels(
    synthetic: bool, label_fix: str, audit: str = "", corpus: str = "", kind: str = RATINGS
) -> tuple[str, ...]:
    """Warn of labels that are no ratings, that a formula made, whose columns were exchanged or look exchanged.

    audit: the verdict of the label audit, in a sentence. corpus: whose labels these are, where a run has several.
    kind: of the labels, of `pocketmood.label_kind`.
    """
    found = []
    start = f"data: {corpus}: " if corpus else "data: "
    if synthetic:
        found.append(
            f"{start}synthetic labels on rendered music: a formula with simulated raters made them, not people, so "
            "figures prove the toolchain, not the taste of the model"
        )
    if has_signs(kind):
        found.append(
            f"{start}{TAGS}: only the quadrant of a song is known, so AUC and accuracy of the quadrant count; "
            "its targets are +-.5, and a CCC is one of signs"
        )
    if label_fix != "none":
        found.append(f"{start}valence and arousal were exchanged by --label-fix {label_fix}. {audit}".rstrip())
    elif "swapped" in audit:
        found.append(f"{start}{audit}")
    return tuple(found)


def of_random_start(stage: str, network: str, reason: str = "") -> str:
    """Warn of a network that began with random weights where published ones exist."""
    return f"{stage}: {network} started from RANDOM weights{f' ({reason})' if reason else ''}"


MUSICNN_LICENCE = (
    'the package of its weights says ISC for "this software" and does not mention weights; the same group puts its '
    "models elsewhere under CC BY-NC-SA 4.0: ask them before anything that learnt from it is sold"
)
"""What is known of the licence of the musicnn weights."""


MUSICNN_SONGS = {"MSD_musicnn": "200,000", "MTT_musicnn": "19,000"}
"""Published musicnn network -> songs that it was trained on, as its package says."""


def of_musicnn(model: str = "MSD_musicnn") -> tuple[str, ...]:
    """Warn of a teacher that began with published musicnn weights: their licence, and what they have heard."""
    return (
        f"teacher: {model} taught this model: {MUSICNN_LICENCE}",
        f"teacher: {model} has heard {MUSICNN_SONGS[model]} songs, and may have heard some of the test songs: their "
        "list could not be had, so figures on recorded music may flatter it and all that learnt from it",
    )


def of_synthetic_clips(sentence: str, accepted: bool, forced: bool) -> tuple[str, ...]:
    """Warn of the GAN's clips where they were refused, or joined the training against the gate's word."""
    return (f"teacher: {sentence}",) if forced or not accepted else ()


def of_lost_race(sentence: str, lost: bool) -> tuple[str, ...]:
    """Warn of a teacher that the ridge floor beats."""
    return (f"teacher: {sentence}",) if lost else ()


def of_programs(left_out: Mapping[str, str], open_questions: Mapping[str, str]) -> tuple[str, ...]:
    """Warn of programs that were left out of the bundle, and of those that ship with something left open."""
    return (
        *(f"bundle: {name} was left out: {reason}" for name, reason in left_out.items()),
        *(f"bundle: {name}: {reason}" for name, reason in open_questions.items()),
    )


def once(*lists: Sequence[str]) -> tuple[str, ...]:
    """Join lists in their order, each sentence once."""
    return tuple(dict.fromkeys(sentence for sentences in lists for sentence in sentences))
