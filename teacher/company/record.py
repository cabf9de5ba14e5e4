"""The record of a company: who is in it, what each weighs, and what each adds. `company.json`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from pocketmood import signs, standing_warnings
from pocketmood.data.run_folder import CONFIG_FILE, VIT_STEP
from pocketmood.errors import RunError
from pocketmood.records import from_json
from pocketmood.runs import read_json
from teacher.evaluate import PARTS, Estimate, difference_text
from teacher.record import FineTuned, SavedTeacher

COMPANY_FILE = "company.json"


@dataclass(frozen=True)
class MemberRecord:
    """A member of the company."""

    name: str
    """As it is typed in --company.members; its step's folder."""
    training: FineTuned
    """How it was trained."""
    out_of_fold: bool
    """Whether its predictions for training songs come from fits that never saw the song."""
    weight_valence: float
    weight_arousal: float
    """What its predictions weigh; over all members they add up to 1."""


@dataclass(frozen=True)
class CompanyRecord:
    """What the step of the company found."""

    members: tuple[MemberRecord, ...]
    """In the order of --company.members."""
    combined: str
    """"mean" or "stacked"."""
    why: str
    """Why, in a sentence; empty for a single member."""
    features: str
    """The member whose features the student is shown."""
    adds: dict[str, dict[str, Estimate]]
    """Part of the split -> member -> mean CCC of the company less that of the company without it, chosen anew."""
    adds_signs: dict[str, dict[str, dict[str, Estimate]]] = field(default_factory=dict)
    """The same of every metric of `pocketmood.signs`, by its name; empty where labels are ratings."""


def company_of(folder: Path) -> CompanyRecord:
    """Read the record of a teacher's folder; of a network that lies there by itself it is a company of one."""
    path = folder / COMPANY_FILE
    if path.is_file():
        return from_json(CompanyRecord, read_json(path), str(path), "run the teacher stage again")
    if not (folder / CONFIG_FILE).is_file():
        raise RunError(f"{folder}: no trained teacher here; run: python -m teacher --run {folder.parent}")
    alone = MemberRecord(VIT_STEP, SavedTeacher.load(folder).training, False, 1.0, 1.0)
    return CompanyRecord((alone,), "mean", "", VIT_STEP, {})


def together(record: CompanyRecord) -> FineTuned:
    """Return the facts of a company as of one training: of the member with the features, parameters of all."""
    trainings = {member.name: member.training for member in record.members}
    return replace(
        trainings[record.features],
        warnings=standing_warnings.once(*(training.warnings for training in trainings.values())),
        parameters=sum(training.parameters for training in trainings.values()),
    )


def table(record: CompanyRecord) -> str:
    """Format a company for people: weights, and what each member adds on validation and test songs."""
    lines = [f"company of {len(record.members)}: {record.why}; features of {record.features}"]
    heads = "".join(f"  {f'adds, {part} songs':<26}" for part in PARTS)
    lines.append(f"  {'member':<16}{'V':>7}{'A':>7}{heads}".rstrip())
    for member in record.members:
        adds = "".join(f"  {difference_text(record.adds[part][member.name]):<26}" for part in PARTS)
        lines.append(f"  {member.name:<16}{member.weight_valence:>7.2f}{member.weight_arousal:>7.2f}{adds}".rstrip())
        of_signs = record.adds_signs.get("test", {}).get(member.name, {})
        lines += [
            f"  {'':<30}{signs.TITLES[name]}, test songs: {difference_text(gain)}" for name, gain in of_signs.items()
        ]
    return "\n".join(lines)
