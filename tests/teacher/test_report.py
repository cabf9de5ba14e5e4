"""Pictures of the teacher's errors, and the page that holds everything: nothing missing, nothing from outside."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.text import Text

from pocketmood.data.by_corpus import BY_CORPUS_FILE, CorpusScores
from pocketmood.data.record import CorpusRecord, DataRecord, SplitSizes
from pocketmood.emotion import Emotion, quadrant
from pocketmood.errors import RunError
from pocketmood.predictions import Predictions
from pocketmood.runs import Stage, write_json
from teacher import evaluate, plots, report
from teacher.config import VitConfig
from teacher.gan.record import Candidate, Distances, ListeningRecord, Measures, Similarities, Verdict
from teacher.record import SavedTeacher
from tests.helpers.fine_tuned import fine_tuned
from tests.helpers.stage_files import write_stage_file

VOID = {"meta", "link", "img", "br"}
REFUSED = "synthetic clips REFUSED, the teacher trains on real clips only: quality 1 of 100"


def row(candidate: str, score: float, frechet: float, read_back: float | None = None) -> Candidate:
    similarities = Similarities(frechet, 0.5, 0.5, 0.5, 0.5, 0.5)
    return Candidate(candidate, 8, Measures(score, Distances(1.0, 1.0, 1.0, 1.0), similarities), read_back)


TABLE = (row("real, other half", 98.4, 0.99, 0.74), row("noise", 0.2, 0.0))


def predictions(noise: float, songs: int = 40) -> Predictions:
    labels = np.random.default_rng(0).uniform(-0.8, 0.8, (songs, 2))
    emotion = labels + noise * np.random.default_rng(1).standard_normal(labels.shape)
    parts = tuple(("validation", "test")[song % 2] for song in range(songs))
    return Predictions(tuple(map(str, range(songs))), parts, emotion, labels, rater_sd=np.full_like(labels, 0.3))


def quality(accepted: bool = False, forced: bool = False, sentence: str = REFUSED) -> Verdict:
    return Verdict(accepted, forced, 1.0, 98.0, 0.01, "poor", 0.0, sentence, "pca-12", TABLE)


def save_facts(folder: Path, *warnings: str) -> None:
    """Write the config.json of a teacher."""
    write_json(folder / "config.json", asdict(SavedTeacher(VitConfig(), None, fine_tuned(40, warnings))))


def picture(path: Path) -> None:
    """Write a small PNG, quicker than by drawing one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.zeros((3, 2)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A teacher folder as the stage leaves it, without a GAN."""
    made = tmp_path / "demo" / "teacher"
    models = {"floor": predictions(0.6), "ast": predictions(0.3), "teacher": predictions(0.1)}
    write_json(made / "metrics.json", asdict(evaluate.compare(models)))
    save_facts(made)
    picture(made / "plots" / "plane.png")
    return made


class Checked(HTMLParser):
    """Refuses tags that do not close, and collects all addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_every_figure_and_needs_no_network(folder: Path) -> None:
    path = report.write(folder)
    text = path.read_text(encoding="utf-8")
    assert path == folder / "report.html" and "teacher beats the ridge floor" in text
    found = evaluate.compare({"floor": predictions(0.6), "ast": predictions(0.3), "teacher": predictions(0.1)})
    for part in ("validation", "test"):
        assert f"<h3>20 {part} songs</h3>" in text
        for values in found.part(part).models.values():
            for key in (f"{metric}_{axis}" for metric in report.METRICS for axis in ("valence", "arousal", "mean")):
                value, low, high = values[key].value, values[key].low, values[key].high
                assert f'<td>{value:.3f}<span class="interval">{low:.3f} to {high:.3f}</span></td>' in text
        for gain in found.part(part).differences.values():
            assert evaluate.difference_text(gain) in text
    assert set(report.METRICS) == {
        key.removesuffix("_mean") for key in found.test.models["floor"] if key.endswith("_mean")
    }
    assert all(address.startswith("data:") for address in Checked(text).addresses)
    picture = re.search(r"image/png;base64,([^\"]+)", text)
    assert picture and base64.b64decode(picture[1]) == (folder / "plots" / "plane.png").read_bytes()
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert "Read this first" not in text and "The generator" not in text


def test_warnings_come_first_and_once(folder: Path) -> None:
    shout = "ViT-B/16 began with <random> weights"
    save_facts(folder, shout)
    quality().save(folder)
    data = DataRecord(
        (CorpusRecord("noise", "noise", 40, "a formula", synthetic_labels=True),), 0, 0, SplitSizes(20, 10, 10, "song")
    )
    stage = Stage(folder.parent, "data", {})
    with stage.work():
        stage.record |= asdict(data)
    found = report.warnings(folder)
    assert found[0].startswith("data: synthetic labels") and found[1:] == (shout, f"teacher: {REFUSED}")
    text = report.write(folder).read_text(encoding="utf-8")
    banner = text.index("Read this first")
    assert banner < text.index("began with &lt;random&gt; weights") < text.index("<h2>Scores")
    assert banner < text.index(REFUSED) < text.index("<h2>Scores")
    Checked(text)


def test_a_teacher_below_the_floor_is_a_warning(folder: Path) -> None:
    below = evaluate.compare({"floor": predictions(0.05), "teacher": predictions(3.0)})
    write_json(folder / "metrics.json", asdict(below))
    assert any("STAYS BELOW THE RIDGE FLOOR" in text for text in report.warnings(folder))


@pytest.mark.parametrize(
    ("verdict", "warned"),
    [(quality(accepted=True, sentence="ACCEPTED"), False), (quality(True, True, "FORCED"), True), (quality(), True)],
)
def test_the_generator_is_shown_with_its_verdict(folder: Path, verdict: Verdict, warned: bool) -> None:
    verdict.save(folder)
    for place in ("quality/plots/quality.png", "gan/plots/training.png", "gan/plots/samples-epoch-002.png"):
        picture(folder / place)
    missing = "left out: librosa is not installed"
    write_stage_file(folder / "listen", asdict(ListeningRecord(left_out=missing)))
    text = report.write(folder).read_text(encoding="utf-8")
    assert f"{verdict.sentence}</p>" in text and (f"teacher: {verdict.sentence}" in report.warnings(folder)) == warned
    assert text.count("data:image/png") == 4 and "samples epoch 002" in text
    others = 5 * "<td>0.50</td>"
    assert f'<th scope="row">noise</th><td>0.2</td><td>0.00</td>{others}<td>–</td>' in text
    assert "Listening page left out: librosa is not installed." in text and "listen/index.html" not in text
    (folder / "listen" / "index.html").write_text("<!doctype html>")
    text = report.write(folder).read_text(encoding="utf-8")
    assert [address for address in Checked(text).addresses if not address.startswith("data:")] == ["listen/index.html"]


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"metrics\.json: not found"):
        report.write(tmp_path)


