"""IBSI's reference values of the digital phantom, for every feature that IBSI defines.

The values (``ibsi-digital-phantom.csv``) are those of the IBSI reference manual, Zwanenburg et
al., arXiv:1612.07003, tables "dig. phantom": co-occurrence and run length "2D, averaged", the other
texture "2D", intensity over all voxels, shape of the volume. Where no tolerance is given, a value
must agree in all digits printed.

``python tests/radiomics/test_ibsi.py`` prints the tables of docs/features.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from radiomics import imageoperations
from radiomics.shape import RadiomicsShape

import mammoroi
from mammoroi.imaging.mammogram import Mammogram, Spacing
from mammoroi.radiomics.dictionary import feature_rows
from mammoroi.radiomics.engine import features_of
from mammoroi.radiomics.presets import load_preset

SLICES = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    dtype=np.float32,
)  # 0 is outside the ROI
SPACING_MM = 2.0
REFERENCE = pd.read_csv(Path(__file__).with_name("ibsi-digital-phantom.csv"), index_col="feature")
N_MINUS_1 = np.sqrt(74 / 73)  # IBSI divides the covariance by n - 1, pyradiomics by n
TO_IBSI: dict[str, Callable[[float], float]] = {
    "firstorder_Kurtosis": lambda kurtosis: kurtosis - 3,
    "shape_MajorAxisLength": lambda length: length * N_MINUS_1,
    "shape_MinorAxisLength": lambda length: length * N_MINUS_1,
    "shape_LeastAxisLength": lambda length: length * N_MINUS_1,
}
"""The differences that ``features.csv`` states."""
PAGE = Path(mammoroi.__file__).parent / "docs" / "features.md"


def computed(pixels: NDArray[np.float32]) -> dict[str, float]:
    """Features of the pixels above 0, by class and name."""
    settings = {"binWidth": 1, "distances": [1]}
    preset = replace(load_preset(), settings=settings, image_types={"Original": {}}, features=None)
    spacing = Spacing(SPACING_MM, SPACING_MM, "phantom")
    mammogram = Mammogram(pixels, spacing, None, None, None, None, Path("phantom"))
    by_name = features_of(mammogram, pixels > 0, preset).by_name
    return {name.removeprefix("original_"): value for name, value in by_name.items()}


@functools.cache
def ours() -> dict[str, float]:
    """Texture averaged over slices; intensities of all voxels, laid out as one image.

    Shape is pyradiomics' class on the volume: what the engine's, which sees one slice, must equal.
    """
    slices = [computed(pixels) for pixels in SLICES]
    values = {name: float(np.mean([one[name] for one in slices])) for name in slices[0]}
    montage = computed(SLICES.reshape(-1, SLICES.shape[2]))
    values |= {name: montage[name] for name in values if name.startswith("firstorder")}
    mask = sitk.GetImageFromArray(np.pad((SLICES > 0).astype(np.uint8), 1))
    mask.SetSpacing([SPACING_MM] * 3)
    shape = RadiomicsShape(mask, mask).execute()
    return values | {f"shape_{name}": float(value) for name, value in shape.items()}


def conforms(feature: str) -> bool:
    value, tolerance = REFERENCE.loc[feature, ["value", "tolerance"]]
    found = TO_IBSI.get(feature, float)(ours()[feature])
    if np.isnan(tolerance):
        return float(f"{found:.3g}") == value
    return bool(abs(found - value) <= tolerance)


def test_the_phantom_is_the_published_one() -> None:
    assert np.count_nonzero(SLICES) == 74
    assert dict(zip(*np.unique(SLICES, return_counts=True), strict=True)) == {
        0: 6,
        1: 50,
        3: 1,
        4: 16,
        6: 7,
    }


def test_every_feature_with_a_code_has_a_reference() -> None:
    rows = {"_".join(key): row for key, row in feature_rows().items()}
    assert {name for name, row in rows.items() if row["ibsi_code"]} == set(REFERENCE.index)
    assert {name for name, row in rows.items() if row["ibsi"] == "differs"} == set(TO_IBSI)


@pytest.mark.parametrize("feature", REFERENCE.index)
def test_feature_equals_the_reference(feature: str) -> None:
    assert conforms(feature), f"{ours()[feature]} is not {REFERENCE.loc[feature, 'value']}"


@pytest.mark.parametrize(("lowest", "same"), [(100, True), (110, False)])
def test_bins_are_those_of_ibsi_where_the_least_intensity_is_an_edge(lowest, same) -> None:
    """IBSI's bins start at the least intensity of the ROI, pyradiomics' at a multiple of the width.

    Manual, fixed bin size discretisation (Q3RU): floor((x - minimum) / width) + 1.
    """
    values, width = np.arange(lowest, lowest + 200.0), 25
    of_ibsi = np.floor((values - lowest) / width) + 1
    edges = imageoperations.getBinEdges(values, binWidth=width)
    assert np.array_equal(np.digitize(values, edges), of_ibsi) == same


def page_tables() -> dict[str, str]:
    """The tables of the page by feature class."""
    tables = {}
    for feature_class in dict.fromkeys(key[0] for key in feature_rows()):
        rows = [row for key, row in feature_rows().items() if key[0] == feature_class]
        coded = any(row["ibsi_code"] for row in rows)
        heads = ["feature", "meaning", "unit", *(("IBSI", "reference", "value") if coded else ())]
        lines = [_line(heads), _line(["---"] * len(heads))]
        for row in rows:
            note = f" ({row['note']})." if coded and row["note"] else "."
            cells = [row["feature"], row["meaning"].removesuffix(".") + note, row["unit"]]
            lines.append(_line(cells + (_ibsi_cells(row) if coded else [])))
        tables[feature_class] = "\n".join(lines)
    return tables


def _ibsi_cells(row: dict[str, str]) -> list[str]:
    if row["ibsi"] == "none":
        return ["none", "", ""]
    name = f"{row['feature_class']}_{row['feature']}"
    code = row["ibsi_code"] + (" differs" if row["ibsi"] == "differs" else "")
    return [code, f"{REFERENCE.loc[name, 'value']:.3g}", f"{ours()[name]:.3g}"]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("feature_class", page_tables())
def test_the_page_holds_the_tables(feature_class: str) -> None:
    assert page_tables()[feature_class] in PAGE.read_text(encoding="utf-8")


def test_the_page_counts_right() -> None:
    same = len(REFERENCE) - len(TO_IBSI)
    assert f"{same} of the {len(REFERENCE)} features" in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    for title, text in page_tables().items():
        print(f"### {title}\n\n{text}\n")
