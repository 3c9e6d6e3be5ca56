"""Mammograms without a lesion: what networks mark in them, and what is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.fallen_out import count_cases
from mammoroi.files import read_csv
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.false_alarms import (
    auc_over_patients,
    read_drawn_normals,
    summarise_normals,
)
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.prepare import NORMALS
from mammoroi.segmentation.train import train
from mammoroi.segmentation.weights import load_model

from .healthy import TINY, divided_by, job_of, write_normals


@pytest.mark.parametrize("stages", [1, 2])
def test_false_regions_are_counted_on_unseen_normal_breasts(
    study: Path, normals: Path, stages: int
) -> None:
    config = replace(TINY, normal_cohort=str(normals), minimum_area_mm2=0.0, max_components=0)
    config = replace(config, epochs=24, learning_rate=0.01, threshold=0.2)
    if stages == 2:
        config = replace(config, outline_spacing_mm=1.0, outline_patch=(32, 32))
    train(config, study)
    for place in ("segmentation", "segmentation/outline")[:stages]:
        network = study / place / "fold-0"
        card = load_model(network).card
        job = job_of(config, study, 0)
        assert card["n_normal_images"] == len(job.normals) > 4
        assert "normal_cohort" not in card["settings"]
        learned = read_csv(network / "learned_from.csv", dtype=str)
        seen = set(learned["patient_id"][learned["role"] == "normal"])
        assert seen == {patient for _, _, patient in job.normals}
        assert card["normals_per_epoch"] == round(0.5 * card["n_training_images"])
    segment(config, study)
    masks = study / "masks" / NORMALS
    predictions = read_csv(masks / "predictions.csv", dtype={"fold": str})
    splits = load_splits(study)
    assert len(predictions) == 15
    drawing = divided_by(config, study).folds
    for row in predictions.itertuples():
        folds = drawing[row.patient_id]
        assert row.fold == ("test" if len(folds) == 2 else str(folds[0]))
        with Image.open(masks / "automatic" / f"{row.image_id}.png") as mask:
            assert np.asarray(mask).any() == row.found
    found = read_csv(study / "masks" / "predictions.csv")["found"]
    counts = count_cases("segment", study)
    assert (counts["used"], counts["missed"]) == (found.sum() + 15, (~found).sum())
    assert counts["cases_in"] == 20 + 15
    drawn = (masks / "predictions.csv").stat().st_mtime_ns
    segment(config, study)
    assert (masks / "predictions.csv").stat().st_mtime_ns == drawn  # nothing is drawn again

    agree(config, study)
    marks = read_csv(masks / "candidates.csv")
    assert len(set(marks["score"])) > 8
    own_marks = read_csv(study / "masks" / "candidates.csv")
    lesions = read_csv(study / "lesions.csv")
    summary = read_csv(study / "froc_summary.csv", dtype={"fp_per_image": str})
    rows = summary[(summary["group"] == "normals") & (summary["fp_per_image"] != "mean")]
    assert len(rows) == len(config.fp_per_image)
    assert set(rows["n_images"]) == {15}
    assert set(rows["n_lesions"]) == {len(lesions)}
    scores = lesions["score"].fillna(-1.0)
    for row in rows.itertuples():
        # The highest share of lesions whose threshold marks no more than so many per normal breast.
        allowed = [
            (scores >= threshold).mean()
            for threshold in scores.unique()
            if threshold >= 0
            and (marks["score"] >= threshold).sum() / 15 <= float(row.fp_per_image)
        ]
        assert row.sensitivity == pytest.approx(max(allowed, default=0.0))
    curve = read_csv(study / "froc.csv")
    curve = curve[curve["set"] == "normals"]
    assert curve["fp_per_image"].iloc[-1] == pytest.approx(len(marks) / 15)

    found = read_csv(study / "normals.csv").set_index("measure")
    assert found.loc["left_empty", "value"] == pytest.approx(1 - predictions["found"].mean())
    assert found.loc["area_mm2", "value"] == pytest.approx(predictions["area_mm2"].mean())
    best = [
        table.groupby("image_id")["score"].max().reindex(names).fillna(0.0)
        for table, names in (
            (own_marks, read_csv(study / "masks" / "predictions.csv")["image_id"]),
            (marks, predictions["image_id"]),
        )
    ]
    truth = [1] * 20 + [0] * 15
    assert found.loc["auc", "value"] == pytest.approx(roc_auc_score(truth, np.concatenate(best)))
    assert found.loc["auc", "n"] == 35
    assert (found["lower"] <= found["value"]).all()
    assert (found["value"] <= found["upper"]).all()

    # What else is measured is of images with a lesion alone.
    assert len(read_csv(study / "agreement.csv").query("comparison == 'automatic-manual'")) == 20
    # Networks that have seen a patient do not count her false regions.
    table = read_csv(study / "segmentation" / "fold-0" / "learned_from.csv", dtype=str)
    own = min(divided_by(config, study).drawn_by(0) - {*splits.train})
    more = pd.DataFrame({"patient_id": [own], "role": ["normal"]})
    pd.concat([table, more]).to_csv(
        study / "segmentation" / "fold-0" / "learned_from.csv", index=False
    )
    with pytest.raises(MammoroiError, match=f"has learned from 1 of the patients .*{own}"):
        segment(config, study)


def test_networks_that_learned_from_none_are_tried_on_them(study: Path, normals: Path) -> None:
    train(TINY, study)
    config = replace(TINY, normal_cohort=str(normals), normals_per_image=0.25)
    segment(config, study)
    agree(config, study)
    table = read_csv(study / "normals.csv")
    assert set(table["n"][table["measure"] == "left_empty"]) == {15}
    agree(TINY, study)  # what is not asked for is not told, though it is still there
    assert not (study / "normals.csv").exists()
    train(config, study)
    with pytest.raises(MammoroiError, match=r"trained with normals_per_image 0\.25, not 0\.5"):
        segment(replace(config, normals_per_image=0.5), study)


def test_networks_learn_to_leave_alone_what_normal_breasts_have(
    tmp_path: Path, make_study: Callable[..., Path]
) -> None:
    """Bright bars are marked by networks that have seen discs alone, and not by those that know."""
    config = replace(TINY, epochs=60, learning_rate=0.01, normals_per_image=0.5)
    normals = write_normals(tmp_path / "normals", [f"X{number}" for number in range(16)])
    told = replace(config, normal_cohort=str(normals))
    empty, dice = {}, {}
    for name, training in (("without", config), ("with", told)):
        study = make_study(tmp_path / name, patients=10, test=2, folds=2)
        train(training, study)
        segment(told, study)
        agree(told, study)
        empty[name] = read_csv(study / "normals.csv").set_index("measure")["value"]["left_empty"]
        summary = read_csv(study / "agreement_summary.csv").set_index(
            ["comparison", "group", "metric"]
        )
        dice[name] = summary.loc[("automatic-manual", "all", "dice"), "mean"]
    assert empty["without"] < 0.4
    assert empty["with"] > 0.8
    assert dice["with"] > 0.7


def test_an_image_without_a_lesion_counts_by_its_best_candidate(tmp_path: Path) -> None:
    config = replace(TINY, normal_cohort="healthy", bootstrap_samples=50)
    masks = tmp_path / "masks" / NORMALS
    masks.mkdir(parents=True)
    names = [f"00{k}" for k in range(8)]
    drawn = pd.DataFrame({"image_id": names, "patient_id": [f"0{k // 2}" for k in range(8)]})
    drawn = drawn.assign(found=[True, *[False] * 7], area_mm2=[8.0, *[0.0] * 7])
    drawn.to_csv(masks / "predictions.csv", index=False)
    marks = pd.DataFrame({"image_id": ["000", "000", "000", "003", "003"]})
    marks.assign(score=[0.2, 0.9, 0.1, 0.3, 0.4]).to_csv(masks / "candidates.csv", index=False)
    normals = read_drawn_normals(tmp_path, config)
    assert normals is not None
    assert normals.images["score"].tolist() == [0.9, 0, 0, 0.4, 0, 0, 0, 0]
    assert normals.false_positives["patient_id"].tolist() == ["00", "00", "00", "01", "01"]
    lesions = pd.DataFrame({"patient_id": list("abcdef"), "score": [0.5, 0.3, 0.95, 0, 0.6, 0.7]})
    table = summarise_normals(normals, lesions, config).set_index("measure")
    assert table["n"].to_dict() == {"left_empty": 8, "area_mm2": 8, "auc": 14}
    assert table.loc["left_empty", "value"] == 7 / 8
    assert table.loc["area_mm2", "value"] == 1.0
    scores = [*lesions["score"], *normals.images["score"]]
    assert table.loc["auc", "value"] == pytest.approx(roc_auc_score([1] * 6 + [0] * 8, scores))


def test_the_auc_of_images_resamples_patients() -> None:
    rng = np.random.default_rng(4)
    lesion = np.arange(60) < 30
    scores = rng.normal(0, 1, 60) + lesion
    alone = np.array([f"A{number}" for number in range(60)], dtype=object)
    value, lower, upper = auc_over_patients(scores, lesion, alone, 400, 1)
    assert value == pytest.approx(roc_auc_score(lesion, scores))
    # DeLong's standard error for these is about 0.06.
    assert 0.15 < upper - lower < 0.32
    # Ten images of each patient that say the same are worth one.
    tenfold = [np.repeat(part, 10) for part in (scores, lesion, alone)]
    again = auc_over_patients(*tenfold, 400, 1)
    assert again[0] == pytest.approx(value)
    assert again[1] == pytest.approx(lower)
    assert again[2] == pytest.approx(upper)
