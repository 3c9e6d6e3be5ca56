"""HER2 by the paper's table, and labels held against their tests."""

from __future__ import annotations

import pandas as pd
import pytest

from mammoroi.cohort.labels import contradiction, derive_her2, her2_expression

TABLE = [
    ("0", None, "zero"),
    ("0", "negative", "zero"),
    ("0", "positive", "zero"),
    ("1+", None, "low"),
    ("1+", "negative", "low"),
    ("1+", "positive", "low"),
    ("2+", "negative", "low"),
    ("2+", "positive", "positive"),
    ("2+", None, None),
    ("3+", None, "positive"),
    ("3+", "negative", "positive"),
    ("3+", "positive", "positive"),
    (None, None, None),
    (None, "positive", None),
]


@pytest.mark.parametrize(("ihc", "fish", "her2"), TABLE)
def test_her2_of_the_paper(ihc: str | None, fish: str | None, her2: str | None) -> None:
    assert her2_expression(ihc, fish) == her2


def test_derived_for_a_table_and_given_labels_stay() -> None:
    patients = pd.DataFrame(TABLE, columns=["her2_ihc", "her2_fish", "expected"])
    derived = derive_her2(patients)
    assert derived["her2"].tolist() == patients["expected"].tolist()
    given = derive_her2(patients.assign(her2=["low"] + [None] * (len(patients) - 1)))
    assert given["her2"].tolist() == ["low", *patients["expected"].tolist()[1:]]


def test_without_ihc_nothing_is_derived() -> None:
    patients = pd.DataFrame({"patient_id": ["1"], "sln": ["negative"]})
    assert derive_her2(patients).equals(patients)


@pytest.mark.parametrize(
    ("her2", "ihc", "fish", "severity"),
    [
        ("zero", "0", None, None),
        ("low", "0", None, "error"),
        ("positive", "2+", "negative", "error"),
        ("low", "2+", "positive", "error"),
        ("zero", "2+", None, "error"),
        ("low", "2+", None, "warning"),
        ("positive", "2+", None, "warning"),
        (None, "2+", None, "warning"),
        (None, "0", "positive", "warning"),
        ("positive", "3+", "negative", "warning"),
        ("low", None, None, None),
        (None, None, None, None),
    ],
)
def test_contradictions(
    her2: str | None, ihc: str | None, fish: str | None, severity: str | None
) -> None:
    result = contradiction(her2, ihc, fish)
    assert (result and result[0]) == severity
