"""Titles and captions of the pictures on the teacher's page, for ratings and for tags."""

from __future__ import annotations

from pocketmood.label_kind import RATINGS, WHO, ccc_name, has_signs

_CAPTIONS = {
    "sizes": (
        "What it learnt from",
        "Songs by part of the split; synthetic clips, of which training sees the accepted.",
    ),
    "curves": (
        "Training",
        "Loss on what is trained on (crops or whole clips) beside the same loss over all validation clips at once, "
        "whole, without dropout; the terms of the training loss; CCC and error on validation songs after each epoch.",
    ),
    "curves-ast": ("Training of the AST baseline", "The same, for the transformer that learns from scratch."),
    "scatter": ("Prediction against rating", "On the diagonal the teacher predicts what the raters said."),
    "errors": ("Errors", "A mean off zero is a bias; a tail is a kind of song that is missed."),
    "confusion": ("Quadrants", "Rows: where raters put the songs. Columns: where the teacher puts them."),
    "plane": ("The plane of emotion", "A thin line leads from each song's raters to the teacher's prediction."),
    "attention": (
        "Where it looked",
        "Attention rollout over the spectrogram of a decidedly rated test song per quadrant: what is red or yellow has "
        "more than an even share in the features. It tells where the teacher looked, not what it made of it.",
    ),
    "training": ("Adversarial training", "Losses, accuracy of the discriminator, and steps that the balance gave."),
    "quality": ("Quality score", "Beside what real halves, a collapsed generator and noise reach."),
    "conditioning": ("Conditioning", "What a reader fitted on real songs reads back of the emotion asked for."),
    "distributions": ("Statistics", "Real training clips against synthetic ones."),
    "real-and-synthetic": ("Real and synthetic clips", ""),
}
"""Title and caption of each picture, in the order of the page."""


def captions(kind: str = RATINGS) -> dict[str, tuple[str, str]]:
    """Return title and caption by name of the picture, in the order of the page; kind: of the labels."""
    if not has_signs(kind):
        return _CAPTIONS
    who = WHO[kind]
    return _CAPTIONS | {
        "curves": (
            "Training",
            "Loss on what is trained on (crops or whole clips) beside the same loss over all validation clips at once, "
            f"whole, without dropout; the terms of the training loss; {ccc_name(kind)} and correlation on validation "
            "songs after each epoch.",
        ),
        "scatter": (f"Prediction against {who}", "What lies right of the middle belongs above it, left of it below."),
        "confusion": ("Quadrants", f"Rows: where the {who} put the songs. Columns: where the teacher puts them."),
        "plane": ("The plane of emotion", f"A thin line leads from where the {who} put a song to the prediction."),
        "attention": (
            "Where it looked",
            "Attention rollout over the spectrogram of a test song per quadrant: what is red or yellow has more than "
            "an even share in the features. It tells where the teacher looked, not what it made of it.",
        ),
    }
