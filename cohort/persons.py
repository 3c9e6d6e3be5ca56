"""Whose a mammogram is, by the table and by its file: where the two cannot both be right.

Files name their patient by Patient ID (0010,0020), but what a pseudonymiser wrote may tell nothing:
one identifier for many patients, or another in every file. Where it is so, nothing is found. The
identifier itself is never told, since it may be a real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .inspection import Finding, Inspection

_FEW = 4
"""As many names one woman may have by mistake; an identifier of more patients is nobody's."""


def mixed_up(
    images: Mapping[int, Mapping[str, Any]], inspections: Mapping[int, Inspection]
) -> Iterator[tuple[int, Finding]]:
    """Find a woman who has several names in the table, and files of several women under one name.

    The first would train and test; the second is given another woman's mammogram.

    Parameters
    ----------
    images : mapping
        Line to row of ``cohort.csv``.
    inspections : mapping
        Line to what was seen of its files.

    Yields
    ------
    int, Finding
        Line and warning.
    """
    names: dict[str, dict[str, int]] = {}
    persons: dict[str, dict[str, int]] = {}
    for line, row in images.items():
        patient, person = row.get("patient_id"), inspections[line].person
        if patient and person:
            names.setdefault(person, {}).setdefault(patient, line)
            persons.setdefault(patient, {}).setdefault(person, line)
    for lines in names.values():
        if 1 < len(lines) <= _FEW and len(names) > 1:
            for patient, line in lines.items():
                others = ", ".join(f"{o} (line {n})" for o, n in lines.items() if o != patient)
                found = f"the file has the Patient ID (0010,0020) of a file of {others}"
                action = "see whether they are one person, who would train and test: one patient_id"
                yield line, Finding("warning", found, action)
    several = [list(lines.values()) for lines in persons.values() if len(lines) > 1]
    if 2 * len(several) > len(persons):
        return
    for first, *further in several:
        for line in further:
            found = (
                f"the file has another Patient ID (0010,0020) than the patient's on line {first}"
            )
            yield line, Finding("warning", found, "see whether the file is hers")
