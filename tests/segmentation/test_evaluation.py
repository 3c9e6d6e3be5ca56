"""Detection, calibration and uncertainty against constructed truths and MONAI's FROC."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from monai.metrics.froc import compute_fp_tp_probs, compute_froc_curve_data

from mammoroi.segmentation.bootstrap import LEAST_PATIENTS, mean_and_median
from mammoroi.segmentation.candidates import Candidate, find_candidates
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.detection import (
    Marks,
    froc_curve,
    froc_estimates,
    lesions_and_marks,
    marks_of,
    sensitivity_at,
    summarise_detection,
    summarise_masks,
)
from mammoroi.segmentation.evaluation import flag_masks
from mammoroi.segmentation.false_alarms import auc_over_patients
from mammoroi.segmentation.pixel_calibration import (
    BINS,
    bin_counts,
    calibration_error,
    counts_in_regions,
    read_probability,
    reliability,
    write_probability,
)
from mammoroi.segmentation.uncertainty import choose_flag, rank_correlation, uncertainty


def made_marks(rng: np.random.Generator, lesions: int = 60, false: int = 200) -> Marks:
    """Lesions and false positives of 50 patients with one image each, with ties."""
    scores = rng.integers(1, 40, lesions) / 40
    scores[rng.random(lesions) < 0.2] = -np.inf
    return Marks(
        scores,
        rng.integers(1, 30, false) / 40,
        rng.integers(0, 50, lesions),
        rng.integers(0, 50, false),
        np.arange(50),
    )


def test_the_curve_is_that_of_monai() -> None:
    marks = made_marks(np.random.default_rng(1))
    hits = marks.lesion_scores[np.isfinite(marks.lesion_scores)]
    fp_per_image, sensitivity = compute_froc_curve_data(marks.false_scores, hits, 60, 50)
    thresholds, ours_fp, ours = froc_curve(marks)
    # MONAI goes from loose to strict and leaves out the loosest threshold.
    assert np.allclose(ours_fp[:-1], fp_per_image[::-1])
    assert np.allclose(ours[:-1], sensitivity[::-1])
    assert thresholds[-1] == min(hits.min(), marks.false_scores.min())
    assert ours_fp[-1] == 200 / 50
    assert ours[-1] == hits.size / 60


def test_weights_repeat_patients() -> None:
    marks = made_marks(np.random.default_rng(2))
    weights = np.random.default_rng(3).integers(0, 4, 50)
    repeated = Marks(
        np.repeat(marks.lesion_scores, weights[marks.lesion_patients]),
        np.repeat(marks.false_scores, weights[marks.false_patients]),
        *(
            np.repeat(owner, weights[owner])
            for owner in (marks.lesion_patients, marks.false_patients, marks.image_patients)
        ),
    )
    rates = np.array([0.125, 0.5, 2.0])
    one, other = froc_curve(marks, weights), froc_curve(repeated)
    assert np.allclose(sensitivity_at(rates, *one[1:]), sensitivity_at(rates, *other[1:]))


def test_a_known_curve_and_its_interval() -> None:
    # 4 lesions in 4 images: two found before, one after the first false positive, one never.
    marks = Marks(
        np.array([0.9, 0.8, 0.5, -np.inf]),
        np.array([0.7, 0.4]),
        np.arange(4),
        np.array([0, 1]),
        np.arange(4),
    )
    _, fp_per_image, sensitivity = froc_curve(marks)
    assert fp_per_image.tolist() == [0, 0, 0, 0.25, 0.25, 0.5]
    assert sensitivity.tolist() == [0, 0.25, 0.5, 0.5, 0.75, 0.75]
    estimates = froc_estimates(marks, np.array([0.125, 0.25, 8.0]), 500, seed=1)
    assert [value for value, _, _ in estimates] == pytest.approx([0.5, 0.75, 0.75, 2 / 3])
    # Without false positives the sensitivity is a share of lesions, one of each patient.
    rng = np.random.default_rng(5)
    scores = np.where(rng.random(200) < 0.7, 0.5, -np.inf)
    none = np.zeros(0)
    share = Marks(scores, none, np.arange(200), none.astype(int), np.arange(200))
    value, lower, upper = froc_estimates(share, np.array([1.0]), 2000, seed=1)[0]
    expected = 2 * 1.96 * np.sqrt(value * (1 - value) / 200)
    assert upper - lower == pytest.approx(expected, rel=0.08)


def test_resamples_without_an_image_do_not_count() -> None:
    """With the false positives of few images, a resample may hold none of them."""
    rng = np.random.default_rng(5)
    lesions = rng.integers(1, 40, 40) / 40
    normal = np.arange(40, 45)
    marks = Marks(lesions, np.full(5, 0.9), np.arange(40), normal, normal)
    (value, lower, upper), *_ = froc_estimates(marks, np.array([0.125]), 400, 1)
    assert value == pytest.approx((lesions > 0.9).mean())
    assert upper < 0.5  # every image has a false positive of 0.9
    assert lower < value < upper
    nothing = Marks(lesions, np.empty(0), np.arange(40), np.empty(0, int), np.empty(0, int))
    assert np.isnan(froc_estimates(nothing, np.array([0.125]), 20, 1)).all()


def test_candidates_are_matched_as_by_monai() -> None:
    probability = np.zeros((60, 60), np.float32)
    probability[5:15, 5:15] = 0.9  # on the first lesion
    probability[5:15, 20:30] = 0.8  # nothing there
    probability[40:44, 40:44] = 0.6  # in the second lesion, far smaller than it
    probability[50, 2] = 0.7  # too small
    manual = np.zeros((60, 60), np.bool_)
    manual[4:14, 6:16] = True
    manual[30:50, 30:50] = True
    found = find_candidates(probability, 1.0, minimum_area_mm2=4)
    assert [round(one.score, 2) for one in found] == [0.9, 0.8, 0.6]
    assert [one.region for one in found] == [1, 2, 3]
    assert (found[0].row, found[0].column, found[0].area_mm2) == (9.5, 9.5, 100)
    rows = [vars(one) for one in found]
    labels = manual.astype(int)
    labels[30:] *= 2
    false, true, count = compute_fp_tp_probs(
        np.array([one.score for one in found]),
        np.array([one.row for one in found]).round(),
        np.array([one.column for one in found]).round(),
        labels,
    )
    lesions, marks = lesions_and_marks(manual, rows, "centroid", 0.2)
    assert count == len(lesions) == 2
    assert [score for _, score in lesions] == pytest.approx(true)
    assert marks == pytest.approx(false)
    # The boxes of the third candidate and the second lesion share 16 of 400 pixels.
    lesions, marks = lesions_and_marks(manual, rows, "iou", 0.2)
    assert [area for area, _ in lesions] == [100, 400]
    assert lesions[1][1] == -np.inf
    assert marks == pytest.approx([0.8, 0.6])
    assert lesions_and_marks(manual, rows, "iou", 0.04)[0][1][1] == pytest.approx(0.6)


def test_regions_of_the_mask_may_hit_where_their_candidate_does_not() -> None:
    """A faint bridge makes one candidate of two regions, whose box is neither lesion's."""
    probability = np.full((40, 60), 0.01, np.float32)
    probability[4:12, 4:12] = probability[28:36, 48:56] = 0.9
    probability[10:30, 11:50] = np.maximum(probability[10:30, 11:50], 0.15)
    mask = probability >= 0.5
    manual = np.zeros_like(mask)
    manual[5:12, 4:12] = manual[28:36, 47:56] = True

    def matched(found: list[Candidate]) -> tuple[list[bool], int]:
        lesions, false = lesions_and_marks(manual, [vars(one) for one in found], "iou", 0.2)
        return [bool(np.isfinite(score)) for _, score in lesions], len(false)

    assert matched(find_candidates(probability, 1.0, 4.0)) == ([False, False], 1)
    assert matched(find_candidates(mask.astype(np.float32), 1.0, 0.0)) == ([True, True], 0)


