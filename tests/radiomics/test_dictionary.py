"""Every feature of every preset has one description, and nothing is described that is not there."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import radiomics

from mammoroi.cli import main
from mammoroi.errors import MammoroiError
from mammoroi.radiomics import contour
from mammoroi.radiomics.count import check_count
from mammoroi.radiomics.dictionary import (
    IBSI_FAMILIES,
    describe,
    dictionary,
    feature_rows,
    image_type_rows,
    write_dictionary,
)
from mammoroi.radiomics.presets import available, load_preset

CLASSES = ("shape", "shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def test_the_table_holds_every_real_feature_once() -> None:
    classes = radiomics.getFeatureClasses()
    real = [
        (name, feature)
        for name in CLASSES
        for feature, deprecated in classes[name].getFeatureNames().items()
        if not deprecated
    ]
    ours = [(contour.CLASS, feature) for feature in contour.NAMES]
    assert sorted(feature_rows()) == sorted(real + ours)


def test_the_cells_are_filled_and_consistent() -> None:
    table = pd.DataFrame(feature_rows().values())
    assert (table[["unit", "meaning"]] != "").all(axis=None)
    assert set(table["ibsi"]) == {"same", "differs", "none"}
    assert ((table["ibsi"] == "none") == (table["ibsi_code"] == "")).all()
    assert ((table["ibsi_code"] == "") == (table["ibsi_family"] == "")).all()
    assert (table.loc[table["ibsi"] != "same", "note"] != "").all()
    codes = table.loc[table["ibsi_code"] != "", "ibsi_code"]
    assert codes.is_unique
    assert codes.str.fullmatch(r"[0-9A-Z]{4}").all()
    assert set(table["ibsi_family"]) - {""} == set(IBSI_FAMILIES)
    for column in ("binned", "scales_with_size"):
        assert set(table[column]) == {"yes", "no"}


@pytest.mark.parametrize("preset", available())
def test_every_feature_of_a_preset_is_described(preset: str) -> None:
    names = check_count(load_preset(preset))
    table = dictionary(names)
    assert tuple(table["name"]) == names
    assert (table["meaning"] != "").all()
    for name in names:
        matches = [row for row in image_type_rows() if re.fullmatch(row["pattern"], _image(name))]
        assert len(matches) == 1
    assert set(table["image_type"]) == set(load_preset(preset).image_types)


def _image(name: str) -> str:
    return name.split("_")[-3]


def test_a_name_is_taken_apart() -> None:
    found = describe("wavelet-LH_glcm_JointEntropy")
    assert (found.image_type, found.parameters) == ("Wavelet", "bands=LH")
    assert (found.ibsi_code, found.image_ibsi_code) == ("TU9B", "25BO")
    assert (found.family, found.unit) == ("grey level co-occurrence", "bit")
    assert "TU9B" in found.source
    assert describe("log-sigma-1-5-mm-3D_firstorder_Mean").parameters == "sigma_mm=1.5"
    assert describe("ring-0-2mm_original_firstorder_Mean").region == "ring-0-2mm"
    assert describe("original_glcm_MCC").source == "pyradiomics documentation, glcm.MCC"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mean", "is no name of a feature"),
        ("a_b_original_glcm_Id", "is no name of a feature"),
        ("orignal_glcm_Id", "did you mean 'Original'"),
        ("original_glcms_Id", "did you mean 'glcm'"),
        ("original_glcm_Idmm", "did you mean 'Idm'"),
    ],
)
def test_an_unknown_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(MammoroiError, match=message):
        describe(name)


def test_a_table_keeps_what_it_cannot_describe(tmp_path) -> None:
    path = write_dictionary(tmp_path / "features", ["original_glcm_Id", "moon_glcm_Id"])
    table = pd.read_csv(path)
    assert path.name == "dictionary.csv"
    assert table["ibsi_code"].isna().tolist() == [False, True]
    assert table["note"][1] == "not described: 'moon_glcm_Id': no image type 'moon'"


def test_the_command(tmp_path, capsys) -> None:
    path = tmp_path / "features.csv"
    assert main(["features", "paper-1409", "-o", str(path)]) == 0
    assert len(pd.read_csv(path)) == 1409
    assert main(["features"]) == 0
    shown = capsys.readouterr().out
    assert "original_firstorder_Mean" in shown
    assert "1,311 features" in shown
