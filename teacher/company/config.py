"""Settings of the company: who is in it, how predictions are joined, whose features the student is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from pocketmood.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pocketmood.training.weights import FirstWeights, Published
    from teacher.config import TeacherConfig

KINDS = {
    "vit": "teacher.company.network",
    "ast": "teacher.company.network",
    "musicnn": "teacher.musicnn.member",
    "musicnn-mtt": "teacher.musicnn.member",
    "musicnn-both": "teacher.musicnn.member",
    "musicnn-tuned": "teacher.musicnn.tuned_member",
}
"""Kind of member -> the module whose `kind(name)` gives it, imported when it is asked for: a line for each new kind."""
MOST = 8
"""Members of a company at most: stacking looks at every subset of them."""


class MemberName(NamedTuple):
    """A member as it is typed: `vit`, or `vit@1` for one more that begins from another seed."""

    kind: str
    """A key of `KINDS`."""
    seed: int
    """What is added to the stage's seed; 0 for a name without @."""

    @classmethod
    def parse(cls, name: str) -> MemberName:
        """Read a name; ConfigError for a kind that is not known, or a seed that is no number from 1 on."""
        kind, at, number = name.partition("@")
        if kind not in KINDS:
            raise ConfigError(
                f"company member {name!r}: no such kind; there are {', '.join(KINDS)}, and vit@1 for a seed"
            )
        # One spelling for one member: vit@0 and vit@01 would be trained twice.
        if at and (not number.isascii() or not number.isdigit() or str(int(number)) != number or number == "0"):
            raise ConfigError(f"company member {name!r}: behind @ stands what is added to --seed, such as {kind}@1")
        return cls(kind, int(number) if at else 0)


@dataclass(frozen=True)
class CompanyConfig:
    """Teachers whose predictions together are the teacher's."""

    members: tuple[str, ...] = ("vit",)
    """Kinds of teachers; KIND@N is one more of a kind, trained from the seed N further on: vit vit@1 ast."""
    combine: Literal["auto", "mean", "stacked"] = "auto"
    """"mean"; "stacked": weights per axis, fitted on validation songs; "auto": the mean, unless validation songs tell
    that stacking is better by more than its standard error."""
    features: str = ""
    """The member whose features the student is shown; the first one if left out."""

    def __post_init__(self) -> None:
        """Refuse names that say nothing."""
        for name in self.members:
            MemberName.parse(name)
        if not 1 <= len(self.members) <= MOST or len(set(self.members)) != len(self.members):
            raise ConfigError(f"company members {' '.join(self.members)}: name 1 to {MOST}, each once")
        if self.features and self.features not in self.members:
            raise ConfigError(f"company features {self.features!r}: no member; there are {', '.join(self.members)}")

    @property
    def featured(self) -> str:
        """Name the member whose features the student is shown."""
        return self.features or self.members[0]


def trained(config: TeacherConfig) -> tuple[str, ...]:
    """Name what the stage trains, in its order: the baseline unless it is a member, then the members."""
    baseline = ("ast",) if config.baseline and "ast" not in config.company.members else ()
    return baseline + config.company.members


def published(config: TeacherConfig) -> dict[str, Published]:
    """Kind of network -> the published weights that it asks for, or "kind: network" where these are of several."""
    from teacher.company.members import kind_of

    # By kind, not by name: members of a kind begin with the same weights.
    kinds = {MemberName.parse(name).kind: kind_of(name) for name in trained(config)}
    found: dict[str, Published] = {}
    for name, kind in kinds.items():
        asked = kind.published(config)
        found |= {name if len(asked) == 1 else f"{name}: {each.title}": each for each in asked}
    return found


def weights_of(kind: str, first: Mapping[str, FirstWeights]) -> str:
    """Return what the weights of a kind are, out of those of all (`published`); "" for a kind from scratch."""
    return " ".join(found.identity for name, found in first.items() if name.partition(": ")[0] == kind)
