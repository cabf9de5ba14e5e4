"""Steps of the company: predictions of its members joined, and their soft targets, each from what the members left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketmood import signs
from pocketmood.data.run_folder import PREDICTIONS_FILE, RunFolder
from pocketmood.errors import DataError
from pocketmood.label_kind import has_signs
from pocketmood.metrics import paired_difference
from pocketmood.predictions import Predictions, read_predictions, write_predictions
from pocketmood.runs import write_json
from teacher.company import combine
from teacher.company.members import kind_of
from teacher.company.record import COMPANY_FILE, CompanyRecord, MemberRecord
from teacher.evaluate import PARTS, Estimate
from teacher.soft_targets import DISAGREEMENT, INDEX_FILE, TABLE_FILE, SoftTargets, save_table

if TYPE_CHECKING:
    from teacher.config import TeacherConfig
    from teacher.record import FineTuned


def join_predictions(
    folders: Mapping[str, Path], trained: Mapping[str, FineTuned], config: TeacherConfig, work: Path
) -> CompanyRecord:
    """Write the company's predictions.csv and company.json from its members' folders, in the order of the config."""
    members = [read_predictions(folders[name] / PREDICTIONS_FILE) for name in folders]
    how, names = config.company.combine, list(folders)
    joined, choice = join(members, how)
    write_predictions(work / PREDICTIONS_FILE, joined)

    adds: dict[str, dict[str, Estimate]] = {part: {} for part in PARTS}
    kind = RunFolder(config.run).data_record.label_kind
    adds_signs: dict[str, dict[str, dict[str, Estimate]]] = {part: {} for part in PARTS}
    # Without a member the others are joined as they would be by themselves, weights and all.
    for row, name in enumerate(names if len(names) > 1 else ()):
        rest, _ = join(members[:row] + members[row + 1 :], how)
        for part in PARTS:
            whole, less = joined.only(part), rest.only(part)
            asked = (whole.emotion, less.emotion, whole.labels, whole.ids)
            adds[part][name] = Estimate(*paired_difference(*asked))
            if has_signs(kind):
                found = signs.paired_differences(*asked)
                adds_signs[part][name] = {metric: Estimate(*gain) for metric, gain in found.items()}

    records = [
        MemberRecord(name, trained[name], kind_of(name).out_of_fold(config), *map(float, weights))
        for name, weights in zip(names, choice.weights, strict=True)
    ]
    record = CompanyRecord(tuple(records), choice.how, choice.why, config.company.featured, adds, adds_signs)
    write_json(work / COMPANY_FILE, asdict(record))
    return record


def join(members: Sequence[Predictions], how: str) -> tuple[Predictions, combine.Choice]:
    """Join members' predictions for the same songs, with weights chosen on the validation songs."""
    first = members[0]
    if any(member.ids != first.ids or member.rater_sd is None for member in members):
        raise DataError("the company's members predict for other songs, or without rater_sd; run the teacher again")
    held = [row for row, part in enumerate(first.splits) if part == "validation"]
    emotion = np.stack([member.emotion for member in members])
    choice = combine.choose(how, emotion[:, held], first.labels[held])
    if len(members) == 1:
        return first, choice

    rater_sd = np.stack([member.rater_sd for member in members if member.rater_sd is not None])
    emotion, rater_sd = combine.join(emotion, choice.weights), combine.join(rater_sd, choice.weights)
    return replace(first, emotion=emotion, rater_sd=rater_sd), choice


def join_soft_targets(tables: Mapping[str, Path], record: CompanyRecord, fingerprint: str, work: Path) -> None:
    """Write the company's soft targets from its members' tables; fingerprint: of the company's step."""
    opened = {name: SoftTargets.open(folder) for name, folder in tables.items()}
    chief = opened[record.features]
    if any((table.ids, table.crops) != (chief.ids, chief.crops) for table in opened.values()):
        raise DataError("the members' soft targets are of other clips or crops; delete RUN/teacher and run it again")
    weights = np.array([[member.weight_valence, member.weight_arousal] for member in record.members])
    ordered = [opened[member.name] for member in record.members]

    emotion = np.stack([table.emotion for table in ordered])  # [M, N, K, D]
    values = {
        "emotion": combine.join(emotion, weights),
        "rater_sd": combine.join(np.stack([table.rater_sd for table in ordered]), weights),
        "features": chief.features,
    }
    values[DISAGREEMENT] = combine.disagreement(emotion)
    save_table(work / TABLE_FILE, values)
    write_json(work / INDEX_FILE, asdict(replace(chief.plain(), teacher=fingerprint)))
