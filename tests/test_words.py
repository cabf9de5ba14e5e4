"""Words of earlier drafts stay gone, in code and in prose: CONTRIBUTING.md has the glossary, one word for one thing."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT

PLACES = (
    "pocketmood",
    "teacher",
    "student",
    "export",
    "benchmarks",
    "tools",
    "tests",
    "docs",
    "android",
    ".github",
    ".ci",
)
PAGES = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", ".pre-commit-config.yaml")
ENDINGS = {".py", ".kt", ".kts", ".xml", ".cpp", ".h", ".swift", ".sh", ".md", ".js", ".css", ".yml", ".toml"}
LEFT_OUT = re.compile(
    r"benchmarks/studies/results/"  # as the commands of their day wrote them
    r"|export/dist/|android/(app/src/main/assets|target|build|app/build|\.gradle)/|.*/\.build/"  # made, not kept
    r"|tests/test_words\.py"
)
GONE = (
    r"\bspread(?!s (what|the)\b|_over|_evenly)\w*",
    r"\banswers?\b\s*[=(\[.](?!$)",
    r"[Cc]ontenders?\b|\bPeers?\b|\bpeers\b",
    r"likeness",
    r"\bhidden_(bands|frames)\b",
    r"FURTHEST|SECOND_CHANCES|\b_Here\b|_forget_the_maker|refresh_statistics",
    r"StageTrainer|TrainerCallback",
    r"device_limit",
    r"\bspec_of\b",
    r"foretold",
    r"\bwork_(ratios?|rounds)\b|--work-rounds|gate trial|first_answer_s|right on drawn",
)
"""Patterns of any line of any file."""
REFUSED = {
    "docs/bundle.md": "spread",
    "pocketmood/bundle.py": "spread",
    "tests/export/coreml/test_predict_on_mac.py": "spread|device_limit",
    "tests/export/test_parity_record.py": "spread|device_limit",
    "tests/pocketmood/test_bundle.py": "spread",
    "tests/pocketmood/test_predictions.py": "spread",
}
"""Files that name what bundles of schema 1 hold: these are refused with a sentence that says so."""
MOVED = {
    "benchmarks": "against against_trials baselines breakdown child contenders full_size gan_steps gate_trial held_out "
    "peers pooled predict_start programs readme reference report_accuracy report_charts report_plots report_sections "
    "report_training result_files scaling student_choices student_rows student_throughput whole_program work",
    "export": "arm64 arm64_tools asking compress kernels mil mil_operators mil_quantised predict_on_mac preload qat "
    "quantise quantise_onnx search sensitivity swift to_coreml to_executorch to_onnx",
    "pocketmood": "ablation checkpoints clips corpora dataplots decode peak progress schedule split trainer",
    "student": "ablate spread trial",
    "teacher": "ablate adversary answers cpu crops evidence gan_config gan_state ganplots measures page quality "
    "scores songs synthesise team train_gan try_songs",
}
"""Room -> modules that stand elsewhere now, or nowhere: docs/architecture.md has the tree."""
NAMES = {"answer", "answers", "said", "told", "spread", "foretold"}
"""Names that no variable, parameter, function or attribute has."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def texts() -> dict[str, str]:
    """Return every file that people read or run: name -> text."""
    paths = [path for place in PLACES for path in (ROOT / place).rglob("*") if path.suffix in ENDINGS]
    paths += [ROOT / page for page in (*PAGES, ".ci/run")]
    return {name_of(path): path.read_text(encoding="utf-8") for path in paths if not LEFT_OUT.match(name_of(path))}


def places(pattern: str) -> list[str]:
    return [
        f"{name}: {line.strip()}"
        for name, text in texts().items()
        for line in text.splitlines()
        if (found := re.search(pattern, line)) and not re.match(REFUSED.get(name, "$"), found[0])
    ]


def old_names(text: str) -> Iterator[str]:
    """Yield the old names that Python code gives to things, and `one` where a loop could name what it goes over."""
    for node in ast.walk(ast.parse(text)):
        names = {getattr(node, field, None) for field in ("id", "arg", "attr", "name")}
        yield from (f"line {getattr(node, 'lineno', '?')}: {name}" for name in NAMES & names)
        if isinstance(node, ast.For | ast.comprehension):
            yield from (f"line {part.lineno}: one" for part in ast.walk(node.target) if ast.unparse(part) == "one")


def test_all_kinds_of_files_are_read() -> None:
    assert len(texts()) > 300
    assert {Path(name).suffix for name in texts()} >= ENDINGS
    assert {name.split("/")[0] for name in texts() if "/" in name} == set(PLACES)


@pytest.mark.parametrize("word", GONE)
def test_renamed_words_stay_gone(word: str) -> None:
    assert places(word) == []


@pytest.mark.parametrize("room", MOVED)
def test_modules_that_moved_are_not_named_where_they_were(room: str) -> None:
    names = "|".join(MOVED[room].split())
    assert places(rf"\b{room}(\.|/| import (\w+, )*)({names})\b(?![/(])") == []


def test_no_module_has_come_back() -> None:
    back = [f"{room}/{name}" for room, names in MOVED.items() for name in names.split()]
    assert [name for name in back if (ROOT / name).exists() or (ROOT / f"{name}.py").exists()] == []


def test_variables_have_the_names_of_the_glossary() -> None:
    found = {name: list(old_names(text)) for name, text in texts().items() if name.endswith(".py")}
    assert {name: names for name, names in found.items() if names} == {}


def test_an_old_name_would_be_seen() -> None:
    code = "def told(said):\n    return [one.spread for place, one in enumerate(said.answers)]"
    assert sorted(name.split(": ")[1] for name in old_names(code)) == [
        "answers",
        "one",
        "said",
        "said",
        "spread",
        "told",
    ]