def test_the_point_of_the_masks_and_its_interval() -> None:
    rng = np.random.default_rng(2)
    names = np.repeat([f"I{k}" for k in range(200)], 2)
    lesions = pd.DataFrame({"image_id": names, "patient_id": names})
    lesions["hit_by_mask"] = rng.random(400) < 0.7
    images = pd.DataFrame({"image_id": names[::2], "patient_id": names[::2]})
    images["set"] = np.where(np.arange(200) < 150, "train", "test")
    false = images.iloc[rng.integers(0, 150, 90)]
    table = summarise_masks(images, lesions, false, 400, 1).set_index("group")
    assert table.loc["all", "sensitivity"] == pytest.approx(lesions["hit_by_mask"].mean())
    assert table["false_regions"].tolist() == pytest.approx([90 / 200, 0.0, 90 / 150])
    row = table.loc["all"]
    width = 2 * 1.96 * np.sqrt(0.7 * 0.3 / 400)
    assert row["upper"] - row["lower"] == pytest.approx(width, rel=0.2)
    assert row["false_lower"] < row["false_regions"] < row["false_upper"]
    assert (table["n_images"].tolist(), table["n_lesions"].tolist()) == (
        *([200, 50, 150], [400, 100, 300]),
    )
    few = summarise_masks(images[:4], lesions[:8], false[:0], 50, 1).iloc[0]
    assert np.isfinite(few["sensitivity"])
    assert few[["lower", "upper", "false_lower", "false_upper"]].isna().all()


