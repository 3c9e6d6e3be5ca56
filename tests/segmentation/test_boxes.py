"""Manual masks that are boxes: lesions are found as with outlines, and nothing else is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.cli import main
from mammoroi.files import read_csv, read_json, write_csv
from mammoroi.imaging.mask import read_mask, write_mask
from mammoroi.reporting.methods import methods
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.summary import mask_sentences
from mammoroi.segmentation.agreement import OF_OUTLINES, agree
from mammoroi.segmentation.candidates import find_candidates
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.mapping import bounding_box
from mammoroi.segmentation.pixel_calibration import write_probability
from mammoroi.segmentation.predict import write_candidates
from mammoroi.segmentation.prepare import load_mapping, prepare

from .test_masks_only import Page

CONFIG = SegmentationConfig(
    working_spacing_mm=1.0, bootstrap_samples=20, overlays=1, hit_iou=0.3, workers=1
)


def draw_masks(study: Path) -> pd.DataFrame:
    """Automatic masks beside the lesions by more from image to image, at last none; the cohort."""
    prepare(CONFIG, study)
    cohort = pd.read_csv(study / "cohort.csv", dtype=str)
    rows, candidates = [], {}
    for number, row in enumerate(cohort.itertuples()):
        mapping = load_mapping(study, row.image_id)
        manual = read_mask(study / row.mask, (mapping.rows, mapping.columns))
        mask = np.roll(manual, number, axis=0) & (number < len(cohort) - 1)
        probability = np.where(mask, np.float32(0.9 - number / 50), np.float32(0))
        write_mask(study / "masks" / "automatic" / f"{row.image_id}.png", mask)
        write_probability(
            study / "masks" / "probability" / f"{row.image_id}.png",
            mapping.mask_to_working(mask) * np.float32(0.9),
        )
        candidates[row.image_id] = find_candidates(probability, mapping.pixel_area_mm2, 4)
        rows.append(
            {"image_id": row.image_id, "entropy": 0.5, "expected_dice": 0.9 - number / 50}
            | {"member_dice": None}
        )
    write_csv(study / "masks" / "predictions.csv", pd.DataFrame(rows))
    write_candidates(study / "masks" / "candidates.csv", candidates)
    return cohort


def as_boxes(study: Path, cohort: pd.DataFrame, boxes: pd.Series) -> None:
    """Have the manual masks of some images be the rectangles around them, and say so."""
    for name in cohort.loc[boxes, "mask"]:
        with Image.open(study / name) as image:
            mask = np.asarray(image) > 0
        top, bottom, left, right = bounding_box(mask)
        box = np.zeros_like(mask)
        box[top:bottom, left:right] = True
        write_mask(study / name, box)
    kinds = boxes.map({True: "box", False: "outline"})
    readers = cohort["mask_reader2"].mask(boxes)
    cohort.assign(mask_kind=kinds, mask_reader2=readers).to_csv(study / "cohort.csv", index=False)


def results(study: Path) -> dict[str, pd.DataFrame]:
    agree(CONFIG, study)
    names = ("agreement", "agreement_summary", "agreement_failures", "lesions", "froc")
    names += ("froc_summary", "pixel_calibration", "uncertainty")
    return {name: pd.read_csv(study / f"{name}.csv") for name in names}


@pytest.mark.parametrize("all_boxes", [True, False], ids=["boxes alone", "half of them outlines"])
def test_boxes_say_whether_lesions_are_found(
    study: Path, all_boxes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = draw_masks(study)
    outlines = results(study)
    boxes = pd.Series(all_boxes | (np.arange(len(cohort)) % 4 < 2))
    as_boxes(study, cohort, boxes)
    found = results(study)
    assert f"in {boxes.sum()} of {len(cohort)} images the manual mask is a box" in caplog.text
    assert found["agreement_failures"].empty

    # Detection looks at boxes anyhow: what was found stays found, at the same rates.
    pd.testing.assert_frame_equal(found["froc"], outlines["froc"])
    everyone = found["froc"].query("set == 'all'")["sensitivity"]
    assert 0.2 < everyone.max() < 0.8
    sizes = found["froc_summary"]["group"].str.startswith("size_group")
    before = outlines["froc_summary"]["group"].str.startswith("size_group")
    pd.testing.assert_frame_equal(
        found["froc_summary"][~sizes].reset_index(drop=True),
        outlines["froc_summary"][~before].reset_index(drop=True),
    )
    lesions = found["lesions"].merge(outlines["lesions"], on="image_id", suffixes=("", "_before"))
    assert lesions["score"].equals(lesions["score_before"])
    boxed = lesions["image_id"].isin(cohort.loc[boxes, "image_id"])
    assert lesions.loc[boxed, ["area_mm2", "size_group"]].isna().all(axis=None)
    assert lesions.loc[~boxed, "area_mm2"].equals(lesions.loc[~boxed, "area_mm2_before"])

    # Nothing is said of a box that an outline only has; of outlines everything is as before.
    table = found["agreement"].query("comparison == 'automatic-manual'")
    boxed = table["image_id"].isin(cohort.loc[boxes, "image_id"])
    assert len(table) == len(cohort)
    missing = [*OF_OUTLINES, "size_group", "ece_near", "ece_breast"]
    assert {"dice", "hd95_mm", "hd95_penalised_mm", "area_ratio", "reference_area_mm2"} < {*missing}
    assert table.loc[boxed, missing].isna().all(axis=None)
    assert table.loc[boxed, ["found", "area_mm2", "expected_dice"]].notna().all(axis=None)
    same = outlines["agreement"].query("comparison == 'automatic-manual'")[~boxed.to_numpy()]
    pd.testing.assert_frame_equal(table.loc[~boxed, missing], same[missing], check_dtype=False)
    counted = read_json(study / "uncertainty.json")
    assert sum(part["n"] for part in counted["sets"].values()) == (~boxes).sum()
    train = table[~boxed & table["set"].eq("train") & (table["area_mm2"] > 0)]
    assert counted["flag"]["n_train"] == len(train)

    summary = found["agreement_summary"].query("comparison == 'automatic-manual'")
    overall = summary[summary["group"] == "all"].set_index("metric")
    assert overall.loc["found", "n"] == len(cohort)
    if all_boxes:
        assert "dice" not in overall.index
        assert found["pixel_calibration"].empty
        assert counted["flag"]["threshold"] is None
    else:
        assert overall.loc["dice", "n"] == (~boxes).sum()
        assert overall.loc["dice", "mean"] == pytest.approx(same["dice"].mean())
        pixels = found["pixel_calibration"].query("region == 'near'")["n_pixels"].sum()
        before = outlines["pixel_calibration"].query("region == 'near'")["n_pixels"].sum()
        assert 0 < pixels < before


def test_a_second_readers_mask_is_not_compared_with_a_box(study: Path) -> None:
    cohort = draw_masks(study)
    cohort.assign(mask_kind="box").to_csv(study / "cohort.csv", index=False)
    found = results(study)
    assert set(found["agreement"]["comparison"]) == {"automatic-manual"}
    failures = found["agreement_failures"]
    assert (
        failures["case"].tolist() == cohort.loc[cohort["mask_reader2"].notna(), "image_id"].tolist()
    )
    assert failures["error"].str.contains("its mask is a box around the lesion").all()


SETTINGS = """
out: study
cohort: {folder: cohort, n_folds: 2, stratify: [], test_size: 0.3}
segmentation:
  working_spacing_mm: 3.0
  channels: [2, 2, 2, 4, 4]
  epochs: 2
  batch_size: 4
  tuning_fraction: 0.3
  accelerator: cpu
  workers: 1
  calibrate: true
  postprocessing: learnt
