"""Settings of the table on real recordings: which rows, on which songs, trained how."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.studies.result_files import RESULTS
from pocketmood.errors import ConfigError
from student.config import PRESETS as STUDENTS
from student.config import StudentConfig
from teacher.company.config import CompanyConfig
from teacher.config import TeacherConfig
from teacher.presets import PRESETS as TEACHERS

FITTED_ROWS = ("floor", "svm", "musicnn-ridge")
"""Rows that fit in seconds on features of their own."""
STAGE_ROWS = ("ast", "vit", "musicnn-tuned", "musicnn", "musicnn-mtt", "company", "teacher", "student", "int8")
"""Rows that the project's stages make, in minutes to hours per fold."""
ALL_ROWS = FITTED_ROWS + STAGE_ROWS
PUBLISHED_FEATURES = "top100_features.csv"


@dataclass(frozen=True)
class RecordingsTableConfig:
    """Which rows, on which songs, trained how."""

    run: Path = Path("runs/recordings")
    """Run folder of the corpus and its folds."""
    corpus: str = "4q"
    """Corpus as in `pocketmood data --corpus`."""
    music: tuple[Path, ...] = ()
    """Its folder; may be left out once RUN has a finished data stage."""
    features: Path | None = None
    """The file of the 100 published features; beside the songs if left out."""
    rows: tuple[str, ...] = ALL_ROWS
    """Rows to measure; all of them if left out."""
    folds: int = 5
    """Folds by artist."""
    seed: int = 0
    """Of the folds and of every training."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """What the student learns from; --teacher.run is the fold."""
    company: TeacherConfig = field(default_factory=TeacherConfig)
    """Members that are a row each, and their company; --company.run is the fold."""
    apart: TeacherConfig = field(default_factory=TeacherConfig)
    """Networks that take minutes to train: ast, vit, musicnn-tuned; --apart.run is the fold."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """The student; --student.run is the fold."""
    out: Path = RESULTS / "recordings"
    """Result files without their endings."""

    def __post_init__(self) -> None:
        """Refuse unknown rows."""
        unknown = [row for row in self.rows if row not in ALL_ROWS]
        if unknown or not self.rows:
            raise ConfigError(f"--rows {' '.join(unknown) or 'none'}: choose from {', '.join(ALL_ROWS)}")

    @property
    def features_file(self) -> Path:
        """The file of the published features, there or not."""
        return self.features or (self.music[0] if self.music else Path()) / PUBLISHED_FEATURES


def _preset(apart: str, teacher: str, student: str, taught: bool = True) -> RecordingsTableConfig:
    """Return the study of presets, without the GAN: no clip of it has ever passed the gate on real recordings.

    taught: whether networks that have heard music are among the rows.
    """

    def of(preset: str, *members: str, baseline: bool = False) -> TeacherConfig:
        found = replace(TEACHERS[preset], synthetic=0, listen_s=0.0, baseline=baseline, doctor=False)
        return replace(found, company=CompanyConfig(members, "mean")) if members else found

    return RecordingsTableConfig(
        teacher=of(teacher),
        company=of(teacher, *(("musicnn", "musicnn-mtt") if taught else ("vit", "vit@1"))),
        apart=of(apart, "vit", *(("musicnn-tuned",) if taught else ()), baseline=True),
        student=replace(STUDENTS[student], doctor=False),
    )


PRESETS = {
    "recordings": _preset("demo", "recordings", "recordings"),
    "full": _preset("full", "recordings", "full"),
    "smoke": _preset("smoke", "smoke", "smoke", taught=False),
}
