"""Regions that are drawn only where few of their score are in breasts without a lesion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation.candidates import find_candidates, without_faint
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.export import preparation
from mammoroi.segmentation.learnt import Postprocessing, learnt_settings, limit_false_regions
from mammoroi.segmentation.normals import Normals
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.prepare import NORMALS
from mammoroi.segmentation.probability import probabilities
from mammoroi.segmentation.train import train
from mammoroi.segmentation.unseen import Look, normal_images
from mammoroi.segmentation.weights import load_models

from .healthy import TINY, divided_by, job_of

EIGHT = np.ones((3, 3))


def blobs(scores: list[float]) -> np.ndarray:
    """One square per score."""
    found = np.full((12, 10 * len(scores)), 0.02, np.float32)
    for number, score in enumerate(scores):
        found[3:8, 10 * number + 2 : 10 * number + 7] = score
    return found


def test_faint_regions_are_left_out_and_others_stay_as_they_are() -> None:
    probability = blobs([0.3, 0.6, 0.9])
    probability[8, 12] = 0.11  # belongs to the second one, whose mean it lowers
    left = without_faint(probability, 0.5)
    assert (left[:, :10] == 0).all()
    high = probability[:, 10:] >= 0.1
    assert np.array_equal(left[:, 10:], np.where(high, probability[:, 10:], 0))
    score = find_candidates(probability, 1.0, 0.0)[1].score
    assert 0.5 < score < 0.6
    assert (without_faint(probability, score)[:, 10:20] == 0).all()  # above it, not at it
    assert without_faint(probability, np.nextafter(score, 0))[:, 10:20].any()
    assert without_faint(probability, 0.0) is probability


def looks_at(folder: Path, images: list[list[float]]) -> list[Look]:
    found = []
    for number, scores in enumerate(images):
        np.save(folder / f"{number}.npy", blobs(scores))
        found.append(Look(0, folder / f"{number}.npy", folder / "none", 2.0))
    return found


@pytest.mark.parametrize(
    ("rate", "limit"),
    [(0.25, 0.8), (0.26, 0.8), (0.5, 0.7), (0.75, 0.5), (1.0, 0.3), (1.24, 0.3), (1.25, 0.0)],
)
def test_the_limit_is_the_lowest_that_keeps_the_rate(
    tmp_path: Path, rate: float, limit: float
) -> None:
    looks = looks_at(tmp_path, [[0.9, 0.3], [0.8, 0.7, 0.5], [0.05], [0.04]])
    chosen = Postprocessing(0.5, 1, 0.0, dice=0.5, n_images=1)
    found = limit_false_regions(chosen, looks, rate)
    assert found.minimum_score == pytest.approx(limit)
    assert replace(found, minimum_score=0.0) == chosen
    kept = sum(
        one.score > found.minimum_score
        for look in looks
        for one in find_candidates(look.probability_of(), 2.0, 0.0)
    )
    assert kept <= rate * 4
    large = limit_false_regions(replace(chosen, minimum_area_mm2=51.0), looks, rate)
    assert large.minimum_score == 0  # regions of 50 mm2 are not drawn anyhow


def regions_of(file: Path) -> tuple[np.ndarray, int]:
    with Image.open(file) as mask:
        found, count = ndimage.label(np.asarray(mask) > 0, EIGHT)
    return found, int(count)


def test_mammograms_of_patients_who_test_choose_no_limit() -> None:
    """They teach no network, and all draw them: nothing that is learnt may rest on them."""
    index = pd.DataFrame({"name": list("abcd"), "patient_id": ["X0", "X1", "T0", "X0"]})
    folds = {"X0": (0,), "X1": (1,), "T0": (0, 1)}
    normals = Normals(index.assign(key=list("ABCD")), folds)
    assert normal_images(normals, 0) == [("a", "A"), ("d", "D")]
    assert normal_images(normals, 1) == [("b", "B")]
    alone = Normals(normals.index, {"X0": (0,), "X1": (0,), "T0": (0,)})
    assert normal_images(alone, 1) == []


@dataclass(frozen=True)
class Before:
    """What was drawn without a limit."""

    marks: pd.DataFrame
    regions: dict[str, tuple[np.ndarray, int]]

    @classmethod
    def of(cls, masks: Path) -> Before:
        regions = {file.stem: regions_of(file) for file in (masks / "automatic").glob("*.png")}
        return cls(read_csv(masks / "candidates.csv"), regions)

    def score(self, image_id: str, region: np.ndarray) -> float:
        """The score of the candidate in whose box a region lies."""
        rows, columns = (int(at[0]) for at in np.nonzero(region))
        marks = self.marks[self.marks["image_id"] == image_id]
        inside = marks["top"].le(rows) & marks["bottom"].gt(rows)
        inside &= marks["left"].le(columns) & marks["right"].gt(columns)
        return float(marks.loc[inside, "score"].max())


def test_the_limit_of_a_fold_is_chosen_without_the_fold(study: Path, normals: Path) -> None:
    plain = replace(
        TINY, normal_cohort=str(normals), epochs=24, learning_rate=0.01, max_components=0,
        threshold=0.1, minimum_area_mm2=0.0,
    )  # fmt: skip
    train(plain, study)
    segment(plain, study)
    before = {place: Before.of(place) for place in (study / "masks", study / "masks" / NORMALS)}
    networks = load_models(study / "segmentation")
    assert "minimum_score" not in networks[0].card["inference"]

    config = replace(plain, false_regions_per_normal=0.1)
    with pytest.raises(MammoroiError, match=r"false_regions_per_normal None, not 0\.1"):
        segment(config, study)
    train(config, study)
    folder = study / "segmentation"
    assert [one.sha256 for one in load_models(folder)] == [one.sha256 for one in networks]
    scores: dict[int, list[list[float]]] = {0: [], 1: []}
    divided = divided_by(config, study)
    for name, patient in zip(divided.index["name"], divided.index["patient_id"], strict=True):
        if len(divided.folds[patient]) == 2:
            continue  # of the test set: nothing is chosen on them
        (fold,) = divided.folds[patient]
        array = np.load(folder / "prepared" / f"{name}.npy")
        inference = config.inference()
        mean = np.mean(probabilities(networks[fold], array, inference, torch.device("cpu")), axis=0)
        regions, count = ndimage.label(mean >= 0.1, EIGHT)
        scores[fold].append(list(ndimage.mean(mean, regions, range(1, count + 1))))
    for fold, others in ((0, scores[1]), (1, scores[0]), (None, scores[0] + scores[1])):
        ordered = sorted((one for image in others for one in image), reverse=True)
        expected = ordered[int(0.1 * len(others))]
        assert learnt_settings(folder, fold)["minimum_score"] == pytest.approx(expected, rel=1e-5)
    everyone = learnt_settings(folder, None)["minimum_score"]
    assert (
        networks[0].card["inference"] | {"minimum_score": everyone}
        == (load_models(folder)[0].card["inference"])
    )
    assert f"mean probability is above {everyone:.6g}" in " ".join(
        preparation(load_models(folder), logits=False)["after"]
    )

    # Whole regions go, none changes, and the candidates are what they were.
    segment(config, study)
    gone = stayed = 0
    for place, drawn in before.items():
        pd.testing.assert_frame_equal(read_csv(place / "candidates.csv"), drawn.marks)
        for row in read_csv(place / "predictions.csv", dtype=str).itertuples():
            limit = learnt_settings(folder, None if row.fold == "test" else int(row.fold))
            regions, count = drawn.regions[row.image_id]
            left = regions_of(place / "automatic" / f"{row.image_id}.png")[0] > 0
            assert not left[regions == 0].any()
            for number in range(1, count + 1):
                at = regions == number
                score = drawn.score(row.image_id, at)
                assert left[at].all() == left[at].any() == (score > limit["minimum_score"])
                gone, stayed = gone + (not left[at].any()), stayed + left[at].any()
    assert gone > 2
    assert stayed > 3

    train(plain, study)
    assert not (folder / "postprocessing.json").exists()
    assert "minimum_score" not in load_models(folder)[0].card["inference"]


def test_none_in_a_fold_is_told(study: Path, normals: Path) -> None:
    table = pd.read_csv(normals / "cohort.csv", dtype=str)
    config = replace(TINY, normal_cohort=str(normals), false_regions_per_normal=0.125)
    job_of(config, study, 0)
    folds = divided_by(config, study).folds
    table[table["patient_id"].map(lambda one: folds[one] != (0,))].to_csv(
        normals / "cohort.csv", index=False
    )
    with pytest.raises(MammoroiError, match="of which no fold but 1 has any of a training patient"):
        train(config, study)
    train(replace(config, false_regions_per_normal=None), study)
    assert not (study / "segmentation" / "postprocessing.json").exists()
    assert read_json(study / "segmentation" / "fold-0" / "model.json")["n_normal_images"] > 0


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_rates_that_cannot_be_meant(rate: float) -> None:
    with pytest.raises(MammoroiError, match="set it to null, or above 0 with a normal_cohort"):
        SegmentationConfig(normal_cohort="normals", false_regions_per_normal=rate)
    with pytest.raises(MammoroiError, match="above 0 with a normal_cohort"):
        SegmentationConfig(false_regions_per_normal=0.125)