modeling: {tasks: [], n_bootstrap: 100}
"""


@pytest.mark.parametrize("all_boxes", [True, False], ids=["boxes alone", "half of them outlines"])
def test_a_study_of_boxes_ends_in_a_report_that_says_so(
    make_study: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    all_boxes: bool,
) -> None:
    cohort = make_study(tmp_path / "cohort", patients=8, test=2, folds=2)
    (cohort / "splits.json").unlink()
    (cohort / "patients.csv").write_text("patient_id\n" + "".join(f"P{k:02d}\n" for k in range(8)))
    images = pd.read_csv(cohort / "cohort.csv", dtype=str)
    boxes = pd.Series(all_boxes | (np.arange(len(images)) % 2 < 1))
    as_boxes(cohort, images, boxes)
    (tmp_path / "my.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    assert main(["study", "my.yaml"]) == 0

    n = f"{boxes.sum()} of {len(images)} images"
    folder = tmp_path / "study"
    page = Page((folder / "report.html").read_text("utf-8"))
    assert f"In {n} ({boxes.mean():.0%}) the manual mask is a box around the lesion" in page.text
    first = mask_sentences(read_results(folder))[0]
    assert first.startswith(
        "The sensitivity for lesions was" if all_boxes else "The automatic masks"
    )
    shown = {path.stem for path in folder.glob("figures/*.svg")}
    assert "froc" in shown
    overlap = {"dice_distribution", "dice_groups", "uncertainty_dice", "pixel_calibration"}
    assert overlap & shown == (set() if all_boxes else overlap)
    assert ("agreement" in {path.stem for path in folder.glob("tables/*.csv")}) == (not all_boxes)
    text = methods(folder)
    assert f"It is a box around the lesion, not its outline, in {boxes.sum()} of them." in text
    assert "FROC" in text
    assert ("Dice coefficient" in text) == (not all_boxes)
    card = (folder / "cards" / "segmentation.md").read_text("utf-8")
    assert f"The manual masks of {boxes.sum()} mammograms are boxes" in card
    assert len(read_csv(folder / "lesions.csv")) == len(images)