def test_sizes_are_of_lesions_and_views_of_images() -> None:
    images = pd.DataFrame(
        {"image_id": list("abcd"), "patient_id": list("ppqq"), "set": "train", "n_regions": "1",
         "view": ["CC", "MLO"] * 2, "breast_density": None}
    )  # fmt: skip
    lesions = images.assign(size_group=["<10mm", ">20mm"] * 2, score=[0.5, 0.9, None, 0.6])
    lesions["score"] = lesions["score"].astype(float)
    false = images[:1].assign(score=0.7)
    curve, table = summarise_detection(images, lesions, false, (0.25, 0.5), 50, seed=1)
    at = table.set_index(["group", "fp_per_image"])
    assert at.loc[("size_group=<10mm", "0.25"), ["n_images", "n_lesions"]].tolist() == [4, 2]
    assert at.loc[("size_group=<10mm", "0.25"), "sensitivity"] == 0.5
    assert at.loc[("view=CC", "0.25"), "sensitivity"] == 0  # one false positive in two images
    assert at.loc[("view=CC", "0.5"), "sensitivity"] == 0.5
    assert at.loc[("view=MLO", "mean"), "sensitivity"] == 1  # none in these two
    assert set(curve["set"]) == {"all", "train"}


def test_a_calibrated_map_has_no_error_and_an_overconfident_one_has(tmp_path) -> None:
    rng = np.random.default_rng(1)
    probability = rng.random((400, 400)).astype(np.float32)
    lesion = rng.random((400, 400)) < probability
    counts = bin_counts(probability.ravel(), lesion.ravel())
    error = calibration_error(counts)
    assert error is not None
    assert error < 0.006
    sure = np.where(probability > 0.5, 0.95, 0.05).astype(np.float32)
    # True shares are 0.75 and 0.25: the map is wrong by 0.2 everywhere.
    assert calibration_error(bin_counts(sure.ravel(), lesion.ravel())) == pytest.approx(
        0.2, abs=5e-3
    )
    assert calibration_error(np.zeros((3, 10))) is None
    table = reliability(counts[None].repeat(3, 0), np.array(list("aab"), object), 100, seed=1)
    assert np.allclose(table["share"], table["probability"], atol=0.01)
    assert table["n_pixels"].sum() == 3 * 160_000
    write_probability(tmp_path / "map.png", probability)
    assert np.abs(read_probability(tmp_path / "map.png") - probability).max() < 0.002


