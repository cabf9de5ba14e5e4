"""The teacher's report as one HTML page: scores with intervals, pictures, the GAN's verdict and all warnings.

One file that needs no network. Light and dark, phone and desktop. All text that comes from files is escaped.
"""

from __future__ import annotations

import base64
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pocketmood import signs, standing_warnings
from pocketmood.data import by_corpus
from pocketmood.data.run_folder import WEIGHTS_FILE, RunFolder
from pocketmood.label_kind import RATINGS, ccc_name
from pocketmood.records import from_json
from pocketmood.runs import STAGE_FILE, read_json, read_stage, write_text
from pocketmood.training.history import read_facts
from teacher.captions import captions
from teacher.company.page import company_section
from teacher.company.record import MemberRecord, company_of, together
from teacher.evaluate import METRICS_FILE, PARTS, Comparison, Estimate, PartScores, difference_text, sentence
from teacher.gan.record import ListeningRecord, Verdict
from teacher.record import SavedTeacher, warnings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from teacher.gan.record import Candidate

PAGE, LISTENING_PAGE = "report.html", "listen/index.html"
SIGN_METRICS = {
    "auc": "AUC of the sign: .5 is chance, 1 a perfect order",
    "quadrant_accuracy": "share of songs put into their quadrant: .25 is chance",
}
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


def write(folder: Path) -> Path:
    """Write `report.html` of a teacher folder from its metrics.json, config.json, pictures and, if there, quality.json.

    RunError where metrics.json or config.json is missing.
    """
    scores, company = _comparison(folder), company_of(folder)
    quality = Verdict.load(folder)
    body = [
        "<header><h1>What the teacher learnt, and what it is worth</h1>",
        f'<p class="lead">{escape(sentence(scores))}</p></header>',
        _banner(warnings(folder)),
        "<h2>Scores</h2>",
        '<p class="say">Below each figure its 95 % interval over resampled songs. No model was fitted on these songs; '
        "the best epoch was chosen on the validation songs, so the test songs are the honest ones.</p>",
        # Test first: a reader who stops here has read the figures that count.
        f'<div class="two">{"".join(_score_table(part, scores) for part in reversed(PARTS))}</div>',
        company_section(company),
        _by_corpus(by_corpus.load(folder)),
        "<h2>Pictures</h2>",
        _plots(folder / "plots", kind=scores.label_kind),
        _gan(folder, quality) if quality else "",
        "<h2>How it was made</h2>",
        *(_facts(member, folder) for member in company.members),
        _costs(folder),
    ]
    path = folder / PAGE
    write_text(path, frame(f"pocketmood teacher: {folder.resolve().parent.name}", "\n".join(filter(None, body))))
    return path


def frame(title: str, body: str) -> str:
    """Wrap a body in a page with this project's style."""
    # In the page, not linked: the page is one file that can be sent.
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head><body><main>\n{body}\n"
        "<footer>Made by <code>python -m teacher</code>; the figures as data lie beside this page.</footer>"
        "</main></body></html>\n"
    )


def warnings(folder: Path) -> tuple[str, ...]:
    """Collect what a reader of the figures must know first: what the data stage warns of, and what this one does."""
    # Labels first: figures on rendered music say nothing of real music, however good the rest is.
    labels = RunFolder(folder.parent).warnings("data")
    own = warnings_of(together(company_of(folder)), Verdict.load(folder), _comparison(folder))
    return standing_warnings.once(labels, own)


def _comparison(folder: Path) -> Comparison:
    """Read the scores of a teacher folder."""
    return from_json(
        Comparison, read_json(folder / METRICS_FILE), str(folder / METRICS_FILE), "run the teacher stage again"
    )


def _banner(found: Sequence[str]) -> str:
    """Put warnings where nobody can miss them."""
    if not found:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in found)
    return f'<div class="banner" role="note"><strong>Read this first</strong><ul>{items}</ul></div>'


