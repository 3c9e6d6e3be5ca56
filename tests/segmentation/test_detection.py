"""Which mark hits which lesion, and whose lesions and false positives they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoroi.segmentation.candidates import find_candidates
from mammoroi.segmentation.detection import box_iou, lesions_and_marks, marks_of


def test_regions_touch_by_edge_or_corner_and_have_their_own_pixels() -> None:
    probability = np.zeros((20, 20), np.float32)
    probability[2:12, 2:4] = probability[10:12, 2:12] = 0.6  # an angle
    probability[3:6, 7:10] = 0.9  # in its box, and apart from it
    probability[15, 15] = probability[16, 16] = 0.1  # as faint and as small as can be
    found = find_candidates(probability, 1.0, minimum_area_mm2=2.0)
    assert [one.area_mm2 for one in found] == [9, 36, 2]
    assert [one.score for one in found] == pytest.approx([0.9, 0.6, 0.1])
    angle = found[1]
    assert (angle.top, angle.bottom, angle.left, angle.right) == (2, 12, 2, 12)
    rows, columns = np.nonzero(probability == np.float32(0.6))
    assert (angle.row, angle.column) == (rows.mean(), columns.mean())
    # As lesions they are as many, and each is hit by its own mark; the best of several hits counts.
    marks = [vars(one) for one in found]
    marks += [marks[0] | {"score": 0.2}]
    lesions, false = lesions_and_marks(probability > 0, marks, "iou", 0.5)
    assert [area for area, _ in lesions] == [36, 9, 2]
    assert [score for _, score in lesions] == pytest.approx([0.6, 0.9, 0.1])
    assert false == []


def test_a_mark_hits_the_lesion_that_is_nearest_to_it() -> None:
    manual = np.zeros((30, 40), np.bool_)
    manual[5:15, 5:15] = manual[5:15, 16:28] = True
    mark = {"score": 0.7, "top": 5, "bottom": 15, "left": 9, "right": 28}
    assert all(box_iou((5, 15, 9, 28), box) > 0.2 for box in ((5, 15, 5, 15), (5, 15, 16, 28)))
    lesions, false = lesions_and_marks(manual, [mark], "iou", 0.2)
    assert ([score for _, score in lesions], false) == ([-np.inf, 0.7], [])
    # A centroid lies in the pixel whose centre is nearest.
    for row, column, hit in ((4.6, 15.6, 1), (14.4, 14.4, 0), (4.4, 20.0, None), (9, 15.4, None)):
        at = {"score": 0.7, "row": row, "column": column}
        lesions, false = lesions_and_marks(manual, [at], "centroid", 0.2)
        assert [n for n, (_, score) in enumerate(lesions) if score == 0.7] == (
            [] if hit is None else [hit]
        )
        assert false == ([0.7] if hit is None else [])


def test_patients_with_lesions_are_others_than_those_without() -> None:
    """As in the group of mammograms without a lesion, whose false positives are counted alone."""
    healthy = pd.DataFrame({"patient_id": ["N1", "N1", "N0"]})
    lesions = pd.DataFrame({"patient_id": ["P1", "P0", "N0"], "score": [0.9, None, 0.5]})
    false = pd.DataFrame({"patient_id": ["N1"], "score": [0.6]})
    marks = marks_of(healthy, lesions, false)
    assert marks.patients == 4
    assert marks.image_patients.tolist() == [1, 1, 0]
    assert marks.lesion_patients.tolist() == [3, 2, 0]
    assert marks.false_patients.tolist() == [1]
    assert marks.lesion_scores.tolist() == [0.9, -np.inf, 0.5]
