"""The clinical table of a synthetic cohort, drawn about a template of 838 rows.

``paper_cohort_838.csv`` holds no patient's data: it was solved so that its counts, univariable
odds ratios and regression coefficients equal those printed by Zhao et al., Front Oncol 2025;
15:1578458. Age, size, ER, PR and Ki67 are given there as flags about a cut-off; a value is
drawn here on the flag's side of it. HER2 immunohistochemistry and FISH are drawn for the class.
"""

from __future__ import annotations

import math
from importlib import resources
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import read_csv

if TYPE_CHECKING:
    import pandas as pd
    from numpy.random import Generator

TEMPLATE = "paper_cohort_838.csv"
COLUMNS = (
    "patient_id", "age", "ethnicity", "size_cm", "lymphovascular_invasion", "er_percent",
    "pr_percent", "ki67_percent", "nerve_invasion", "menopause", "ck5_6", "lesion_shape",
    "lesion_margin", "mass_density", "architectural_distortion", "calcification", "skin_change",
    "grade", "stage", "breast_density", "sln", "her2_ihc", "her2_fish", "her2",
)  # fmt: skip

_AGE = NormalDist(52.4, 10.6)
_AGE_OF_MENOPAUSE = 54.3
_LOG_SIZE = NormalDist(math.log(2.305), 0.45)


def read_template() -> pd.DataFrame:
    """Read the 838 rows of text; flags are written ``<=40`` and ``>40``."""
    path = resources.files(__package__) / TEMPLATE
    with resources.as_file(path) as file:
        return read_csv(file, dtype=str)


def template_rows(template: pd.DataFrame, n_patients: int, seed: int) -> list[int]:
    """Choose each patient's template row: whole rounds through the template, each in its order.

    Within a round the rows of the six SLN x HER2 cells are spread evenly, so that a first part
    has each cell's share to within about one patient. A longer list starts with the shorter one.
    """
    rows: list[int] = []
    cells = template.groupby(["sln", "her2"], sort=True).indices
    for k in range(math.ceil(n_patients / len(template))):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, k)))
        position = np.empty(len(template))
        for members in cells.values():
            ranks = rng.permutation(len(members)) + rng.random(len(members))
            position[members] = ranks / len(members)
        rows += np.argsort(position).tolist()
    return rows[:n_patients]


def draw_patient(patient_id: str, row: dict[str, str], rng: Generator) -> dict[str, Any]:
    """Draw one patient of ``patients.csv`` about a template row (columns :data:`COLUMNS`)."""
    ihc, fish = _her2_tests(row["her2"], rng)
    values: dict[str, Any] = dict(row) | {
        "patient_id": patient_id,
        "age": _age(row["age"], row["menopause"], rng),
        "size_cm": _size_cm(row["size_cm"], rng),
        "er_percent": _receptor_percent(row["er_percent"], 10, rng),
        "pr_percent": _receptor_percent(row["pr_percent"], 20, rng),
        "ki67_percent": _ki67_percent(row["ki67_percent"], rng),
        "her2_ihc": ihc,
        "her2_fish": fish,
    }
    return {column: values[column] for column in COLUMNS}


def _between(distribution: NormalDist, lowest: float, highest: float, rng: Generator) -> float:
    """Draw from a normal distribution cut to an interval."""
    low, high = distribution.cdf(lowest), distribution.cdf(highest)
    return distribution.inv_cdf(low + (high - low) * rng.random())


def _age(flag: str, menopause: str, rng: Generator) -> int:
    """Draw whole years, 24 to 88, from N(52.4, 10.6); after 40, menopause goes with age."""
    if flag == "<=40":
        return round(_between(_AGE, 23.5, 40.49, rng))
    while True:
        age = _between(_AGE, 40.51, 88.49, rng)
        after = 1 / (1 + math.exp(-(age - _AGE_OF_MENOPAUSE) / 3))
        if rng.random() < (after if menopause == "yes" else 1 - after):
            return round(age)


def _size_cm(flag: str, rng: Generator) -> float:
    """Draw a log-normal size, 0.8 to 7 cm, to 0.1 cm."""
    lowest, highest = (0.76, 2.04) if flag == "<=2" else (2.06, 7.0)
    return round(math.exp(_between(_LOG_SIZE, math.log(lowest), math.log(highest), rng)), 1)


def _receptor_percent(flag: str, cut: int, rng: Generator) -> int:
    """Draw a share of stained cells: mostly none below the cut-off, mostly high above it."""
    if flag.startswith("<="):
        return int(rng.choice([0, 0, 0, 1, cut // 2, cut]))
    steps = np.arange(cut + 10, 100, 10)
    return int(rng.choice(steps, p=steps / steps.sum()))


def _ki67_percent(flag: str, rng: Generator) -> int:
    """Draw a proliferation index: 3 to 20 % or 25 to 90 % in steps of 5."""
    if flag == "<=20":
        return int(rng.choice([3, 5, 8, 10, 15, 20]))
    return int(min(90, 25 + 5 * rng.poisson(3)))


def _her2_tests(her2: str, rng: Generator) -> tuple[str, str | None]:
    """Draw IHC and FISH that mean the class by ASCO/CAP 2018; FISH is done for 2+ only."""
    equivocal = rng.random() < {"zero": 0.0, "low": 0.4, "positive": 0.25}[her2]
    if equivocal:
        return "2+", "positive" if her2 == "positive" else "negative"
    return {"zero": "0", "low": "1+", "positive": "3+"}[her2], None