def _score_table(part: str, comparison: Comparison) -> str:
    """Lay out every metric of every model on one part, and the paired differences above."""
    scores: PartScores = comparison.part(part)
    heads = "".join(f'<th scope="col">{axis}</th>' for axis in _AXES)
    rows = []
    kind = comparison.label_kind
    # Which metrics there are follows from the kind of the labels: of signs none is an error, of ratings none an AUC.
    there = set().union(*scores.models.values())
    for metric, words in (SIGN_METRICS | METRICS).items():
        if not any(name.startswith(f"{metric}_") or name == metric for name in there):
            continue
        words = words.replace("CCC", ccc_name(kind)) if metric == "ccc" else words
        rows.append(f'<tr><th class="group" colspan="4" scope="rowgroup">{escape(words)}</th></tr>')
        for name, values in scores.models.items():
            # An accuracy of quadrants is one of both axes, and stands where the means of others stand.
            names = [metric if metric in values and axis == "mean" else f"{metric}_{axis}" for axis in _AXES]
            cells = "".join(_score_cell(values.get(name)) for name in names)
            marked = ' class="main"' if name == comparison.main else ""
            rows.append(f'<tr{marked}><th class="model" scope="row">{escape(_MODELS.get(name, name))}</th>{cells}</tr>')

    main = escape(comparison.main)
    gains = "".join(
        f"<p>{main} − {escape(_MODELS.get(name, name))}, {words}: <strong>{difference_text(gain)}</strong></p>"
        for name in scores.differences
        for words, gain in _differences(scores, name, kind)
    )
    return (
        f'<div class="card scroll"><h3>{scores.songs} {part} songs</h3>{gains}<table>'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _differences(scores: PartScores, name: str, kind: str) -> list[tuple[str, Estimate]]:
    """Return what is compared with another model, in words, with the paired difference; metrics of signs first."""
    of_signs = [(signs.TITLES[metric], gain) for metric, gain in scores.sign_differences.get(name, {}).items()]
    return [*of_signs, (f"mean {ccc_name(kind)}", scores.differences[name])]


def _score_cell(score: Estimate | None) -> str:
    """Show a value above its interval; nothing where a metric has none of this axis."""
    if score is None:
        return "<td></td>"
    return f'<td>{score.value:.3f}<span class="interval">{score.low:.3f} to {score.high:.3f}</span></td>'


def _gan(folder: Path, quality: Verdict) -> str:
    """Show the gate's verdict, the table it was read from, every picture, and the way to the listening page."""
    tone = "good" if quality.accepted and not quality.forced else "bad"
    return (
        f'<h2>The generator</h2><p class="lead {tone}">{escape(quality.sentence)}</p>{_listening(folder)}'
        f'<p class="say">Score and similarities against one half of the real training clips; '
        f"embedding {escape(quality.embedding)}. Read back: CCC of emotions asked for and read back.</p>"
        f"{_quality_table(quality.table)}{_plots(folder / 'quality' / 'plots', folder / 'gan' / 'plots')}"
    )


def _listening(folder: Path) -> str:
    """Lead to the listening page, or say why there is none."""
    if (folder / LISTENING_PAGE).is_file():
        return f'<p><a href="{LISTENING_PAGE}">Listen: five emotions, real and generated, side by side</a></p>'
    # The step exists without librosa too, and its record says what to type.
    stage = folder / "listen"
    if not (stage / STAGE_FILE).is_file():
        return ""
    record = read_stage(stage).record
    why = from_json(ListeningRecord, record, str(stage / STAGE_FILE), "run the teacher stage again").left_out
    return f'<p class="say">Listening page {escape(why)}.</p>' if why else ""


def _quality_table(table: Sequence[Candidate]) -> str:
    """Lay out candidates with their score, similarities and conditioning."""
    names = [measure.name for measure in fields(table[0].measures.similarity)]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", "score", *names, "read back"))
    rows = []
    for row in table:
        similarities = "".join(f"<td>{getattr(row.measures.similarity, name):.2f}</td>" for name in names)
        read_back = "–" if row.conditioning_ccc is None else f"{row.conditioning_ccc:.2f}"
        head = f'<th scope="row">{escape(row.candidate)}</th><td>{row.measures.score:.1f}</td>'
        rows.append(f"<tr>{head}{similarities}<td>{read_back}</td></tr>")
    return (
        f'<div class="card scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _by_corpus(found: Sequence[by_corpus.CorpusScores]) -> str:
    """Lay out the scores of each corpus; nothing for a run of one."""
    if not found:
        return ""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in by_corpus.HEADS)
    rows = "".join(
        f'<tr><th scope="row">{escape(row.corpus)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in by_corpus.rows(found)
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    say = f"On test songs. Corpora differ in raters, scale and music. {by_corpus.remark(found)}".strip()
    return f'<h2>By corpus</h2><p class="say">{escape(say)}</p><div class="card scroll">{table}</div>'


def _plots(*folders: Path, kind: str = RATINGS) -> str:
    """Inline all PNGs of some folders: those with a caption first, in its order, then the rest by name."""
    words = captions(kind)
    order = list(words)
    paths = [path for folder in folders for path in folder.glob("*.png")]
    paths.sort(key=lambda path: (order.index(path.stem) if path.stem in order else len(order), path.name))
    return f'<div class="plots">{"".join(_figure(path, words) for path in paths)}</div>'


def _figure(path: Path, words: Mapping[str, tuple[str, str]]) -> str:
    """Frame one picture; a wide one gets the page's whole width, and scrolls on a phone instead of shrinking."""
    title, caption = words.get(path.stem, (path.stem.replace("-", " ").replace("_", " "), ""))
    # Inline, for the same reason as the style.
    data = path.read_bytes()
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])  # where every PNG has them
    image = f'<img alt="{escape(title)}" loading="lazy" src="data:image/png;base64,{base64.b64encode(data).decode()}">'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    wide = " wide" if width > _WIDE * height else ""
    return f'<figure class="card{wide}"><h3>{escape(title)}</h3><div>{image}</div>{below}</figure>'


