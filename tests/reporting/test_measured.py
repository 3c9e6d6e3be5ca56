"""Patients whom one source of masks did not measure, in the note and in the flow of cases."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from mammoroi.files import write_json
from mammoroi.modeling.compare import rules_of
from mammoroi.reporting.figures_masks import beside_reader2
from mammoroi.reporting.flow import _classifier
from mammoroi.reporting.tables import _everyone, _not_compared


def results(manual: list[str], automatic: list[str], missed: list[str] | None = None) -> Any:
    by_roi = {
        roi: SimpleNamespace(
            predictions=pd.DataFrame({"patient_id": ids}).assign(
                missed=lambda table: table["patient_id"].isin(missed or [])
            )
        )
        for roi, ids in (("manual", manual), ("automatic", automatic))
    }
    target = SimpleNamespace(name="sln", label="sln", results=by_roi)
    patients = pd.DataFrame({"patient_id": ["A", "B", "C", "D"], "sln": "positive"})
    empty = pd.DataFrame({"image_id": ["B-CC"], "patient_id": ["B"], "roi": "automatic"})
    return SimpleNamespace(targets=[target], patients=patients, missed=empty)


def test_the_note_counts_patients_with_one_risk_only() -> None:
    assert _not_compared(results(["A", "B"], ["A", "B"])) == ""
    text = _not_compared(results(["A", "B"], ["A", "C", "D"]))
    assert text == " Not among them, for want of a measurement by one source: sln 3 patients."


def test_with_views_side_by_side_one_view_alone_judges_nobody(tmp_path: Path) -> None:
    """With `concat` a patient one of whose views was missed gets the average risk."""
    write_json(tmp_path / "run.json", {"config": {"modeling": {"views": "mean"}}})
    study: Any = SimpleNamespace(folder=tmp_path)
    assert "by their other images" in _everyone(study)
    assert "judged by those" in rules_of("mean")["intention_to_diagnose"]
    write_json(tmp_path / "run.json", {"config": {"modeling": {"views": "concat"}}})
    assert _everyone(study) == (
        "them by the average where a view, CC or MLO, lacks all of its images"
    )
    assert rules_of("concat")["intention_to_diagnose"] == (
        "All patients whom the manual masks measure. One whose lesion was found in no image of a "
        "view, or could not be measured, gets the prevalence of the training patients as risk."
    )


def test_a_mask_that_could_not_be_measured_is_a_failure_not_an_empty_outline() -> None:
    """B's mask is empty, C's too small; D has no features from either source."""
    found = results(["A", "B", "C"], ["A", "B", "C"], missed=["B", "C"])
    row = _classifier(found, found.targets[0], "automatic")
    parts = {name: row[name] for name in ("cases_in", "used", "no_lesion_found", "failed")}
    assert parts == {"cases_in": 4, "used": 1, "no_lesion_found": 1, "failed": 2}


def test_a_network_that_is_worse_than_the_second_reader_is_below_zero() -> None:
    images = [f"I{number}" for number in range(20)]
    parts = [("automatic-manual", 0.70), ("reader2-manual", 0.85), ("perturbed-manual", 0.1)]
    rows = [(name, name, kind, dice) for kind, dice in parts for name in images]
    rows += [("alone", "alone", "automatic-manual", 1.0)]  # no second reader: it does not count
    columns = ["image_id", "patient_id", "comparison", "dice"]
    results: Any = SimpleNamespace(agreement=pd.DataFrame(rows, columns=columns))
    found, n = beside_reader2(results)
    assert n == 20
    assert (found.value, found.lower, found.upper) == pytest.approx((-0.15, -0.15, -0.15))
