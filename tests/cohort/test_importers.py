"""Import of folders of images and masks with a table: a small replica, and the real one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from mammoroi.cohort.accept import accept
from mammoroi.cohort.check import check
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.importers import import_images
from mammoroi.configuration import find_config
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv

TABLE = """\
image_id,patient,side,view,age,density,birads,tags,height_px,mass
A1_L_CC,1,L,CC,44,C,3,"benign mass, lobulated",2784,1
A1_L_MLO,1,L,mlo,44,C,3,benign mass,,1
A2_R_CC,2,R,CC,50,_,5,speculated mass,2048,1
A2_R_MLO,2,R,MLO,51,_,4,mass,2048,1
A3_R_CC,3,R,CC,60,B,5,oedema,2048,0
A4_R_CC,4,R,CC,61,B,5,mass,2048,1
A5_R_CC,5,R,CC,62,B,4,,2048,1
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files for all rows but the mask of A4."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "index.csv").write_text(TABLE)
    rng = np.random.default_rng(0)
    for line in TABLE.splitlines()[1:]:
        name = line.split(",")[0]
        pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{name}.jpg")
        mask = np.zeros((16, 16), np.uint8)
        mask[4:9, 4:9] = 255
        if name != "A4_R_CC":
            Image.fromarray(mask).save(folder / f"masks/{name}.png")
    return folder


def bring_in(source: Path, out: Path, **options: Any) -> Path:
    settings: dict[str, Any] = {
        "name": "Replica",
        "patient_id": "patient",
        "laterality": "side",
        "filter": "mass == 1",
        "missing": ("_",),
        "patient_columns": {"age": "age", "breast_density": "density"},
        "image_columns": {"tags": "tags"},
        "labels": {"birads5": "birads == 5", "spiculated": 'tags.contains("specul")'},
        "spacing_expression": "0.094 * height_px / 512",
    }
    return import_images(
        source / "images",
        source / "masks",
        source / "index.csv",
        out,
        **{**settings, **options},
    )


def test_replica(source: Path, tmp_path: Path) -> None:
    out = bring_in(source, tmp_path / "cohort")
    cohort = load_cohort(out)
    images = cohort.images.set_index("image_id")
    assert images.index.tolist() == ["A1_L_CC", "A1_L_MLO", "A2_R_CC", "A2_R_MLO", "A5_R_CC"]
    assert images["view"].tolist() == ["CC", "MLO", "CC", "MLO", "CC"]
    assert images["spacing_mm"].tolist() == pytest.approx(
        [0.511125, np.nan, 0.376, 0.376, 0.376], nan_ok=True
    )
    assert images["spacing_source"].fillna("").tolist() == ["estimated", "", *["estimated"] * 3]
    assert images.loc["A1_L_CC", "tags"] == "benign mass, lobulated"
    patients = cohort.patients.set_index("patient_id")
    assert patients.index.tolist() == ["1", "2", "5"]
    assert patients["birads5"].tolist() == ["no", "yes", "no"]
    assert patients["spiculated"].fillna("").tolist() == ["no", "yes", ""]
    assert patients["breast_density"].fillna("").tolist() == ["c", "", "b"]
    assert patients["age"].tolist() == pytest.approx([44, np.nan, 62], nan_ok=True)
    assert cohort.name == "Replica"
    assert not cohort.synthetic
    assert cohort.about["import"]["filter"] == "mass == 1"


def test_what_was_not_imported_is_listed(source: Path, tmp_path: Path) -> None:
    out = bring_in(source, tmp_path / "cohort")
    problems = read_csv(out / "not_imported.csv", dtype=str)
    assert problems["case"].tolist() == ["A4_R_CC", "2"]
    assert "masks/A4_R_CC.png does not exist" in problems["error"][0]
    assert problems["error"][1] == "age differs between the patient's images: 50, 51"


def test_the_new_cohort_passes_its_own_check(source: Path, tmp_path: Path) -> None:
    out = bring_in(source, tmp_path / "cohort")
    (problem,) = check(out)
    assert problem.case == "A1_L_MLO"
    assert "spacing_mm" in problem.action


def test_copies_make_the_folder_movable(source: Path, tmp_path: Path) -> None:
    out = bring_in(source, tmp_path / "cohort", copy=True, spacing_expression=None, spacing_mm=0.1)
    moved = out.rename(tmp_path / "moved")
    assert check(moved) == []
    assert load_cohort(moved).images["image"][0] == "images/A1_L_CC.jpg"


