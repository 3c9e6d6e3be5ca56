"""The rules by which numbers become sentences."""

import math

import pandas as pd
import pytest

from mammoroi.reporting import wording
from mammoroi.reporting.claims import _meaning
from mammoroi.reporting.wording import Estimate

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.8149, 2, "0.81"),
        (-0.0712, 3, "−0.071"),
        (-0.001, 2, "0.00"),
        (NAN, 2, "–"),
        (None, 2, "–"),
    ],
)
def test_number(value: float | None, digits: int, text: str) -> None:
    assert wording.number(value, digits) == text


def test_risks_that_are_nearly_the_same_are_said_to_be() -> None:
    assert "(0.48 to 0.51): they may rank" in wording.flat_risks([0.48, 0.51, NAN, 0.5])
    assert wording.flat_risks([0.4, 0.4]) == "Every test patient has the same risk (0.40)."
    assert wording.flat_risks([0.4, 0.46]) == wording.flat_risks([0.4]) == ""


def test_interval() -> None:
    assert wording.interval(0.814, 0.721, 0.889) == "0.81 (0.72 to 0.89)"
    assert wording.interval(-0.0212, -0.06, 0.018, 3) == "−0.021 (−0.060 to 0.018)"
    assert wording.interval(0.81, None, NAN) == wording.interval(0.81, 0.81, 0.81) == "0.81"
    assert wording.bounds(-0.06, 0.018, 3) == "−0.060 to 0.018"
    assert wording.bounds(None, NAN) == "–"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0009, "P < .001"),
        (0.001, "P = .001"),
        (0.0364, "P = .036"),
        (0.36, "P = .360"),
        (0.9995, "P > .999"),
        (1.0, "P > .999"),
        (NAN, "–"),
    ],
)
def test_p_value(p: float, text: str) -> None:
    assert wording.p_value(p) == text


def test_shares_and_durations() -> None:
    assert wording.share(12, 40, "images") == "12 of 40 images (30%)"
    assert wording.share(3, 120, "images") == "3 of 120 images (2.5%)"
    assert wording.share(299, 300, "images") == "299 of 300 images (99.7%)"
    assert wording.share(0, 0, "images") == "0 of 0 images (–)"
    assert [wording.duration(s) for s in (4.21, 59.97, 200.4, 7500, None)] == [
        *("4.2 s", "60.0 s", "3 min 20 s", "2 h 05 min", "–"),
    ]


@pytest.mark.parametrize(
    ("auc", "says"),
    [
        (Estimate(0.81, 0.72, 0.89), "excludes 0.5: better than chance"),
        (Estimate(0.73, 0.503, 0.88), "excludes 0.5 (it begins at 0.5030): better than chance"),
        (Estimate(0.55, 0.46, 0.64), "includes 0.5: the classifier cannot be told from chance"),
        (Estimate(0.60, 0.50, 0.70), "includes 0.5"),
        (Estimate(0.30, 0.20, 0.40), "worse than chance: look for exchanged labels"),
        (Estimate(0.5, 0.5, 0.5), "every patient has the same risk, which tells nobody"),
        (Estimate(NAN, NAN, NAN), "could not be computed"),
        (Estimate(1.0, 0.83, 1.0), "in about 100. The interval excludes 0.5"),
        (Estimate(0.9, NAN, NAN), "AUC 0.90: of 100 pairs"),
        (Estimate(0.9, NAN, NAN), "has no interval: one patient of a class is too few"),
    ],
)
def test_discrimination(auc: Estimate, says: str) -> None:
    assert says in wording.discrimination(auc, "positive", "negative")


def test_discrimination_in_pairs() -> None:
    text = wording.discrimination(Estimate(0.81, 0.72, 0.89), "positive", "negative")
    assert "AUC 0.81 (0.72 to 0.89): of 100 pairs" in text
    assert "in about 81." in text


@pytest.mark.parametrize(
    ("differences", "says"),
    [
        ((0.1, 0.63), "0.10 to 0.63, is what such a claim would have promised too much"),
        ((-0.003, 0.63), "0.00 to 0.63, is not above zero in all: the claim would"),
        ((-0.2, 0.63), "−0.20 to 0.63, has either sign: the claim would"),
        ((-0.2, 0.001), "is not above zero: the claim would have been no higher"),
    ],
)
def test_what_a_claim_promised_too_much(differences: tuple[float, ...], says: str) -> None:
    assert says in _meaning(pd.Series(differences))


@pytest.mark.parametrize(
    ("delta", "says", "not_says"),
    [
        (Estimate(-0.08, -0.14, -0.02), "automatic masks do worse", "better"),
        (Estimate(0.08, 0.02, 0.14), "automatic masks do better", "worse"),
        (Estimate(-0.01, -0.09, 0.07), "too small to call the two equal", "do worse"),
        (Estimate(-0.01, -0.03, 0.02), "more than 0.05 is unlikely", "too small"),
        (Estimate(NAN, NAN, NAN), "could not be compared", "equal"),
        (Estimate(-0.005, NAN, NAN), "is −0.005. It has no interval", "could not be compared"),
        (Estimate(0.0, 0.0, 0.0), "has no width, as where every patient", "unlikely"),
    ],
)
def test_difference(delta: Estimate, says: str, not_says: str) -> None:
    text = wording.difference(delta)
    assert says in text
    assert not_says not in text


