"""The teacher's page: scores with intervals, pictures, the GAN's verdict and all warnings.

One file that needs no network. Light and dark, phone and desktop. All text that comes from files is escaped.
"""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketmood.runs import STAGE_FILE, read_json, write_text
from teacher.evaluate import MAIN, PARTS, difference_text, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE, LISTENING_PAGE = "report.html", "listen/index.html"
METRICS = {
    "ccc": "CCC: 1 is full agreement, 0 none",
    "pearson": "Pearson r",
    "r2": "R²: share of variance explained",
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "rmse_nine": "RMSE in points of the 1–9 scale",
    "range_ratio": "range ratio: below 1, extremes are missed",
}
_AXES = ("valence", "arousal", "mean")
_WIDE = 1.5
"""Pictures with a larger ratio of sides hold several panels side by side."""
_MODELS = {"floor": "ridge floor", "ast": "AST baseline"}
_FIGURES = {
    "curves": ("Training", "Loss terms on training clips and CCC on validation songs after each epoch."),
    "curves-ast": ("Training of the AST baseline", "The same, for the transformer that learns from scratch."),
    "scatter": ("Answer against rating", "On the diagonal the teacher says what the raters said."),
    "errors": ("Errors", "A mean off zero is a bias; a tail is a kind of song that is missed."),
    "confusion": ("Quadrants", "Rows: where raters put the songs. Columns: where the teacher puts them."),
    "plane": ("The plane of emotion", "A thin line leads from each song's raters to the teacher's answer."),
}
_GAN_FIGURES = {
    "training": ("Adversarial training", "Losses, accuracy of the discriminator, and steps that the balance gave."),
    "quality": ("Quality score", "Beside what real halves, a collapsed generator and noise reach."),
    "conditioning": ("Conditioning", "What a reader fitted on real songs reads back of the emotion asked for."),
    "distributions": ("Statistics", "Real training clips against synthetic ones."),
    "real-and-synthetic": ("Real and synthetic clips", ""),
}
_SYNTHETIC_LABELS = (
    "Synthetic labels on rendered music: a formula with simulated raters made them, so these figures prove the "
    "toolchain, not the taste of the model."
)


def write(folder: Path) -> Path:
    """Write `report.html` of a teacher folder from its metrics.json, config.json, pictures and, if there, quality.json.

    RunError where metrics.json or config.json is missing.
    """
    metrics, config = read_json(folder / "metrics.json"), read_json(folder / "config.json")
    quality = read_json(folder / "quality.json") if (folder / "quality.json").is_file() else None
    body = [
        "<header><h1>What the teacher learnt, and what it is worth</h1>",
        f'<p class="lead">{escape(sentence(metrics))}</p></header>',
        _banner(warnings(folder)),
        "<h2>Scores</h2>",
        '<p class="say">Below each figure its 95 % interval over resampled songs. No model was fitted on these songs; '
        "the best epoch was chosen on the validation songs, so the test songs are the honest ones.</p>",
        f'<div class="two">{"".join(_score_table(part, metrics[part]) for part in reversed(PARTS))}</div>',
        "<h2>Pictures</h2>",
        _plots([folder / "plots"], _FIGURES),
        _gan(folder, quality) if quality else "",
        "<h2>How it was made</h2>",
        f'<div class="card">{_facts(config)}</div>',
    ]
    path = folder / PAGE
    write_text(path, frame(f"pocketmood teacher: {folder.resolve().parent.name}", "\n".join(filter(None, body))))
    return path