def test_the_interval_of_a_share_counts_patients_not_images() -> None:
    """Four equal images of each patient say no more than one of them."""
    rng = np.random.default_rng(2)
    shares = rng.random(30)
    counts = np.stack(
        [bin_counts(np.full(200, 0.35, np.float32), rng.random(200) < share) for share in shares]
    )
    patients = np.array([f"P{number}" for number in range(30)], object)
    once = reliability(counts, patients, 500, seed=1).iloc[3]
    often = reliability(counts.repeat(4, 0), patients.repeat(4), 500, seed=1).iloc[3]
    for name in ("share", "lower", "upper"):
        assert often[name] == pytest.approx(once[name])
    # The standard error of a mean over 30 patients, within what 500 resamples can say of it.
    width = 2 * 1.96 * shares.std() / np.sqrt(30)
    assert once["upper"] - once["lower"] == pytest.approx(width, rel=0.2)


@pytest.mark.parametrize("few", [1, 2, 4, 5])
def test_few_patients_have_no_interval(few: int) -> None:
    """Neither where all are few, nor where few of many have what is measured."""
    rng = np.random.default_rng(few)
    owners = np.repeat([f"P{k}" for k in range(few)], 6).astype(object)
    dice, other = rng.random((2, owners.size))
    counts = rng.integers(5, 9, (owners.size, 3, BINS)).astype(float)
    mean, median = mean_and_median(dice, owners, 50, 1)
    correlated = rank_correlation(dice, other, owners, 50, 1)
    pixels = reliability(counts, owners, 50, 1)
    healthy = np.array([f"N{k}" for k in range(9)], dtype=object)
    auc = auc_over_patients(
        rng.random(owners.size + 9),
        np.arange(owners.size + 9) < owners.size,
        np.concatenate([owners, healthy]),
        50,
        1,
    )
    images = pd.DataFrame({"patient_id": [*owners, *healthy]})
    lesions = pd.DataFrame({"patient_id": owners, "score": dice})
    false = pd.DataFrame({"patient_id": healthy, "score": rng.random(9)})
    froc = froc_estimates(marks_of(images, lesions, false), np.array([0.5, 1.0]), 50, 1)
    found = [vars(one).values() for one in (mean, median, correlated)]
    found += [auc, *froc, *pixels[["share", "lower", "upper"]].to_numpy()]
    for value, lower, upper in found:
        assert np.isfinite(value)
        assert np.isnan(lower) == np.isnan(upper) == (few < LEAST_PATIENTS)


def test_near_is_ten_millimetres() -> None:
    manual = np.zeros((101, 101), np.bool_)
    manual[50, 50] = True
    counts = counts_in_regions(
        np.zeros((101, 101), np.float32), manual, np.ones((101, 101), np.bool_), (1.0, 2.0)
    )
    y, x = np.mgrid[-50:51, -50:51]
    assert counts["near"][0].sum() == (y**2 + (2.0 * x) ** 2 <= 100).sum()
    assert counts["breast"][0].sum() == 101**2
    assert calibration_error(counts["breast"]) == pytest.approx(1 / 101**2)


def test_near_is_near_the_manual_mask_and_what_is_called_lesion() -> None:
    """All pixels of both regions, one by one: the marked ones are there, whatever the breast is."""
    manual, breast = np.zeros((2, 90, 70), np.bool_)
    probability = np.full((90, 70), 0.12, np.float32)
    manual[20, 15] = True  # beside the breast
    probability[60, 40] = 0.5
    breast[:, 18:] = True
    counts = counts_in_regions(probability, manual, breast, (1.0, 2.0))
    y, x = np.mgrid[:90, :70]
    away = [np.hypot(y - row, 2.0 * (x - column)) for row, column in ((20, 15), (60, 40))]
    near = (np.minimum(*away) <= 10) & (breast | manual)
    for region, inside in (("near", near), ("breast", breast | manual)):
        pixels, total, lesion = counts[region]
        assert pixels.tolist() == np.histogram(probability[inside], 10, (0, 1))[0].tolist()
        assert total.sum() == pytest.approx(probability[inside].sum(dtype=float))
        assert lesion.tolist() == [0, 1, *[0] * 8]
    sure = np.float32([0.05, 0.95])  # wrong in both bins, in opposite ways
    assert calibration_error(bin_counts(sure, np.array([True, False]))) == pytest.approx(0.95)


