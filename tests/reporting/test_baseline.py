"""The table of characteristics against the published one, and its rules."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.reporting.baseline import baseline_cells, baseline_table, chi_square


# Zhao et al., Front Oncol 2025;15:1578458, Table 1: training and test counts, printed P.
@pytest.mark.parametrize(
    ("train", "test", "statistic", "p"),
    [
        ([164, 213, 211], [82, 84, 84], 2.041, 0.360),  # HER2 zero, low, positive
    ],
)
def test_chi_square_is_the_published_one(
    train: list[int], test: list[int], statistic: float, p: float
) -> None:
    found = chi_square(np.array([train, test]))
    assert found == (pytest.approx(statistic, abs=5e-4), pytest.approx(p, abs=5e-4))


def test_no_continuity_correction() -> None:
    counts = np.array([[20, 30], [30, 20]])
    assert chi_square(counts)[0] == pytest.approx(4.0)  # n (ad - bc)^2 / product of the margins


def test_the_papers_table_1() -> None:
    if "MAMMOROI_DATA" not in os.environ:
        pytest.skip("MAMMOROI_DATA is not set")
    cohort = pd.read_csv(Path(os.environ["MAMMOROI_DATA"]) / "paper-cohort-838.csv")
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{k}" for k in range(len(cohort))],
            "grade": cohort["grade"].map(dict(enumerate(["I", "II", "III"]))),
            "stage": cohort["stage"].map(dict(enumerate(["I", "II", "III", "IV"]))),
            "her2": cohort["HER2"].map(dict(enumerate(["zero", "low", "positive"]))),
        }
    )
    ids = patients["patient_id"]
    train, test = (ids[cohort["split"] == part].tolist() for part in ("train", "test"))
    table = baseline_table(patients, train, test)
    p = table.dropna(subset=["p"]).set_index("variable")["p"].round(3).to_dict()
    assert p == {"grade": 0.197, "stage": 0.818, "her2": 0.360}
    her2 = table[table["variable"] == "her2"].set_index("level")
    assert her2["total"].to_dict() == {"zero": 246, "low": 297, "positive": 295}
    assert her2["train"].sum() == 588


def test_levels_in_order_missing_counted_and_texts_left_out() -> None:
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{k}" for k in range(24)],
            "age": np.arange(24) + 40.0,
            "grade": ["III", "I", "II", None] * 6,
            "her2_ihc": ["0", "1+", "2+", "3+"] * 6,
            "remark": [f"free text {k}" for k in range(24)],
            "site": [1.0, 2.0] * 12,
        }
    )
    ids = patients["patient_id"].tolist()
    table = baseline_table(patients, ids[:16], ids[16:])
    levels = {name: part["level"].tolist() for name, part in table.groupby("variable")}
    assert levels == {
        "age": ["mean (SD)"],
        "grade": ["I", "II", "III", "not known"],
        "her2_ihc": ["0", "1+", "2+", "3+"],
        "site": ["1", "2"],
    }
    assert table[table["level"] == "I"].iloc[0][["total", "total_share"]].tolist() == [6, 6 / 18]
    cells = baseline_cells(table)
    assert cells[0][:4] == ["Age, years", "mean (SD)", "51.5 (7.1)", "47.5 (4.8)"]
    assert cells[1][:3] == ["Grade", "I", "6 (33.3%)"]
    assert cells[4][1:3] == ["not known", "6"]


def test_one_level_or_an_empty_test_set_has_no_p() -> None:
    patients = pd.DataFrame({"patient_id": ["a", "b"], "sln": ["negative", "negative"]})
    assert baseline_table(patients, ["a", "b"], [])["p"].isna().all()