def test_other_columns_in_patterns(source: Path, tmp_path: Path) -> None:
    (source / "images/A5_R_CC.jpg").rename(source / "images/5-CC.jpg")
    out = bring_in(
        source, tmp_path / "cohort", image_pattern="{patient}-{view}.jpg", filter="patient == '5'"
    )
    assert load_cohort(out).images["image_id"].tolist() == ["A5_R_CC"]


def test_patients_without_columns(source: Path, tmp_path: Path) -> None:
    out = bring_in(source, tmp_path / "cohort", patient_columns=None, labels=None)
    assert load_cohort(out).patients["patient_id"].tolist() == ["1", "2", "5"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"patient_id": "patients"}, "no column 'patients'"),
        ({"patient_columns": {"age": "years"}}, "no column 'years'"),
        ({"filter": "masses == 1"}, "'masses', which the table does not have"),
        ({"filter": "height_px"}, "neither true nor false"),
        ({"filter": "mass == 2"}, "nothing to import"),
        ({"labels": {"birads5": 'birads == "5"'}}, "holds numbers"),
        ({"image_pattern": "{name}.jpg"}, "names 'name'"),
        ({"image_pattern": "{image_id.__class__}.jpg"}, "names 'image_id.__class__'"),
        ({"spacing_mm": 0.1}, "both given"),
    ],
)
def test_bad_settings(source: Path, tmp_path: Path, options: dict[str, Any], found: str) -> None:
    with pytest.raises(MammoroiError, match=found):
        bring_in(source, tmp_path / "cohort", **options)
    assert not (tmp_path / "cohort").exists()


def test_a_spacing_that_is_no_number_is_named(source: Path, tmp_path: Path) -> None:
    table = source / "index.csv"
    table.write_text(TABLE.replace('lobulated",2784', 'lobulated","2784,5"'))
    for formula in ("height_px", "height_px * 2"):
        with pytest.raises(MammoroiError, match="height_px is '2784,5' on line 2 -> calc"):
            bring_in(source, tmp_path / "cohort", spacing_expression=formula)
    with pytest.raises(MammoroiError, match="'mass == 1' gives no numbers"):
        bring_in(source, tmp_path / "cohort", spacing_expression="mass == 1")


def test_a_cohort_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    bring_in(source, tmp_path / "cohort")
    with pytest.raises(MammoroiError, match="holds a cohort already"):
        bring_in(source, tmp_path / "cohort")


def test_the_study_of_cdd_cesm_finds_its_cohort() -> None:
    """The presets of the pictures that were packed anew belong together."""
    imported, study = (
        yaml.safe_load(find_config(name).read_text(encoding="utf-8"))
        for name in ("import-cdd-cesm-512", "study-cdd-cesm")
    )
    assert study["cohort"]["folder"] == imported["out"]
    assert study["cohort"]["stratify"][0] in imported["labels"]
    published = yaml.safe_load(find_config("import-cdd-cesm").read_text(encoding="utf-8"))
    assert published["out"] != imported["out"]


def test_cdd_cesm(tmp_path: Path) -> None:
    """106 images of 61 patients name a mass; the masks are regions of real findings."""
    if "MAMMOROI_DATA" not in os.environ:
        pytest.skip("MAMMOROI_DATA is not set")
    data = Path(os.environ["MAMMOROI_DATA"]) / "cdd-cesm"
    out = import_images(
        data / "images",
        data / "masks",
        data / "index.csv",
        tmp_path / "cohort",
        name="CDD-CESM, masses",
        patient_id="patient",
        laterality="side",
        filter="mentions_mass == 1",
        missing=("_",),
        patient_columns={"age": "age", "breast_density": "density"},
        labels={"birads5": 'birads.contains("5")', "spiculated": 'tags.contains("specul")'},
        spacing_expression="0.094 * approx_original_height_px / 512",
    )
    assert read_csv(out / "not_imported.csv").empty
    study = tmp_path / "study"
    accept(CohortConfig(folder=out, stratify=("birads5",)), study)
    about = json.loads((study / "cohort.json").read_text())
    assert (about["n_images_used"], about["n_patients_used"]) == (106, 61)
    images = pd.read_csv(study / "cohort.csv")
    assert images["spacing_mm"].notna().sum() == (images["spacing_source"] == "estimated").sum()
    assert images["spacing_mm"].dropna().between(0.25, 0.8).all()
    assert {problem.severity for problem in check(out)} == {"warning"}


def test_which_folder_is_missing_is_said(source: Path, tmp_path: Path) -> None:
    (source / "masks").rename(source / "drawn")
    with pytest.raises(MammoroiError, match=r"^masks is .*source/masks.* no folder -> .* --masks "):
        bring_in(source, tmp_path / "cohort")
