"""The flow of cases: what becomes of each patient of a classifier."""

from types import SimpleNamespace

import pandas as pd

from mammoroi.reporting.flow import flow_table


def results(predicted: list[str], missed: list[str], empty_masks: list[str]):
    """Seven patients, one without a label; ``missed`` have no features of their own."""
    patients = pd.DataFrame({"patient_id": list("ABCDEFG"), "sln": [*["positive"] * 6, None]})
    predictions = pd.DataFrame({"patient_id": predicted})
    predictions["missed"] = predictions["patient_id"].isin(missed)
    target = SimpleNamespace(
        name="sln", label="sln", results={"automatic": SimpleNamespace(predictions=predictions)}
    )
    return SimpleNamespace(
        images=pd.DataFrame({"image_id": list("ABCDEFG")}),
        patients=patients,
        excluded=pd.DataFrame({"stage": ["cohort/image", "cohort/patient"]}),
        cohort={"n_images_in": 8, "n_patients_in": 8},
        automatic=False,
        features={},
        targets=[target],
        missed=pd.DataFrame({"patient_id": empty_masks}),
    )


def row(*given: list[str]) -> dict:
    table = flow_table(results(*given)).set_index("stage")
    assert table["adds_up"].all()
    parts = ["cases_in", "used", "excluded", "no_lesion_found", "failed"]
    return table.loc["sln, automatic masks", parts].to_dict()


def test_everybody_is_used_but_the_one_without_a_label():
    found = row(list("ABCDEF"), [], [])
    assert list(found.values()) == [7, 6, 1, 0, 0]


def test_an_empty_mask_is_no_lesion_and_one_that_was_not_measured_failed():
    assert list(row(list("ABCDEF"), ["A", "B", "C"], ["A"]).values()) == [7, 3, 1, 1, 2]


def test_who_has_no_prediction_failed():
    assert list(row(list("ABCD"), ["A"], ["A"]).values()) == [7, 3, 1, 1, 2]


def test_what_does_not_add_up_is_said():
    given = results(list("ABCDEF"), [], [])
    given.cohort["n_images_in"] = 9
    table = flow_table(given).set_index("stage")
    assert not table.loc["cohort, images", "adds_up"]
