"""How the images of a patient become one row."""

import logging

import numpy as np
import pandas as pd
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import write_csv
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.repeats import patients_of
from mammoroi.modeling.table import combine_views, missed_images

AREA = "original_shape2D_PixelSurface"
MEAN = "original_firstorder_Mean"


def images() -> pd.DataFrame:
    """A: two views. B: CC taken twice, and MLO. C: both breasts. D: one view. E: one undefined."""
    rows = [
        ("A-1", "A", "CC", "L", 4.0, 10.0),
        ("A-2", "A", "MLO", "L", 6.0, 20.0),
        ("B-1", "B", "CC", "R", 9.0, 1.0),
        ("B-2", "B", "CC", "R", 7.0, 3.0),
        ("B-3", "B", "MLO", "R", 8.0, 5.0),
        ("C-1", "C", "CC", "L", 1.0, 2.0),
        ("C-2", "C", "CC", "R", 2.0, 4.0),
        ("C-3", "C", "MLO", "R", 2.0, 9.0),
        ("D-1", "D", "MLO", "L", 3.0, 7.0),
        ("E-1", "E", "CC", "L", 5.0, np.nan),
        ("E-2", "E", "MLO", "L", 4.0, 6.0),
    ]
    return pd.DataFrame(
        rows, columns=["image_id", "patient_id", "view", "laterality", AREA, MEAN]
    ).sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ("mean", [15.0, 3.0, 5.0, 7.0, np.nan]),
        ("maximum", [20.0, 5.0, 9.0, 7.0, np.nan]),
        ("minimum", [10.0, 1.0, 2.0, 7.0, np.nan]),
        ("largest", [20.0, 1.0, 4.0, 7.0, np.nan]),  # of C's two of one size, the first by image_id
    ],
)
def test_one_row_for_each_patient(views, expected) -> None:
    table = combine_views(images(), views)
    assert table.index.tolist() == list("ABCDE")
    np.testing.assert_array_equal(table[MEAN], expected)


def test_concat_puts_views_side_by_side_and_names_whom_it_leaves_out(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        table = combine_views(images(), "concat")
    assert table.index.tolist() == ["A", "B", "C", "E"]
    np.testing.assert_array_equal(table[f"{MEAN}@CC"], [10.0, 2.0, 3.0, np.nan])
    np.testing.assert_array_equal(table[f"{MEAN}@MLO"], [20.0, 5.0, 9.0, 6.0])
    assert "1 patients without both CC and MLO are left out: D" in caplog.text


def test_largest_can_go_by_the_contour() -> None:
    table = images().rename(columns={AREA: "original_contour_Area"})
    assert combine_views(table, "largest")[MEAN].tolist()[:4] == [20.0, 1.0, 4.0, 7.0]
    with pytest.raises(MammoroiError, match="no lesion size"):
        combine_views(table.drop(columns="original_contour_Area"), "largest")


def test_readers_are_paired_on_the_same_images() -> None:
    second = images()[lambda table: table["image_id"] != "A-2"]
    first, other = patients_of([images(), second], "maximum")
    assert first.loc["A", MEAN] == other.loc["A", MEAN] == 10.0


def test_views_that_cannot_be_meant() -> None:
    with pytest.raises(MammoroiError, match="did you mean 'maximum'"):
        ModelingConfig(views="maximun")


def test_only_automatic_masks_miss_a_lesion(tmp_path):
    rows = [("a", "A", "automatic"), ("b", "B", "reader2"), ("b", "B", "automatic")]
    path = tmp_path / "features" / "missed.csv"
    write_csv(path, pd.DataFrame(rows, columns=["image_id", "patient_id", "roi"]))
    found = missed_images(tmp_path)
    assert found["image_id"].tolist() == ["a", "b"]
    assert found["roi"].unique().tolist() == ["automatic"]
    path.unlink()
    assert missed_images(tmp_path).empty
