"""The stage as a whole on a made-up run, and the page it writes."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command_line
from benchmarks import measure
from benchmarks.config import PRESETS, BenchmarksConfig
from benchmarks.record import KEYS, Record
from benchmarks.report import charts, sections
from export.parity_record import ParityRecord
from pocketmood.data.record import CorpusRecord, DataRecord, SplitSizes
from pocketmood.data.run_folder import RunFolder
from pocketmood.errors import ConfigError, RunError
from tests.helpers import ROOT, benchmark_runs, chromium

QUICK = ["--memory", "none", "--repeats", "3", "--warmup", "1", "--bootstrap", "50", "--pause-ms", "0"]


PAGE_COLOURS = {False: "rgb(246, 244, 239)", True: "rgb(20, 22, 26)"}
# Cards that lie over their neighbours, letters of a chart over each other, and charts that leave their card.
OVERLAPS = """
(() => {
  const found = [];
  const cross = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 &&
                          Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1.5;
  const pairs = (items, say) => items.forEach((a, i) => items.slice(i + 1).forEach(b => {
    if (!a.contains(b) && cross(a.getBoundingClientRect(), b.getBoundingClientRect())) found.push(say(a, b)); }));
  const words = e => e.textContent.trim().slice(0, 40);
  const open = e => !e.closest("details:not([open])");
  const blocks = [...document.querySelectorAll(".card, h1, h2, .banner, p.say")].filter(open);
  pairs(blocks, (a, b) => `${words(a)} | ${words(b)}`);
  for (const svg of document.querySelectorAll(".chart svg")) {
    const texts = [...svg.querySelectorAll("text")].filter(e => words(e) && e.getBoundingClientRect().width > 0 &&
                                                           getComputedStyle(e).opacity > 0);
    pairs(texts, (a, b) => `${words(a)} over ${words(b)}`);
    const card = svg.closest(".card").getBoundingClientRect();
    for (const text of texts) {
      const box = text.getBoundingClientRect();
      if (box.left < card.left || box.right > card.right) found.push(`${words(text)} leaves its card`);
    }
  }
  return found;
})()
"""


class Page(HTMLParser):
    """Notes what a page would fetch, and whether its tags close in order."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.fetched, self.ids, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.fetched += [values[key] for key in ("src", "href", "xlink:href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        if tag not in self.VOID:
            self.handle_starttag(tag, attrs)
            self.open.pop()
        else:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return a run whose benchmarks ran on made-up rows."""
    run = benchmark_runs.make_run(tmp_path_factory.mktemp("benchmarks") / "run", songs=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "rows_of", benchmark_runs.rows)
        patch.setattr(measure.latency, "pin_threads", lambda threads: {"torch": threads})  # imports for seconds
        patch.setattr(measure.latency, "pin_torch", lambda threads: threads)  # other tests keep their threads
        command_line.main(["--preset", "smoke", "--run", str(run), *QUICK])
    return run


@pytest.fixture(scope="module")
def html(finished) -> str:
    return (finished / "benchmarks" / "report.html").read_text()


def test_the_stage_writes_its_four_files(finished):
    folder = finished / "benchmarks"
    assert {"results.json", "table.txt", "table.md", "report.html", "stage.json"} <= {p.name for p in folder.iterdir()}
    rows = json.loads((folder / "results.json").read_text())
    assert [list(row) == list(KEYS) for row in rows] == [True] * 11


def test_a_failure_in_one_row_leaves_the_others_whole(finished):
    rows = {row["name"]: row for row in json.loads((finished / "benchmarks" / "results.json").read_text())}
    assert rows["model.broken.pte"]["status"] == "failed"
    assert "RuntimeError: operator missing: _fft_r2c" in rows["model.broken.pte"]["reason"]
    assert rows["model.int8.pte"]["latency_ms_median"] > 0 and rows["model.int8.pte"]["ccc_mean"] is not None
    assert rows["model.fp32.mlpackage"]["status"] == "not run: needs macOS"
    assert rows["model.fp32.mlpackage"]["ccc_mean"] is None
    alternative = rows["librosa + mobilevit_xxs"]
    assert (
        alternative["ccc_mean"] is None and "random" in alternative["reason"] and alternative["latency_ms_median"] > 0
    )
    assert rows["teacher"]["ccc_drop"] == pytest.approx(0, abs=1e-12)
    wanted = rows["teacher"]["ccc_mean"] - rows["ridge floor"]["ccc_mean"]
    # The made-up teacher waits 9 ms, the program 4.8 ms: sleeping is never shorter, and a crowded machine adds to both.
    assert rows["teacher"]["speedup_over_teacher"] == 1 and rows["model.fp32.pte"]["speedup_over_teacher"] > 0
    assert rows["ridge floor"]["speedup_over_teacher"] is rows["reference kernel"]["speedup_over_teacher"] is None
    assert rows["ridge floor"]["ccc_drop"] == pytest.approx(wanted, abs=1e-9)
    assert rows["perfect listener"]["ccc_drop"] < 0


def test_the_second_run_says_up_to_date_and_prints_the_table_again(finished, capsys):
    command_line.main(["--preset", "smoke", "--run", str(finished), *QUICK])
    printed = capsys.readouterr().out
    assert printed.startswith("benchmarks: up to date\n")
    assert (finished / "benchmarks" / "table.txt").read_text() in printed
    *_, more, report, last = printed.splitlines()
    assert more == f"four alternatives, one thread, all cores: make benchmarks RUN={finished}"
    assert report == f"report: {finished / 'benchmarks' / 'report.html'}"
    assert json.loads(last)["rows"]["teacher"]["status"] == "measured"


def test_a_missing_stage_names_the_command(tmp_path):
    with pytest.raises(RunError, match=r"Type `make data RUN="):
        command_line.main(["--run", str(tmp_path / "nothing")])


def test_the_page_needs_no_network_and_closes_its_tags(html):
    page = Page(html)
    assert page.open == []
    assert all(place.startswith(("data:", "#")) for place in page.fetched)
    assert "url(http" not in html and "@import" not in html and "default-src 'none'" in html
    assert len(html) < 5_000_000


def figures(values: object) -> set[str]:
    """Return every number of a result that has eight digits or more: such do not meet one of another by chance."""
    if isinstance(values, dict | list):
        parts = values.values() if isinstance(values, dict) else values
        return set().union(*map(figures, parts))
    return {repr(values)} if isinstance(values, float) and len(repr(values)) > 9 else set()


def test_nothing_on_the_page_was_measured_elsewhere(html):
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "studies" / "results").glob("*.json")]
    assert len(results) > 5 and len(set().union(*map(figures, results))) > 100
    for result in results:
        assert [figure for figure in figures(result) if figure in html] == []
        assert result["command"] not in html


def test_no_module_of_the_report_reads_what_was_measured_elsewhere():
    modules = list((ROOT / "benchmarks" / "report").glob("*.py"))
    assert len(modules) > 4
    assert [path.name for path in modules if "studies" in path.read_text()] == []


def test_ids_on_the_page_are_unique(html):
    ids = Page(html).ids
    assert len(ids) == len(set(ids))


def test_every_colour_of_a_chart_is_defined_in_both_themes(html):
    style = Path(charts.__file__).with_name("report.css").read_text()
    for name in charts.COLOURS:
        assert style.count(f"--{name}:") == 2, name
    specs = [json.loads(text) for text in re.findall(r'class="spec">(.*?)</script>', html, re.DOTALL)]
    assert len(specs) >= 5
    used = set(re.findall(r"var\(--(\w+)\)", json.dumps(specs)))
    assert {"teacher", "student", "artefact"} <= used <= set(charts.COLOURS)
    assert not re.search(r"#[0-9a-f]{6}\b", json.dumps(specs))  # a fixed colour would not follow the theme


@pytest.mark.slow
@pytest.mark.skipif(chromium.CHROMIUM is None, reason=chromium.WHY_NOT)
def test_a_browser_shows_it_without_complaint_or_overlap(finished, tmp_path):
    page = finished / "benchmarks" / "report.html"
    with chromium.Browser(tmp_path) as browser:
        for width, dark in itertools.product((390, 1440), (False, True)):
            browser.open(page, width, dark)
            assert browser.console == []
            assert browser.ask("document.documentElement.scrollWidth") <= width
            assert browser.ask(OVERLAPS) == [], (width, dark)
            assert browser.ask("getComputedStyle(document.body).backgroundColor") == PAGE_COLOURS[dark]
        drawn = browser.ask("document.querySelectorAll('.chart svg').length")
        assert drawn == browser.ask("document.querySelectorAll('.spec').length") >= 5
        tip = browser.point_at(".square .chart svg path[aria-roledescription='circle']")
        assert all(word in tip for word in ("song", "raters", "teacher", "student")), tip


def test_charts_are_left_out_where_there_is_nothing_to_draw():
    bare = [Record("x")]
    assert charts.pareto(bare) is None and charts.times(bare) is None
    assert charts.parity([ParityRecord("m", "failed")]) is None
    assert charts.figure(None, "title") == ""


def test_the_plane_says_whose_the_labels_are():
    values = {"teacher": np.zeros((1, 2))}
    for kind, who in (("ratings", "raters"), ("quadrants", "expert tags"), ("mixed", "labels")):
        spec = charts.plane(["1"], np.full((1, 2), 0.5), values, None, kind)
        hues = spec["layer"][-1]["encoding"]["color"]["scale"]
        assert hues == {"domain": [who, "teacher"], "range": ["var(--truth)", "var(--teacher)"]}
        point = spec["data"]["values"][0]
        # Tags are told as quadrants, and drawn beside their target, never further than five deviations of .05.
        assert point[f"emotion by {who}"] == ("happy-energetic" if kind == "quadrants" else "+0.50, +0.50")
        assert (point["v"] == 0.5) == (kind != "quadrants") and abs(point["v"] - 0.5) < 0.25


def test_a_chart_cannot_end_its_script_early():
    spec = charts.intervals([{"name": "</script><b>", "value": 1.0, "low": 0.0, "high": 2.0}], "x")
    text = charts.figure(spec, "t")
    assert text.count("</script>") == 1 and "<b>" not in text.replace("\\/script><b>", "")


def test_the_page_says_that_the_labels_are_synthetic(html, tmp_path):
    assert html.index("proves the toolchain, not the taste of the model") < html.index("Side by side")
    music = CorpusRecord("music", "Music", 4, "people")
    assert sections.banner(DataRecord((music,), 0, 0, SplitSizes(2, 1, 1, "song"))) == ""


def test_warnings_of_the_stages_are_shown(html):
    assert "synthetic clips REFUSED: quality 1 of 100" in html and "starts from random weights" in html
    assert "operator missing: _fft_r2c" in html


def test_text_from_files_is_escaped():
    record = Record("<b>", status="failed", reason="<script>alert(1)</script>")
    text = sections.results_table([record]) + sections.warnings_list((), [record])
    assert "<script>" not in text and "<b>" not in text and "&lt;script&gt;" in text


def test_the_headline_prefers_int8_but_nothing_that_was_refuted():
    fp32 = Record("model.fp32.pte", ccc_mean=0.7, latency_ms_median=9.0, status="passed")
    int8 = Record("model.int8.pte", ccc_mean=0.69, latency_ms_median=8.0, status="passed")
    assert sections.phone_model([fp32, int8]) is int8
    int8.status = "failed validation"
    assert sections.phone_model([fp32, int8]) is fp32
    assert sections.phone_model([Record("model.fp32.pte")]) is None


def test_parity_records_are_shown_as_they_are():
    text = sections.parity_table(
        [benchmark_runs.proof("m", 1.234e-6, 1e-7, 1e-3, reason="too far"), ParityRecord("n", "passed")]
    )
    assert "1.23e-06" in text and "pill bad" in text and "<th>max error</th>" in text and "<td>-</td>" in text
    assert "no parity records" in sections.parity_table([])


def test_pictures_beyond_the_budget_are_named_not_shown(tmp_path, monkeypatch):
    (tmp_path / "data" / "plots").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "data" / "plots" / f"{name}.png").write_bytes(b"x" * 60)
    monkeypatch.setattr(sections, "IMAGE_BUDGET_BYTES", 100)
    text = sections.pictures(RunFolder(tmp_path))
    assert text.count("<img") == 1 and "data/plots/b.png" in text


def test_settings_leave_out_the_place_and_refuse_nonsense():
    assert "run" not in PRESETS["demo"].settings()
    with pytest.raises(ConfigError, match="--repeats 0 is too small"):
        BenchmarksConfig(repeats=0)
    with pytest.raises(ConfigError, match="--pause-ms"):
        BenchmarksConfig(pause_ms=-1)