def frame(title: str, body: str) -> str:
    """Wrap a body in a page with this project's style."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head><body><main>\n{body}\n"
        "<footer>Made by <code>python -m teacher</code>; the figures as data lie beside this page.</footer>"
        "</main></body></html>\n"
    )


def warnings(folder: Path) -> list[str]:
    """Collect what a reader of the figures must know first: labels, weights, refused or forced clips, a lost race."""
    found = []
    data = folder.parent / "data" / STAGE_FILE
    if data.is_file() and read_json(data)["record"].get("synthetic_labels"):
        found.append(_SYNTHETIC_LABELS)
    found += read_json(folder / "config.json").get("warnings", [])
    if (folder / STAGE_FILE).is_file():
        found += read_json(folder / STAGE_FILE)["record"].get("warnings", [])
    if (folder / "quality.json").is_file():
        verdict = read_json(folder / "quality.json")
        if verdict["forced"] or not verdict["accepted"]:
            found.append(verdict["sentence"])
    metrics = read_json(folder / "metrics.json")
    found += [sentence(metrics)] if metrics["test"]["differences"]["floor"]["high"] < 0 else []
    return list(dict.fromkeys(map(str, found)))


def _banner(found: list[str]) -> str:
    """Put warnings where nobody can miss them."""
    if not found:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in found)
    return f'<div class="banner" role="note"><strong>Read this first</strong><ul>{items}</ul></div>'


def _score_table(part: str, scores: Mapping[str, Any]) -> str:
    """Lay out every metric of every model on one part, and the paired differences below."""
    heads = "".join(f'<th scope="col">{axis}</th>' for axis in _AXES)
    rows = []
    for metric, words in METRICS.items():
        rows.append(f'<tr><th class="group" colspan="4" scope="rowgroup">{escape(words)}</th></tr>')
        for name, values in scores["models"].items():
            cells = "".join(_score_cell(values, f"{metric}_{axis}") for axis in _AXES)
            marked = ' class="main"' if name == MAIN else ""
            rows.append(f'<tr{marked}><th class="model" scope="row">{escape(_MODELS.get(name, name))}</th>{cells}</tr>')
    gains = "".join(
        f"<p>{MAIN} − {escape(_MODELS.get(name, name))}, mean CCC: <strong>{difference_text(gain)}</strong></p>"
        for name, gain in scores["differences"].items()
    )
    return (
        f'<div class="card scroll"><h3>{scores["songs"]} {part} songs</h3>{gains}<table>'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _score_cell(values: Mapping[str, float], key: str) -> str:
    """Show a value above its interval."""
    low, high = values[f"{key}_low"], values[f"{key}_high"]
    return f'<td>{values[key]:.3f}<span class="interval">{low:.3f} to {high:.3f}</span></td>'


def _gan(folder: Path, quality: Mapping[str, Any]) -> str:
    """Show the gate's verdict, the table it was read from, every picture, and the way to the listening page."""
    tone = "good" if quality["accepted"] and not quality["forced"] else "bad"
    return (
        f'<h2>The generator</h2><p class="lead {tone}">{escape(quality["sentence"])}</p>{_listening(folder)}'
        f'<p class="say">Score and similarities against one half of the real training clips; '
        f"embedding {escape(quality['embedding'])}. Read back: CCC of emotions asked for and read back.</p>"
        f"{_quality_table(quality['table'])}"
        f"{_plots([folder / 'quality' / 'plots', folder / 'gan' / 'plots'], _GAN_FIGURES)}"
    )


def _listening(folder: Path) -> str:
    """Lead to the listening page, or say why there is none."""
    if (folder / LISTENING_PAGE).is_file():
        return f'<p><a href="{LISTENING_PAGE}">Listen: five emotions, real and generated, side by side</a></p>'
    stage = folder / "listen" / STAGE_FILE
    why = read_json(stage)["record"].get("left_out") if stage.is_file() else None
    return f'<p class="say">Listening page {escape(why)}.</p>' if why else ""


def _quality_table(table: list[dict[str, Any]]) -> str:
    """Lay out candidates with their score, similarities and conditioning."""
    names = [key.removeprefix("similarity_") for key in table[0] if key.startswith("similarity_")]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", "score", *names, "read back"))
    rows = []
    for row in table:
        similarities = "".join(f"<td>{row[f'similarity_{name}']:.2f}</td>" for name in names)
        read_back = f"{row['conditioning_ccc']:.2f}" if "conditioning_ccc" in row else "–"
        head = f'<th scope="row">{escape(row["candidate"])}</th><td>{row["score"]:.1f}</td>'
        rows.append(f"<tr>{head}{similarities}<td>{read_back}</td></tr>")
    return (
        f'<div class="card scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _plots(folders: list[Path], known: Mapping[str, tuple[str, str]]) -> str:
    """Inline all PNGs of some folders: those with a caption first, in its order, then the rest by name."""
    order = list(known)
    paths = [path for folder in folders for path in folder.glob("*.png")]
    paths.sort(key=lambda path: (order.index(path.stem) if path.stem in known else len(order), path.name))
    return f'<div class="plots">{"".join(_figure(path, known) for path in paths)}</div>'


def _figure(path: Path, known: Mapping[str, tuple[str, str]]) -> str:
    """Frame one picture; a wide one gets the page's whole width, and scrolls on a phone instead of shrinking."""
    title, caption = known.get(path.stem, (path.stem.replace("-", " ").replace("_", " "), ""))
    data = path.read_bytes()
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])  # where every PNG has them
    image = f'<img alt="{escape(title)}" loading="lazy" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    wide = " wide" if width > _WIDE * height else ""
    return f'<figure class="card{wide}"><h3>{escape(title)}</h3><div>{image}</div>{below}</figure>'


def _facts(config: Mapping[str, Any]) -> str:
    """State network, first weights, clips and spectrogram."""
    vit = config["vit"]
    facts = {
        "network": f"{vit['size']}, {vit['frames']} frames at stride {vit['stride']}",
        "first weights": config.get("weights"),
        "training clips": config.get("training_clips"),
        "synthetic clips": config.get("synthetic_clips"),
        "spectrogram": config.get("spec_hash"),
    }
    known = {name: value for name, value in facts.items() if value is not None}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in known.items())
    return f"<dl>{rows}</dl>"
