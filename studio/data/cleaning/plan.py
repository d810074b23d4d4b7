"""What is to be done with which rows, worked out before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy

from studio.data.checks.mojibake import is_mojibake
from studio.data.checks.personal import find_personal
from studio.data.checks.rows import Flag, sample_flags
from studio.data.checks.texts import taught_texts
from studio.data.cleaning import mend
from studio.data.convert import to_sample
from studio.data.detection import Detection
from studio.data.findings import Finding, Remedy
from studio.data.records import Row
from studio.data.samples import RowFault, Sample
from studio.errors import DataError

_Mend = Callable[[Row, Detection], Row]
_Sound = Callable[[Row, Sample | RowFault], bool]


@dataclass(frozen=True)
class Repair:
    """How the rows of a finding are mended, and how one tells that it helped."""

    mend: _Mend
    is_sound: _Sound


def _is_taught(row: Row, sample: Sample | RowFault) -> bool:
    return not isinstance(sample, RowFault)


def _is_stripped(row: Row, sample: Sample | RowFault) -> bool:
    return isinstance(sample, RowFault) or not sample_flags(sample) & Flag.STRAY_BLANKS


def _is_decoded(row: Row, sample: Sample | RowFault) -> bool:
    return not any(map(is_mojibake, taught_texts(row, sample)))


def _is_masked(row: Row, sample: Sample | RowFault) -> bool:
    return not any(map(find_personal, taught_texts(row, sample)))


REPAIRS: dict[tuple[str, Remedy], Repair] = {
    ("role_order", "fix"): Repair(mend.with_roles_in_order, _is_taught),
    ("mojibake", "fix"): Repair(mend.with_right_characters, _is_decoded),
    ("stray_blanks", "fix"): Repair(mend.without_stray_blanks, _is_stripped),
    ("personal_data", "mask"): Repair(mend.with_masks, _is_masked),
}
"""In the order in which they are done to a row that needs several."""


@dataclass
class Action:
    """One chosen remedy and, per row, whether it applies; `unmended` counts where it did not
    help, so that the row was left as it was."""

    finding: Finding
    remedy: Remedy
    applies: numpy.ndarray = field(repr=False)
    unmended: int = 0


@dataclass(frozen=True)
class Plan:
    """`dropped`: whether each row is left out, bool. `repairs` in the order of REPAIRS."""

    actions: tuple[Action, ...]
    dropped: numpy.ndarray
    repairs: tuple[tuple[Action, Repair], ...]

    def mended(self, number: int, row: Row, detection: Detection) -> Row:
        """Row `number` with all its repairs; one that does not help changes nothing."""
        for action, repair in self.repairs:
            if action.applies[number]:
                new = repair.mend(row, detection)
                if repair.is_sound(new, _sample(new, detection)):
                    row = new
                else:
                    action.unmended += 1
        return row


def plan_of(findings: Sequence[Finding], choices: Mapping[str, Remedy], rows: int) -> Plan:
    """What `choices` (key of a finding -> remedy) mean for a set of so many rows.

    Raises DataError for a finding or a remedy that there is not, or where no row would be left.
    """
    known = {finding.key: finding for finding in findings}
    actions = tuple(_action(known, key, remedy, rows) for key, remedy in choices.items())
    dropped = numpy.zeros(rows, dtype=bool)
    for action in actions:
        if action.remedy == "drop":
            dropped |= action.applies
    if not actions:
        raise DataError("Nothing was chosen to clean.", "Choose drop, fix, or mask for a finding.")
    if dropped.all():
        raise DataError(f"All {rows:,} rows would be dropped, so there is nothing to write.",
                        "Choose fewer findings, or correct the source.")
    by_kind = {(action.finding.key, action.remedy): action for action in actions}
    repairs = tuple((by_kind[kind], repair) for kind, repair in REPAIRS.items() if kind in by_kind)
    return Plan(actions, dropped, repairs)


def _action(known: Mapping[str, Finding], key: str, remedy: Remedy, rows: int) -> Action:
    finding = known.get(key)
    if finding is None:
        with_remedies = ", ".join(one.key for one in known.values() if one.remedies)
        raise DataError(f"The report has no finding {key!r}.",
                        f"It has these to clean: {with_remedies or 'none'}.")
    if remedy not in finding.remedies:
        raise DataError(f"{finding.title} ({key}) cannot be cleaned by {remedy!r}.",
                        f"Possible: {', '.join(finding.remedies) or 'nothing; see its hint'}.")
    applies = numpy.zeros(rows, dtype=bool)
    applies[finding.rows] = True
    return Action(finding, remedy, applies)


def _sample(row: Row, detection: Detection) -> Sample | RowFault:
    try:
        return to_sample(row, detection)
    except RowFault as fault:
        return fault
