"""How a classifier did on a study's test patients, where its risks separate the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mammoroi.clinic.results import Discrimination
from mammoroi.clinic.tested import doubt, study_test
from mammoroi.files import write_json
from mammoroi.modeling.metrics import measure


@pytest.mark.parametrize(("of_each", "flag"), [(20, None), (4, "not-told-from-chance")])
def test_separated_classes_are_tested(tmp_path: Path, of_each: int, flag: str | None) -> None:
    labels = np.repeat([0, 1], of_each)
    risks = np.linspace(0.1, 0.9, 2 * of_each)
    found = measure(labels, risks, 0.5, np.zeros(2 * of_each), 50, 1)
    write_json(tmp_path / "metrics.json", {"test": found})
    tested = study_test(tmp_path)
    assert tested is not None
    assert (tested.auc, tested.upper) == (1, 1)
    doubted = doubt(tested)
    assert (doubted.code if doubted else None) == flag


@pytest.mark.parametrize(
    ("lower", "flag"),
    [(0.51, None), (0.5, "not-told-from-chance"), (0.4, "not-told-from-chance")],
)
def test_an_interval_that_holds_chance_is_doubted(lower: float, flag: str | None) -> None:
    doubted = doubt(Discrimination(72, 0.7, lower, 0.8))
    assert (doubted.code if doubted else None) == flag


def test_a_classifier_of_which_nothing_is_known_is_doubted() -> None:
    doubted = doubt(None)
    assert doubted is not None
    assert doubted.code == "untested"
