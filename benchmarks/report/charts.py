"""Charts of the report in Vega-Lite, whose colours are the page's own, so that they follow its theme.

A chart is a specification (a dict); `figure` frames it, `library` returns the script that draws all of them. Colours
are CSS variables of report.css: Vega writes them into its SVG as they are. Charts are as wide as their card.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Record
from export.parity_record import ParityRecord
from pocketmood.emotion import Emotion, quadrant
from pocketmood.label_kind import QUADRANTS, RATINGS, WHO, ccc_name

Array = NDArray[np.float64]
Spec = dict[str, Any]
"""A chart in Vega-Lite's own words."""
DRAWING = Path(__file__).with_name("charts.js")
COLOURS = ("ink", "muted", "line", "grid", "card", "truth", "teacher", "student", "artefact", "floor", "ceiling")
PHONE = "phone"
"""Predictions of the program that a phone would run, in the plane."""
LARGEST_PLANE = 560
"""Height of the plane in pixels where there is room; as wide as it is high."""
HUES = {**dict.fromkeys(WHO.values(), "truth"), "teacher": "teacher", "student": "student", PHONE: "artefact"}
CORNERS = ((0.97, 0.95, "happy-energetic", "right"), (-0.97, 0.95, "angry-tense", "left"),
           (-0.97, -0.95, "sad-calm", "left"), (0.97, -0.95, "content-relaxed", "right"))  # fmt: skip


def colour(name: str) -> str:
    """Return a theme colour of report.css."""
    return f"var(--{name})"


def hue_of(row: str) -> str:
    """Pick a row's colour: our stages have their own, every artefact shares one."""
    known = {"perfect listener": "ceiling", "ridge floor": "floor", "teacher": "teacher", "student": "student"}
    return colour(known.get(row, "artefact" if row.startswith("model.") else "truth"))


def plane(
    ids: Sequence[str], labels: Array, predictions: Mapping[str, Array], phone: str | None, kind: str = RATINGS
) -> Spec:
    """Draw the valence-arousal plane; pointing at a song shows its label and what each model predicts.

    kind: of the labels, of `pocketmood.label_kind`. Tags are told as quadrants, and drawn near their targets.
    """
    tags = kind == QUADRANTS
    # Songs of a tag share one target: drawn there, a hundred would look like four, and none could be pointed at.
    drawn = labels + np.random.default_rng(0).normal(0, 0.05, labels.shape) if tags else labels
    who = {WHO[kind]: drawn, **{name: predictions[name] for name in ("teacher", "student") if name in predictions}}
    if phone is not None and phone in predictions:
        who[PHONE] = predictions[phone]
    words_of = {name: [f"{v:+.2f}, {a:+.2f}" for v, a in values] for name, values in who.items()}
    if tags:
        words_of[WHO[kind]] = [quadrant(Emotion(*map(float, label))) for label in labels]
    # Every point carries the words of all: a tooltip in Vega knows only the point that it is at.
    points = [
        {"song": id_, "who": name, "v": round(float(values[row, 0]), 3), "a": round(float(values[row, 1]), 3)}
        | {f"emotion by {other}": words_of[other][row] for other in who}
        for name, values in who.items()
        for row, id_ in enumerate(ids)
    ]

    # Named one by one: left to itself, Vega would give the first model another colour on every page.
    hues = {"domain": list(who), "range": [colour(HUES[name]) for name in who]}
    place = {"x": _axis("v", "valence"), "y": _axis("a", "arousal")}
    tips = [{"field": "song", "title": "song"}, *({"field": f"emotion by {name}", "title": name} for name in who)]
    chosen = {"param": "song", "empty": False}
    words = [{"v": v, "a": a, "word": word} for v, a, word, _ in CORNERS]
    return {
        "height": LARGEST_PLANE,
        "data": {"values": points},
        "layer": [
            *(_corner(word, side) for word, (_, _, _, side) in zip(words, CORNERS, strict=True)),
            {"data": {"values": [{"at": 0}]}, "mark": {"type": "rule", "color": colour("line")},
             "encoding": {"x": {"datum": 0}}},
            {"data": {"values": [{"at": 0}]}, "mark": {"type": "rule", "color": colour("line")},
             "encoding": {"y": {"datum": 0}}},
            # The song under the pointer: a line from its label to every prediction.
            {"transform": [{"filter": chosen}], "mark": {"type": "line", "color": colour("ink"), "strokeWidth": 1.5},
             "encoding": {**place, "detail": {"field": "song"}, "order": {"field": "who"}}},
            {
                "params": [{"name": "song", "select": {"type": "point", "fields": ["song"], "on": "pointerover",
                                                       "nearest": True, "clear": "pointerout"}}],
                "mark": {"type": "circle"},
                "encoding": {
                    **place,
                    "color": {"field": "who", "type": "nominal", "scale": hues, "legend": _legend()},
                    "opacity": {"condition": {**chosen, "value": 1}, "value": 0.55},
                    "size": {"condition": {**chosen, "value": 150}, "value": 38},
                    "tooltip": tips,
                },
            },
        ],
    }  # fmt: skip