def _facts(member: MemberRecord, folder: Path) -> str:
    """State network, first weights, clips, spectrogram, and what the training's folder tells of its parameters."""
    training, step = member.training, folder / member.name
    facts: dict[str, object] = {"member": member.name}
    # By itself it lies in the stage's folder, of which a copy may lack the steps.
    place = next((each for each in (step, folder) if (each / WEIGHTS_FILE).is_file()), None)
    if place:
        vit = SavedTeacher.load(place).vit
        facts["network"] = f"{vit.size}, {vit.frames} frames at stride {vit.stride}"
    facts |= {
        "first weights": training.weights,
        "training clips": training.training_clips,
        "synthetic clips": training.synthetic_clips,
        "spectrogram": training.spec_hash,
        "parameters": f"{training.parameters:,}",
    }
    if member.out_of_fold:
        facts["training songs"] = "predicted by fits that never saw them"
    if trained := read_facts(step):
        facts["what learns"] = "; ".join(f"from epoch {entry.epoch} {entry}" for entry in trained.learning)
        facts["clips per pass"] = trained.pass_size
    rows = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return f'<div class="card"><dl>{rows}</dl></div>'


def _costs(folder: Path) -> str:
    """Lay out time and largest memory of each step, on host and GPU."""
    steps = [read_stage(path.parent) for path in sorted(folder.glob(f"*/{STAGE_FILE}"))]
    rows = []
    for step in steps:
        sizes = (step.peak_rss_bytes, step.peak_gpu_bytes)
        cells = "".join(f"<td>{size / 1e6:,.0f}</td>" if size else "<td>–</td>" for size in sizes)
        rows.append(f'<tr><th scope="row">{escape(step.name)}</th><td>{step.wall_s:,.0f}</td>{cells}</tr>')
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "s", "peak memory, MB", "on the GPU, MB"))
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="card scroll"><h3>Cost of each step</h3>{table}</div>' if steps else ""
