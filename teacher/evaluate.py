"""Models side by side: every metric with its interval, and paired differences, on songs that none was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketmood.errors import DataError
from pocketmood.metrics import paired_difference, score, score_intervals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pocketmood.predictions import Predictions

PARTS = ("validation", "test")
MAIN, FLOOR = "teacher", "floor"


def compare(models: Mapping[str, Predictions], main: str = MAIN) -> dict[str, Any]:
    """Score models on validation and test: {part: {"songs", "models": {name: scores}, "differences": {other: ...}}}.

    Scores hold every metric of `pocketmood.metrics.score` and, as `<metric>_low` and `<metric>_high`, its 95 %
    interval over resampled songs. A difference is the mean CCC of `main` less that of the other on the same songs.
    DataError where models answered for different songs.
    """
    if main not in models:
        raise DataError(f"no predictions of {main!r} among {sorted(models)}; nothing to compare the others with")
    return {part: _part({name: answers.only(part) for name, answers in models.items()}, main) for part in PARTS}


def table(scores: Mapping[str, Any]) -> str:
    """Format `compare`'s result for people: CCC of valence, arousal and their mean with its interval, per model."""
    lines = []
    for part in PARTS:
        row = scores[part]
        main = next(name for name in row["models"] if name not in row["differences"])
        title = f"CCC, {row['songs']} {part} songs"
        lines.append(f"{title:<28}{'V':>7}{'A':>7}{'mean':>7}  {'95 % interval':<18}{main} - model")
        for name, values in row["models"].items():
            numbers = "".join(f"{values[f'ccc_{axis}']:>7.3f}" for axis in ("valence", "arousal", "mean"))
            interval = f"[{values['ccc_mean_low']:.3f}, {values['ccc_mean_high']:.3f}]"
            line = f"  {name:<26}{numbers}  {interval:<18}{difference_text(row['differences'].get(name))}"
            lines.append(line.rstrip())
    return "\n".join([*lines, sentence(scores)])


def sentence(scores: Mapping[str, Any]) -> str:
    """Say whether the teacher beats the floor on the test songs."""
    gain = scores["test"]["differences"][FLOOR]
    if gain["low"] > 0:
        return "The teacher beats the ridge floor on test songs; the interval of the difference lies above zero."
    if gain["high"] < 0:
        return "THE TEACHER STAYS BELOW THE RIDGE FLOOR on test songs: three numbers per band say more."
    return f"On {scores['test']['songs']} test songs teacher and ridge floor cannot be told apart."


def difference_text(gain: Mapping[str, float] | None) -> str:
    """Format a paired difference with its interval; nothing for the model that is compared with itself."""
    return "" if gain is None else f"{gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"


def _part(models: Mapping[str, Predictions], main: str) -> dict[str, Any]:
    """Score all models on one part of the split."""
    chief = models[main]
    for name, answers in models.items():
        if answers.ids != chief.ids:
            raise DataError(
                f"{name} answered for {len(answers.ids)} songs, {main} for {len(chief.ids)}, and they are not the same "
                "in the same order; make both again from one split"
            )
    others = {name: answers for name, answers in models.items() if name != main}
    differences = {
        name: paired_difference(chief.emotion, answers.emotion, chief.labels, chief.ids)._asdict()
        for name, answers in others.items()
    }
    scored = {name: _scored(answers) for name, answers in models.items()}
    return {"songs": len(chief.ids), "models": scored, "differences": differences}


def _scored(answers: Predictions) -> dict[str, float]:
    """Score one model's answers, each metric followed by its interval."""
    intervals = score_intervals(answers.emotion, answers.labels, answers.ids)
    scored: dict[str, float] = {}
    for name, value in score(answers.emotion, answers.labels).items():
        low, high = intervals[name]
        scored |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return scored
