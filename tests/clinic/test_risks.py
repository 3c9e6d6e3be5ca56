"""When there is a risk, when it has an interval, and on which breast it rests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mammoroi.clinic.bundle import Bundle, open_bundle
from mammoroi.clinic.flags import UNLIKE
from mammoroi.clinic.results import Flag, ImageResult, Risk
from mammoroi.clinic.risks import index_images, risks_of

N = 4


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    """The demonstration bundle, of whose classifiers the one of SLN takes four features."""
    bundle = open_bundle()
    assert len(known(bundle)) == N
    return bundle


def known(bundle: Bundle) -> list[dict]:
    return next(one for one in bundle.classifiers if one.target == "sln").model.about["features"]


def image(bundle: Bundle, **changes: object) -> ImageResult:
    """An image whose features are the training patients' medians."""
    medians = {
        feature["name"]: feature["median"]
        for classifier in bundle.classifiers
        for feature in classifier.model.about["features"]
    }
    plain = ImageResult(
        *("I", "P", Path("I.dcm"), "CC", "L", (0.1, 0.1), "given"),
        *(np.ones((2, 2), bool), 400.0, 0.8, 0.8, {}),
    )
    return replace(plain, **{"features": medians, **changes})


def sln(bundle: Bundle, *images: ImageResult) -> Risk:
    return next(risk for risk in risks_of(bundle, "P", images, None) if risk.target == "sln")


def codes(risk: Risk) -> set[str]:
    return {flag.code for flag in risk.flags}


def spoilt(bundle: Bundle, outside: int, missing: int = 0) -> ImageResult:
    """Some features beyond the training's largest by their whole range, some without a value."""
    like = image(bundle)
    far = {one["name"]: 2 * one["maximum"] - one["minimum"] for one in known(bundle)[:outside]}
    gone = {one["name"]: np.nan for one in known(bundle)[N - missing :]}
    return replace(like, features={**(like.features or {}), **far, **gone})


def test_a_patient_like_those_of_the_training_has_a_risk_and_its_interval(shipped):
    risk = sln(shipped, image(shipped))
    assert codes(risk) <= {"not-told-from-chance"}
    assert 0 < risk.lower < risk.risk < risk.upper < 1


@pytest.mark.parametrize(("outside", "missing"), [(1, 0), (2, 0), (1, 1)])
def test_with_up_to_half_of_the_features_outside_there_is_a_risk_without_interval(
    shipped, outside, missing
):
    risk = sln(shipped, spoilt(shipped, outside, missing))
    assert risk.risk is not None
    assert risk.lower is None
    assert {"outside-training-features", "no-interval"} <= codes(risk)


@pytest.mark.parametrize(("outside", "missing"), [(3, 0), (2, 1), (0, 3), (4, 0)])
def test_with_more_than_half_there_is_none(shipped, outside, missing):
    risk = sln(shipped, spoilt(shipped, outside, missing))
    assert risk.risk is None
    assert "unlike-training" in codes(risk)


def test_a_feature_of_a_narrow_range_is_outside_by_a_tenth_of_it(shipped):
    """The correlation of neighbouring pixels: from 0.969 to 0.984 in training, at most 1."""
    (narrow,) = (one for one in known(shipped) if one["maximum"] < 1.02 * one["minimum"])
    for step, outside in ((0.05, False), (0.2, True)):
        for end, sign in (("maximum", 1), ("minimum", -1)):
            value = narrow[end] + sign * step * (narrow["maximum"] - narrow["minimum"])
            like = image(shipped)
            risk = sln(shipped, replace(like, features={**like.features, narrow["name"]: value}))
            assert ("outside-training-features" in codes(risk)) == outside
            assert (risk.lower is None) == outside


@pytest.mark.parametrize("code", [code for code in UNLIKE if code != "other-intent"])
def test_an_image_unlike_the_training_takes_the_interval(shipped, code):
    risk = sln(shipped, image(shipped, flags=(Flag(code, "Unlike."),)))
    assert risk.risk == sln(shipped, image(shipped)).risk
    assert (risk.lower, risk.upper) == (None, None)
    assert "no-interval" in codes(risk)


def test_the_breast_with_the_larger_sum_of_expected_dice_decides(shipped):
    sure = image(shipped, image_id="L", expected_dice=0.9)
    two = [
        image(shipped, image_id=view, view=view, laterality="R", expected_dice=0.6)
        for view in ("CC", "MLO")
    ]
    assert [one.image_id for one in index_images([sure, *two])] == ["CC", "MLO"]
    unmeasured = [replace(one, features=None) for one in two]
    assert [one.image_id for one in index_images([sure, *unmeasured])] == ["L"]
    assert index_images(unmeasured) == []