def test_a_bin_of_few_patients_has_no_interval() -> None:
    counts = np.zeros((9, 3, BINS))
    counts[:, :, 2] = [[40.0, 10.0, 8.0]]
    counts[:4, :, 7] = [[5.0, 4.0, 3.0]]
    patients = np.array([f"P{k}" for k in range(9)], dtype=object)
    table = reliability(counts, patients, 50, 1)
    assert table["share"].dropna().tolist() == [0.2, 0.6]
    assert table["lower"].notna().tolist() == [n == 2 for n in range(BINS)]


def test_expected_dice_is_the_mean_dice_of_masks_drawn_from_the_map() -> None:
    rng = np.random.default_rng(1)
    probability = np.clip(rng.normal(0.1, 0.1, (80, 80)), 0, 1).astype(np.float32)
    probability[20:50, 20:50] = rng.uniform(0.5, 1, (30, 30))
    mask = probability >= 0.5
    found = uncertainty(probability, mask, [mask])
    dice = [
        2 * (mask & truth).sum() / (mask.sum() + truth.sum())
        for truth in (rng.random((80, 80)) < probability for _ in range(300))
    ]
    assert found.expected_dice == pytest.approx(np.mean(dice), abs=2e-3)
    assert found.member_dice is None
    even = np.full((4, 4), 0.5, np.float32)
    assert uncertainty(even, even > 0, []).entropy == pytest.approx(1)
    shifted = np.roll(mask, 15, axis=0)
    pair = uncertainty(probability, mask, [mask, mask, shifted])
    overlap = 2 * (mask & shifted).sum() / (2 * mask.sum())
    assert pair.member_dice == pytest.approx((1 + 2 * overlap) / 3)
    empty = uncertainty(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.bool_), [even > 1] * 2)
    assert (empty.entropy, empty.expected_dice, empty.member_dice) == (None, 0, None)


def test_an_order_that_is_kept_correlates_and_noise_does_not() -> None:
    rng = np.random.default_rng(1)
    dice = rng.random(120)
    patients = np.repeat(np.arange(60), 2).astype(object)
    kept = rank_correlation(dice**3, dice, patients, 200, seed=1)
    assert kept.value == pytest.approx(1)
    assert kept.lower > 0.99
    noise = rank_correlation(rng.random(120), dice, patients, 400, seed=1)
    assert noise.lower < 0 < noise.upper
    assert np.isnan(rank_correlation(np.ones(120), dice, patients, 20, seed=1).value)
    assert np.isnan(rank_correlation(dice[:2], dice[:2], patients[:2], 20, seed=1).value)


def test_the_flag_catches_the_wanted_share_and_no_test_patient_moves_it() -> None:
    rng = np.random.default_rng(1)
    dice = np.round(rng.random(300), 3)
    flag = choose_flag(dice**2, dice, poor_dice=0.5, wanted=0.8)
    poor = dice < 0.5
    caught = sum(bool(flag.uncertain(value)) for value in dice[poor] ** 2)
    assert caught == np.ceil(0.8 * poor.sum())
    assert not any(flag.uncertain(value) for value in dice[~poor] ** 2)
    assert flag.uncertain(0.0)
    nothing = choose_flag(dice[~poor], dice[~poor], poor_dice=0.5, wanted=0.8)
    assert nothing.threshold is None
    assert nothing.uncertain(0.9) is None
    assert nothing.uncertain(0.0) is True  # that nothing was drawn is seen all the same

    table = pd.DataFrame(
        {"set": ["train"] * 200 + ["test"] * 100, "area_mm2": 50.0, "dice": dice,
         "expected_dice": dice**2}
    )  # fmt: skip
    chosen = flag_masks(table, SegmentationConfig())
    tested = table["set"] == "test"
    table.loc[tested, "expected_dice"] = 0.9
    table.loc[tested, "dice"] = 0.01
    assert flag_masks(table, SegmentationConfig()) == chosen
    assert chosen.n_train == 200
