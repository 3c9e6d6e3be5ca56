"""The pixel spacing that is given for new mammograms."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammoroi.cohort.given_spacing import check_given, given_spacing, spacing_of
from mammoroi.errors import MammoroiError


def test_a_table_names_files_by_its_own_folder_or_wholly(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    elsewhere = tmp_path / "elsewhere.png"
    table = tmp_path / "images" / "cohort.csv"
    table.write_text(f"image_id,image,spacing_mm\na,a.png,0.07\nb,{elsewhere},0.1\nc,c.png,\n")
    given = given_spacing(str(table))
    images = [tmp_path / "images" / "a.png", elsewhere, tmp_path / "images" / "c.png"]
    assert [spacing_of(image, given) for image in images] == [0.07, 0.1, None]
    check_given(images, given)
    assert spacing_of(images[0], given_spacing("0.05")) == 0.05
    assert spacing_of(images[0], None) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("image,spacing_mm\na.png,half\n", "line 2 (a.png): spacing_mm is 'half'"),
        ("image,spacing_mm\na.png,70\n", "line 2 (a.png): spacing_mm is '70'"),
        ("image,spacing_mm\na.png,nan\n", "line 2 (a.png): spacing_mm is 'nan'"),
        ("image,spacing_mm\na.png,0.1\na.png,0.2\n", "line 3: a.png has another"),
        ("image,spacing\na.png,0.1\n", "has no column 'spacing_mm'"),
    ],
)
def test_a_table_that_cannot_be_meant(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(MammoroiError) as caught:
        given_spacing(str(tmp_path / "table.csv"))
    assert found in caught.value.found


@pytest.mark.parametrize("text", ["0,07", "no-such.csv", "70", "-1"])
def test_what_is_no_spacing(text: str) -> None:
    with pytest.raises(MammoroiError, match="spacing_mm is"):
        given_spacing(text)


def test_a_table_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("image,spacing_mm\na.png,0.1\n")
    given = given_spacing(str(tmp_path / "table.csv"))
    with pytest.raises(MammoroiError, match="none for any of the 1 images"):
        check_given([tmp_path / "b.png"], given)