def test_a_difference_is_shown_where_both_intervals_show_it() -> None:
    delta, wide = Estimate(-0.367, -0.659, -0.074), Estimate(-0.367, -0.5, 0.062)
    text = wording.difference(delta, wide)
    assert "that of resampled patients (−0.500 to 0.062) does not: no difference is shown" in text
    assert wording.verdict({}, delta, wide).endswith("no difference shown")
    both = Estimate(-0.367, -0.6, -0.1)
    assert "do worse" in wording.difference(delta, both)
    assert wording.verdict({}, delta, both).endswith("automatic worse than manual")
    unknown = Estimate(-0.367, NAN, NAN)
    assert "do worse" in wording.difference(delta, unknown)


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        (
            (-0.08, -0.11, -0.05),
            "difference is −0.08 (−0.11 to −0.05): the automatic masks agree less",
        ),
        ((0.04, 0.01, 0.07), "the automatic masks agree more closely than a second reader does"),
        ((-0.02, -0.05, 0.01), "includes 0, no difference from a second reader is shown"),
        (
            (-0.02, NAN, NAN),
            "a second reader's masks with 0.88 (0.86 to 0.90). They are of too few",
        ),
    ],
)
def test_overlap(difference: tuple[float, ...], says: str) -> None:
    automatic, reader2 = Estimate(0.80, 0.78, 0.82), Estimate(0.88, 0.86, 0.90)
    text = wording.overlap(automatic, reader2, Estimate(*difference), 40)
    assert says in text
    assert ("On the 40 images that have both" in text) == (difference[1] == difference[1])
    assert "no second reader drew masks" in wording.overlap(automatic, None)


def test_missed() -> None:
    assert "every one of the 120 images" in wording.missed(0, 120)
    assert "In 3 of 120 images (2.5%)" in wording.missed(3, 120)
    assert wording.missed(0, 0) == "No image was segmented."


def test_beside() -> None:
    assert "No automatic outline lies wholly beside" in wording.beside(0, 120)
    assert "In 3 of 120 images (2.5%)" in wording.beside(3, 120)


@pytest.mark.parametrize(
    ("n", "n_positive", "says"),
    [
        (250, 123, ""),
        (250, 40, "only 40 with “positive”"),
        (60, 20, "only 20 with “positive” and 40 with “negative”"),
        (300, 220, "only 80 with “negative”"),
    ],
)
def test_few(n: int, n_positive: int, says: str) -> None:
    text = wording.few(n, n_positive, "positive", "negative")
    assert says in text
    assert bool(text) == bool(says)


@pytest.mark.parametrize(
    ("slope", "intercept", "says"),
    [
        ((1.0, 0.8, 1.2), (0.0, -0.2, 0.2), ("1.00 (0.80 to 1.20): the interval includes 1",)),
        ((0.5, 0.3, 0.7), (0.4, 0.1, 0.7), ("too extreme", "0.40 (0.10 to 0.70): on the whole")),
        ((1.6, 1.1, 2.1), (-0.4, -0.7, -0.1), ("too timid", "on the whole they are too high")),
        ((0.5, -0.1, 1.1), (0.4, -0.6, 1.4), ("no wrong spread", "0, so no wrong level is shown")),
    ],
)
def test_calibration_says_what_the_intervals_show(
    slope: tuple[float, ...], intercept: tuple[float, ...], says: tuple[str, ...]
) -> None:
    text = wording.calibration(Estimate(*slope), Estimate(*intercept))
    assert all(words in text for words in says)
    assert ("too extreme" in text) == (slope[2] < 1)


def test_what_cannot_be_estimated_is_said() -> None:
    unknown = Estimate(70.65, NAN, NAN)
    assert wording.calibration(unknown, unknown).startswith(
        "Slope and intercept of calibration cannot be estimated: few patients"
    )
    text = wording.calibration(unknown, Estimate(0.0, -0.5, 0.5))
    assert "Intercept 0.00 (−0.50 to 0.50): the interval includes 0" in text
    assert "the slope cannot be estimated (few patients" in text
    assert wording.estimated(70.65, None, None) == "cannot be estimated"
    assert wording.estimated(0.1, -0.2, 0.4) == "0.10 (−0.20 to 0.40)"


def test_usefulness() -> None:
    assert wording.usefulness([]) == "at no threshold above both simple rules"
    assert wording.usefulness([(0.31, 0.33)]).endswith("scattered thresholds only")
    assert wording.usefulness([(0.1, 0.4), (0.5, 0.51), (0.6, 0.7)]).endswith(
        "at thresholds from 10% to 40% and from 60% to 70%"
    )


def test_verdict_names_chance_and_the_worse_masks() -> None:
    manual, automatic = Estimate(0.79, 0.7, 0.87), Estimate(0.55, 0.46, 0.63)
    assert wording.verdict(
        {"manual": manual, "automatic": automatic}, Estimate(-0.24, -0.32, -0.16)
    ) == (
        "manual: better than chance; automatic: not told from chance; automatic worse than manual"
    )
    assert (
        wording.verdict({"manual": manual, "automatic": None}, None)
        == "manual: better than chance; automatic: not known"
    )
    for ends, said in (
        ((0.5, 0.7), "not told from chance"),
        ((0.51, 0.7), "better than chance"),
        ((0.3, 0.5), "not told from chance"),
        ((0.3, 0.49), "worse than chance"),
    ):
        found = Estimate(sum(ends) / 2, *ends)
        assert wording.verdict({"manual": found}, None) == f"manual: {said}"
