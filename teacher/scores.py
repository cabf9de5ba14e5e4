"""The teacher beside the floor: scores with intervals, and the paired difference, on songs neither was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pocketmood.metrics import bootstrap, paired_difference, score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pocketmood.predictions import Predictions

PARTS = ("validation", "test")


def compare(teacher: Predictions, floor: Predictions) -> dict[str, Any]:
    """Score both on validation and test: {part: {"songs", "floor", "teacher", "difference"}}.

    Intervals are 95 % over resampled songs, as `ccc_mean_low` and `ccc_mean_high`; "difference" is teacher - floor on
    the same songs.
    """
    result: dict[str, Any] = {}
    for part in PARTS:
        of_teacher, of_floor = teacher.only(part), floor.only(part)
        rows = {"floor": of_floor, "teacher": of_teacher}
        scores: dict[str, Any] = {"songs": len(of_teacher.ids)}
        for name, answers in rows.items():
            low, high = bootstrap(answers.emotion, answers.labels, answers.ids)
            scores[name] = score(answers.emotion, answers.labels) | {"ccc_mean_low": low, "ccc_mean_high": high}
        paired = paired_difference(of_teacher.emotion, of_floor.emotion, of_teacher.labels, of_teacher.ids)
        scores["difference"] = paired._asdict()
        result[part] = scores
    return result


def table(scores: Mapping[str, Any]) -> str:
    """Format `compare`'s result for people: valence, arousal and mean CCC with its interval."""
    lines = [f"{'CCC':<12}{'songs':>6}  {'floor: V    A    mean':<38}{'teacher: V    A    mean':<38}teacher - floor"]
    for part in PARTS:
        row = scores[part]
        cells = [_cell(row["floor"], 38), _cell(row["teacher"], 38)]
        gain = row["difference"]
        lines.append(
            f"{part:<12}{row['songs']:>6}  {cells[0]}{cells[1]}"
            f"{gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        )
    return "\n".join([*lines, sentence(scores)])


def sentence(scores: Mapping[str, Any]) -> str:
    """Say whether the teacher beats the floor on the test songs."""
    gain = scores["test"]["difference"]
    if gain["low"] > 0:
        return "The teacher beats the ridge floor on test songs; the interval of the difference lies above zero."
    if gain["high"] < 0:
        return "THE TEACHER STAYS BELOW THE RIDGE FLOOR on test songs: three numbers per band say more."
    return f"On {scores['test']['songs']} test songs teacher and ridge floor cannot be told apart."


def _cell(row: Mapping[str, float], width: int) -> str:
    """Format one model's CCC."""
    text = (
        f"{row['ccc_valence']:.3f} {row['ccc_arousal']:.3f} {row['ccc_mean']:.3f} "
        f"[{row['ccc_mean_low']:.3f}, {row['ccc_mean_high']:.3f}]"
    )
    return f"{text:<{width}}"
