"""What the page says: true, plain, and never a number where there is none."""

from dataclasses import replace

import numpy as np
import pytest

from mammoroi.clinic import page_words as words
from mammoroi.clinic.contour import Region
from mammoroi.clinic.page_images import Turned
from mammoroi.clinic.results import Discrimination

from .made_page import ABOVE, BELOW, NO_ANSWER, made_image, made_patient

REGION = Region(1, (0, 0, 5, 5), 23.4, 17.6)


def test_risk_above_and_below():
    above, below = words.answer(ABOVE), words.answer(BELOW)
    assert above.head == "34 of 100"
    assert above.sentences[0] == (
        "Of 100 such patients, about 34 would be “positive”. 95 % interval: 22 to 48."
    )
    assert "The threshold, 30 of 100, was chosen on training patients." in above.sentences[1]
    assert above.sentences[1].endswith("The risk rests on 2 mammograms of this patient.")
    assert above.verdict == "At or above the threshold: counts as “positive”"
    assert below.verdict == "Below the threshold: does not count as “HER2-positive”"


def test_every_risk_says_how_well_its_classifier_did():
    assert words.answer(ABOVE).record == (
        "Trained on 168 patients; on 72 patients kept apart, AUC 0.72 (95 % interval 0.59 to 0.82; "
        "0.5 is chance)."
    )
    assert words.doubts([ABOVE, BELOW, NO_ANSWER]) == []


def test_a_worthless_classifier_is_said_to_be_so_first():
    """One whose AUC on 20 test patients is 0.25 (0.03 to 0.76)."""
    chance = replace(ABOVE, risk=0.99, tested=Discrimination(20, 0.25, 0.03, 0.76))
    found = words.answer(chance)
    assert found.doubtful
    assert found.head == "Not told from chance"
    assert found.verdict == ""
    assert "99 of 100" in found.sentences[0], "it may stand small"
    worse = words.answer(replace(ABOVE, tested=Discrimination(200, 0.3, 0.22, 0.38)))
    assert worse.doubtful, "an AUC below chance is no better"
    unknown = replace(ABOVE, title="B", tested=None)
    assert words.answer(unknown).head == "Not known to work"
    assert words.doubts([chance, BELOW, unknown]) == [
        "Do not go by this risk: “Sentinel lymph node”. On the patients kept apart from the "
        "training its classifier could not be told from chance.",
        "Do not go by this risk: “B”. How well its classifier would do on patients kept apart from "
        "the training is not known.",
    ]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_no_answer_is_no_zero(missing):
    found = words.answer(replace(NO_ANSWER, risk=missing, flags=()))
    assert found.head == "No answer"
    assert found.value is None
    assert "It is not a low risk." in found.sentences[0]
    assert "reason was not recorded" in found.sentences[0]
    assert not any("0" in sentence for sentence in (found.head, *found.sentences))


def test_extreme_risks_are_neither_0_nor_100():
    assert words.answer(replace(ABOVE, risk=0.0)).head == "Fewer than 1 of 100"
    assert words.answer(replace(ABOVE, risk=0.9999)).head == "More than 99 of 100"
    assert words.of_100(0.0049) == "fewer than 1"


def test_a_risk_just_below_the_threshold_does_not_look_equal():
    found = words.answer(replace(ABOVE, risk=0.298, threshold=0.302, above_threshold=False))
    assert found.head == "29.8 of 100"
    assert "The threshold, 30.2 of 100" in found.sentences[1]


def test_risk_without_interval_or_verdict():
    found = words.answer(replace(ABOVE, lower=None, upper=None, above_threshold=None))
    assert "there is no interval" in found.sentences[0]
    assert found.verdict == "Not compared with the threshold"


def test_measurements_of_a_lesion(tmp_path):
    image = made_image(tmp_path, 1, "CC", "L")
    said = dict(words.measurements(image, REGION, "mm"))
    assert said["Size"].startswith("23 × 18 mm (")
    assert said["Area"].endswith(" mm², one region")
    assert said["Mean probability inside"] == "0.87 (1 is certain)"
    assert said["Expected overlap"].startswith("Dice 0.84")
    unsure = replace(image, mean_probability=None, expected_dice=None)
    said = dict(words.measurements(unsure, replace(REGION, count=3), "mm"))
    assert said["Mean probability inside"] == said["Expected overlap"] == "not known"
    assert "Size of the largest region" in said
    assert said["Area"].endswith("3 separate regions")


def test_no_lesion_is_no_all_clear(tmp_path):
    image = made_image(tmp_path, 1, "CC", "L", found=False)
    ((_, value),) = words.measurements(image, None, "mm")
    assert "does not mean that there is none" in value
    assert words.found_words(None, "mm") == "No lesion found"


def test_small_lesions_have_a_decimal():
    assert words.size(Region(1, (0, 0, 1, 1), 12.34, 4.56), "mm") == "12.3 × 4.6 mm"
    assert words.size(Region(1, (0, 0, 1, 1), 12.34, 4.56), "pixels") == "12 × 5 pixels"


def test_overview_counts(tmp_path):
    patient = made_patient(tmp_path)
    assert words.overview(patient) == "4 mammograms: a lesion was outlined in 2 of them."
    left = replace(patient, images=patient.images[:2])
    assert words.overview(left) == (
        "2 mammograms, all of the left breast: a lesion was outlined in each of them."
    )
    one = replace(patient, images=patient.images[2:3])
    assert words.overview(one) == ("One mammogram, of the right breast: no lesion was found in it.")
    assert words.overview(replace(patient, images=())) == "No mammogram could be processed."


def test_names_and_remarks(tmp_path):
    image = made_image(tmp_path, 1, "CC", "L")
    assert words.long_name(image) == "Left breast, CC view"
    unknown = replace(image, view=None, laterality=None)
    assert words.short_name(unknown) == "? ?"
    assert words.long_name(unknown) == "Side not stated, view not stated"
    assert words.remarks(image, True, Turned()) == ["One pixel is 0.5 mm, by Imager Pixel Spacing."]
    assert "Mirrored sideways" in words.remarks(image, True, Turned(across=True))[1]
    assert "no scale" in words.remarks(image, False, Turned())[0]
    assert np.isfinite(image.area_mm2)
