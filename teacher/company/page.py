"""The company's part of the teacher's page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pocketmood import signs
from teacher.evaluate import PARTS, difference_text

if TYPE_CHECKING:
    from teacher.company.record import CompanyRecord


def company_section(company: CompanyRecord) -> str:
    """Lay out what each member weighs and adds; nothing for a teacher by itself."""
    if len(company.members) == 1:
        return ""
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("", "weight V", "weight A", *(f"adds, {part} songs" for part in PARTS))
    )
    rows = []
    for member in company.members:
        cells = f"<td>{member.weight_valence:.2f}</td><td>{member.weight_arousal:.2f}</td>"
        cells += "".join(f"<td>{difference_text(company.adds[part][member.name])}</td>" for part in PARTS)
        rows.append(f'<tr><th scope="row">{escape(member.name)}</th>{cells}</tr>')
        rows += [
            _sign_row(name, company, member.name) for name in company.adds_signs.get("test", {}).get(member.name, {})
        ]
    return (
        f'<h2>In company</h2><p class="say">The teacher is its members together: {escape(company.why)}. What a member '
        "adds is the company's mean CCC less that of the company without it, on the same songs, with the 95 % "
        f"interval. The student is shown the features of {escape(company.features)}.</p>"
        f'<div class="card scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _sign_row(metric: str, company: CompanyRecord, member: str) -> str:
    """Lay out what a member adds to a metric of signs."""
    cells = "".join(f"<td>{difference_text(company.adds_signs[part][member][metric])}</td>" for part in PARTS)
    return f'<tr><th scope="row">{escape(signs.TITLES[metric])}</th><td></td><td></td>{cells}</tr>'