def test_quadrants_counted_by_hand() -> None:
    corners = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    assert tuple(quadrant(Emotion(*corner)) for corner in corners) == plots.QUADRANTS
    labels = np.array([(0.5, 0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.0, 0.0)])
    emotion = np.array([(0.1, 0.1), (0.1, -0.1), (-0.1, 0.2), (-0.3, 0.2), (-0.1, 0.0)])
    found = plots.quadrant_counts(Predictions(tuple("abcde"), ("test",) * 5, emotion, labels))
    # Rows as rated, columns as predicted; zero counts as positive.
    assert found.tolist() == [[1, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_pictures_are_drawn_for_few_songs_and_empty_quadrants(tmp_path: Path) -> None:
    few = Predictions(("a",), ("test",), np.array([[0.9, 0.9]]), np.array([[-0.9, 0.9]]))
    deep = tmp_path / "deep"
    plots.teacher_pictures(few, deep)
    assert {path.name for path in deep.iterdir()} == {"errors.png", "confusion.png", "plane.png", "scatter.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in deep.iterdir())
    # Of tags no error is drawn, and one of an earlier run is gone.
    plots.teacher_pictures(few, deep, "quadrants")
    assert {path.name for path in deep.iterdir()} == {"confusion.png", "plane.png", "scatter.png"}


@pytest.mark.parametrize(("kind", "word"), [("ratings", "rated"), ("quadrants", "tagged"), ("mixed", "labelled")])
def test_pictures_say_what_was_done_to_a_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, word: str
) -> None:
    texts: list[str] = []

    def keep(figure: Figure, path: Path) -> None:
        texts.extend(text.get_text() for text in figure.findobj(Text))

    monkeypatch.setattr(plots, "_save", keep)
    plots.teacher_pictures(predictions(0.1), tmp_path, kind)
    shown = " ".join(texts)
    assert f"{word} valence" in shown and f"{word} quadrant" in shown
    assert all(other not in shown for other in {"rated", "tagged", "labelled"} - {word})
    assert ("error" in shown) == (kind == "ratings")


def test_a_mixed_run_shows_every_corpus(folder: Path) -> None:
    assert "By corpus" not in report.write(folder).read_text(encoding="utf-8")
    scores = CorpusScores("<4q>", "quadrants", "teacher", 7, 0.1, 0.2, 0.15, None, None, 0.8, None, 0.75)
    write_json(folder / BY_CORPUS_FILE, [scores])
    text = report.write(folder).read_text(encoding="utf-8")
    assert '<th scope="row">&lt;4q&gt; (tags)</th><td>teacher</td><td>7</td>' in text and "too few songs" in text
    assert "expert tags, not ratings; AUC and quadrants count there" in text
    Checked(text)


def test_a_page_of_tags_shows_signs_first_and_no_errors(folder: Path) -> None:
    models = {"floor": predictions(0.6), "teacher": predictions(0.1)}
    found = evaluate.compare(models, kind="quadrants")
    write_json(folder / "metrics.json", asdict(found))
    text = report.write(folder).read_text(encoding="utf-8")
    order = ("AUC V", "mean CCC of signs", "AUC of the sign", "put into their quadrant", "CCC of signs: 1 is")
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "RMSE" not in text and "MAE" not in text
    assert "where the expert tags put" in text and "rater" not in text
    gain = found.test.sign_differences["floor"]["quadrant_accuracy"]
    assert f"teacher − ridge floor, quadrants: <strong>{evaluate.difference_text(gain)}" in text