def pareto(records: Sequence[Record], kind: str = RATINGS) -> Spec | None:
    """Draw agreement with labels of a kind against time; area is the file's size. None where nothing has both."""
    shown = [record for record in records if None not in (record.ccc_mean, record.latency_ms_median, record.size_bytes)]
    if not shown:
        return None
    rows = [
        {"row": record.name, "ms": record.latency_ms_median, "ccc": record.ccc_mean, "low": record.ccc_mean_low,
         "high": record.ccc_mean_high, "MB": round((record.size_bytes or 0) / 1e6, 2)}
        for record in shown
    ]  # fmt: skip

    times = [record.latency_ms_median or 0.0 for record in shown]
    # The teacher takes many times as long as a phone's program; on a linear axis all others would be one point.
    wide = max(times) > 8 * min(times)
    x = {"field": "ms", "type": "quantitative", "title": "ms per clip, median (lower is better)",
         "scale": {"type": "log", "nice": True} if wide else {"zero": True}, "axis": {"tickCount": 5}}  # fmt: skip
    y = {"type": "quantitative", "title": f"mean {ccc_name(kind)} (higher is better)", "scale": {"zero": False}}
    tips = [{"field": "row"}, {"field": "ccc", "format": ".3f"}, {"field": "ms", "format": ".1f"}, {"field": "MB"}]
    hues = {"domain": [record.name for record in shown], "range": [hue_of(record.name) for record in shown]}
    who = {"field": "row", "type": "nominal", "scale": hues, "legend": _legend(columns=2)}
    size = {"field": "MB", "type": "quantitative", "legend": None, "scale": {"range": [120, 900], "zero": True}}
    return {
        "height": 300,
        "data": {"values": rows},
        "layer": [
            # Pale, so that intervals which cross do not hide the circles.
            {"mark": {"type": "rule", "opacity": 0.35},
             "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": who}},
            {"mark": {"type": "circle", "opacity": 0.75},
             "encoding": {"x": x, "y": {**y, "field": "ccc"}, "size": size, "color": who, "tooltip": tips}},
        ],
    }  # fmt: skip


def intervals(rows: Sequence[Mapping[str, Any]], title: str) -> Spec:
    """Draw figures with their intervals, one below the other; rows: name, value, low, high and perhaps hue."""
    values = [{**row, "hue": row.get("hue") or hue_of(str(row["name"]))} for row in rows]
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    own = {"field": "hue", "type": "nominal", "scale": None}
    x = {"type": "quantitative", "scale": {"zero": False}, "title": title}
    tips = [{"field": "name"}, *({"field": key, "format": ".3f"} for key in ("value", "low", "high"))]
    return {
        "height": 27 * len(values),
        "data": {"values": values},
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.5},
             "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": own}},
            {"mark": {"type": "circle", "size": 90, "opacity": 1},
             "encoding": {"y": y, "x": {**x, "field": "value"}, "color": own, "tooltip": tips}},
        ],
    }  # fmt: skip


def times(records: Sequence[Record]) -> Spec | None:
    """Draw how long every timed row takes, with a tick where 95 % of its calls are faster."""
    rows = [
        {"row": record.name, "ms": record.latency_ms_median, "p95": record.latency_ms_p95, "hue": hue_of(record.name)}
        for record in records
        if record.latency_ms_median is not None
    ]
    if not rows:
        return None
    # Fastest first: Vega keeps the order of rows that it is told not to sort.
    rows.sort(key=lambda row: float(str(row["ms"])))
    y = {"field": "row", "type": "nominal", "sort": None, "title": None}
    tips = [{"field": "row"}, {"field": "ms", "format": ".1f"}, {"field": "p95", "format": ".1f"}]
    x = {"type": "quantitative", "title": "ms per clip"}
    own = {"field": "hue", "type": "nominal", "scale": None}
    return {
        "height": 24 * len(rows),
        "data": {"values": rows},
        "layer": [
            {"mark": {"type": "bar", "height": 12, "cornerRadiusEnd": 3},
             "encoding": {"y": y, "x": {**x, "field": "ms"}, "color": own, "tooltip": tips}},
            {"mark": {"type": "tick", "color": colour("ink"), "thickness": 2, "size": 16},
             "encoding": {"y": y, "x": {**x, "field": "p95"}, "tooltip": tips}},
        ],
    }  # fmt: skip


