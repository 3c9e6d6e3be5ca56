"""The table of characteristics against the published one, and its rules."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, ttest_ind

from mammoroi.modeling.baseline import baseline_table, chi_square
from mammoroi.modeling.clinical_config import PRESET_CLINICAL, ClinicalConfig, ClinicalVariable

# Zhao et al., Front Oncol 2025;15:1578458, Table 1: counts, and P where a variable begins.
PRINTED = pd.read_csv(Path(__file__).parent / "data" / "paper_table1.csv")
NUMBERS = {"age": 40, "size_cm": 2, "er_percent": 10, "pr_percent": 20, "ki67_percent": 20}
CUT = PRESET_CLINICAL["paper-literal"]


def cohort() -> tuple[pd.DataFrame, list[str], list[str]]:
    """838 patients with the published counts of every variable, each on its own."""
    ids = {part: [f"{part}{k}" for k in range(n)] for part, n in (("train", 588), ("test", 250))}
    columns: dict[str, list] = {"patient_id": ids["train"] + ids["test"]}
    for name, rows in PRINTED.groupby("variable", sort=False):
        levels = rows["level"].tolist()
        if name in NUMBERS:
            levels = [NUMBERS[name] + level.startswith(">") for level in levels]
        columns[name] = [
            level
            for part in ("train", "test")
            for level, n in zip(levels, rows[part], strict=True)
            for _ in range(n)
        ]
    return pd.DataFrame(columns), ids["train"], ids["test"]


def assert_published(table: pd.DataFrame) -> None:
    first = PRINTED.dropna(subset=["p"]).set_index("variable")["p"]
    found = table.dropna(subset=["p"]).set_index("variable")["p"].round(3)
    assert len(first) == 21
    assert found.to_dict() == first.to_dict()
    counts = table.set_index(["variable", "level"])[["total", "train", "test"]].astype(int)
    printed = PRINTED.set_index(["variable", "level"])[["total", "train", "test"]]
    assert len(printed) == 47
    pd.testing.assert_frame_equal(counts.sort_index(), printed.sort_index())


def test_all_21_p_values_of_the_published_table():
    assert_published(baseline_table(*cohort(), CUT))


def test_the_reconstructed_cohort_has_them_too():
    if "MAMMOROI_DATA" not in os.environ:
        pytest.skip("MAMMOROI_DATA is not set: the division of the cohort is not shipped")
    coded = pd.read_csv(Path(os.environ["MAMMOROI_DATA"]) / "paper-cohort-838.csv")
    names = {
        "HER2": "her2", "SLNv": "sln", "nationality": "ethnicity", "size": "size_cm",
        "VTT": "lymphovascular_invasion", "ER": "er_percent", "PR": "pr_percent",
        "nerve": "nerve_invasion", "menop": "menopause", "Ki67": "ki67_percent", "CK56": "ck5_6",
        "density": "breast_density", "shape": "lesion_shape", "edge": "lesion_margin",
        "massdens": "mass_density", "distort": "architectural_distortion",
        "calc": "calcification", "skin": "skin_change",
    }  # fmt: skip
    coded = coded.rename(columns=names)
    coded["age"] = 1 - coded["age"]
    levels = {v.name: v.levels for v in CUT.resolved_variables()}
    for name in PRINTED["variable"].unique():
        if name in NUMBERS:
            coded[name] += NUMBERS[name]
        else:
            kept = [v for v in levels[name] if v in set(PRINTED["level"])]
            coded[name] = coded[name].map(dict(enumerate(kept)))
    patients = coded.assign(patient_id=[f"P{k}" for k in range(len(coded))])
    parts = [patients.loc[patients["split"] == part, "patient_id"] for part in ("train", "test")]
    assert_published(baseline_table(patients, *(part.tolist() for part in parts), CUT))


def test_no_continuity_correction():
    counts = np.array([[20, 30], [30, 20]])
    assert chi_square(counts)[0] == pytest.approx(4.0)  # n (ad - bc)^2 / product of the margins


def test_the_test_of_a_number_is_the_one_that_is_asked_for():
    rng = np.random.default_rng(2)
    ids = [f"P{k}" for k in range(90)]
    patients = pd.DataFrame({"patient_id": ids, "size_cm": rng.exponential(2, 90)})
    patients.loc[3, "size_cm"] = np.nan
    train, test = patients["size_cm"][:60].dropna(), patients["size_cm"][60:]
    for name, expected in (
        ("welch", ttest_ind(train, test, equal_var=False)),
        ("student", ttest_ind(train, test)),
        ("mann-whitney", mannwhitneyu(train, test)),
    ):
        config = ClinicalConfig((ClinicalVariable("size_cm", "number", "imaging", test=name),))
        table = baseline_table(patients, ids[:60], ids[60:], config)
        first, missing = table.iloc[0], table.iloc[1]
        assert (first["statistic"], first["p"]) == pytest.approx(tuple(expected))
        assert missing[["level", "total", "train", "test"]].tolist() == ["not known", 1, 1, 0]
    assert first["level"] == "median (IQR)"
    assert first["train"] == train.median()
    assert first["train_share"] == train.quantile(0.75) - train.quantile(0.25)


def test_every_column_in_its_order_missing_counted_and_texts_left_out():
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


def test_one_level_or_an_empty_test_set_has_no_p():
    patients = pd.DataFrame({"patient_id": ["a", "b"], "sln": ["negative", "negative"]})
    assert baseline_table(patients, ["a", "b"], [])["p"].isna().all()