def parity(proofs: Sequence[ParityRecord]) -> Spec | None:
    """Draw each artefact's differences to PyTorch as a heat map: a cell's colour is its power of ten."""
    decades = list(range(-8, 0))
    cells = [
        {
            "artefact": proof.artefact.removeprefix("model."),
            "what": what,
            "error": error,
            "words": f"{error:.0e}",
            # Errors of 0 and errors beyond all measure would have no shade of their own.
            "decade": min(max(math.floor(math.log10(max(error, 1e-9))), decades[0]), decades[-1]),
        }
        for proof in proofs
        for what, error in _differences(proof).items()
        # What could not be run has no distance, and NaN no power of ten.
        if error is not None and math.isfinite(error)
    ]
    if not cells:
        return None
    shades = [f"color-mix(in srgb, var(--artefact) {10 * place}%, var(--card))" for place in range(8)]
    place = {"y": {"field": "artefact", "type": "nominal", "sort": None, "title": None},
             "x": {"field": "what", "type": "nominal", "sort": list(_differences(proofs[0])), "title": None,
                   "axis": {"orient": "top", "labelAngle": -50, "labelOverlap": False}}}  # fmt: skip
    shade = {"field": "decade", "type": "ordinal", "scale": {"domain": decades, "range": shades}, "legend": None}
    tips = [{"field": "artefact"}, {"field": "what"}, {"field": "error", "format": ".2e"}]
    return {
        "height": 34 * len({cell["artefact"] for cell in cells}),
        "data": {"values": cells},
        "layer": [
            {"transform": [{"filter": "datum.what != 'limit'"}],
             "mark": {"type": "rect", "stroke": colour("card"), "strokeWidth": 2},
             "encoding": {**place, "color": shade, "tooltip": tips}},
            {"mark": {"type": "text", "fontSize": 10, "color": colour("ink")},
             "encoding": {**place, "text": {"field": "words"}}},
        ],
    }  # fmt: skip


def _differences(proof: ParityRecord) -> dict[str, float | None]:
    """Return the columns of the heat map: title -> difference, None where the artefact has none.

    "emotion" and "interval68" are mean differences; longer titles would lie over each other on a phone.
    """
    distance, to_fp32 = proof.distance, proof.to_fp32
    return {
        "largest": distance.max_error if distance else None,
        "emotion": distance.emotion_mean_error if distance else None,
        "interval68": distance.interval68_mean_error if distance else None,
        "to fp32": to_fp32.fp32_max_error if to_fp32 else None,
        "limit": proof.gates.limit if proof.gates else None,
    }


def lines(rows: Sequence[Mapping[str, Any]], x: str, y: str, hues: Mapping[str, str]) -> Spec:
    """Draw curves; rows: who, x, y; x and y are the axes' titles; hues: who -> theme colour."""
    scale = {"domain": list(hues), "range": [colour(hue) for hue in hues.values()]}
    # Without zero: curves near the end of a training differ by hundredths.
    kind = {"zero": False}
    return {
        "height": 260,
        "data": {"values": list(rows)},
        "mark": {"type": "line", "point": {"size": 34}, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": x, "scale": kind, "axis": {"tickMinStep": 1}},
            "y": {"field": "y", "type": "quantitative", "title": y, "scale": kind},
            "color": {"field": "who", "type": "nominal", "scale": scale, "legend": _legend()},
            "tooltip": [{"field": "who"}, {"field": "x", "title": x}, {"field": "y", "title": y, "format": ".3~f"}],
        },
    }


def figure(spec: Spec | None, title: str, caption: str = "", square: bool = False) -> str:
    """Frame a chart with its title and what to see in it; nothing for no chart. A square one is as high as wide."""
    if spec is None:
        return ""
    # "</" would end the script element early.
    drawing = json.dumps(spec, separators=(",", ":")).replace("</", "<\\/")
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="card{" square" if square else ""}"><h3>{escape(title)}</h3><div class="chart" role="img" '
        f'aria-label="{escape(title)}"></div><script type="application/json" class="spec">{drawing}</script>{below}'
        "</figure>"
    )


def library() -> str:
    """Return the scripts that draw every chart of a page: Vega, Vega-Lite and Vega-Embed (BSD-3), and ours."""
    import vl_convert

    engine: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # As in `figure`: these letters would end the element wherever they stand.
    engine = engine.replace("</script", "<\\/script")
    # A module, so that the drawing script may await one chart after the other.
    return f'<script type="module">{engine}\n{DRAWING.read_text(encoding="utf-8")}</script>'


def _axis(field: str, title: str) -> Spec:
    """Return an axis of the plane: always all of it, so that pages of different runs look alike."""
    axis = {"tickCount": 5, "labelFlush": True}
    return {"field": field, "type": "quantitative", "scale": {"domain": [-1, 1]}, "title": title, "axis": axis}


def _corner(word: Mapping[str, Any], side: str) -> Spec:
    return {
        "data": {"values": [dict(word)]},
        "mark": {"type": "text", "align": side, "color": colour("muted"), "fontSize": 12},
        "encoding": {"x": {"field": "v", "type": "quantitative"}, "y": {"field": "a", "type": "quantitative"},
                     "text": {"field": "word"}},
    }  # fmt: skip


def _legend(columns: int = 4) -> Spec:
    return {"title": None, "orient": "top", "columns": columns, "labelLimit": 170}
