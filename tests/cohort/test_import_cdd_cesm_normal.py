"""Which images of CDD-CESM count as normal: those of breasts of which nothing says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .cesm_replica import LOW, REGIONS, ROWS, SQUARE, build
from .releases import bring_in, tables

NORMAL = ["Normal", "normal", "Normal"]


def row(name: str, birads: object, findings: str, tags: str, pathology: str) -> list[Any]:
    """Make a row of the workbook."""
    patient, side, kind, view = name.split("_")
    kind = "CESM" if kind == "CM" else kind
    number = int(patient[1:])
    return [name, number, side, kind, 45, "B", birads, findings, view, tags, 1, pathology]


# Like the first two are P137_L_DM_MLO, P214_L_DM_MLO and P29_L_DM_CC of the release: images in
# which nothing is seen, of breasts whose pathology is malignant.
DISEASED = {
    "P11_L_DM_MLO": [row("P11_L_DM_MLO", 1, "Normal", "normal", "Malignant")],
    "P12_L_DM_CC": [
        row("P12_L_DM_CC", 1, "Normal", "normal", "Malignant"),
        row("P12_L_DM_MLO", 4, "High density mass", "mass", "Malignant"),
    ],
    "P13_R_DM_CC": [row("P13_R_DM_CC", 4, "High density mass", "mass", "Normal")],
    "P14_R_DM_CC": [row("P14_R_DM_CC", 4, *NORMAL)],
    "P15_R_DM_CC": [  # seen on the subtracted image only
        row("P15_R_DM_CC", 1, *NORMAL),
        row("P15_R_CM_CC", 4, "Mass enhancement", "mass enhancement", "_"),
    ],
    "P16_R_DM_CC": [row("P16_R_DM_CC", 1, *NORMAL), row("P16_R_DM_MLO", 1, *NORMAL)],
    "P17_R_DM_CC": [row("P17_R_DM_CC", 1, "_", "_", "_")],
    "P18_R_DM_CC": [row("P18_R_DM_CC", 1, "Normal", "benign mass", "Normal")],
}
SOUND = {
    "P21_R_DM_CC": [row("P21_R_DM_CC", 1, *NORMAL), row("P21_R_CM_CC", 1, *NORMAL)],
    "P22_R_DM_CC": [row("P22_R_DM_CC", "_", "Normal", "_", "_")],
    "P22_L_DM_CC": [row("P22_L_DM_CC", "1$1", "Normal$Normal", "normal", "_")],
}
FURTHER = [one for rows in (*DISEASED.values(), *SOUND.values()) for one in rows]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The replica with further breasts; P16_R_DM_MLO is normal by its report and has a region."""
    regions = {**REGIONS, "P16_R_DM_MLO.jpg": [SQUARE]}
    return build(tmp_path / "CDD-CESM", [*ROWS, *FURTHER], regions)


def test_normal_breasts_alone(release: Path, tmp_path: Path) -> None:
    out = bring_in("cdd-cesm", release, tmp_path / "cohort", images_without_mask="normal")
    images, _, excluded = tables(out)
    assert images.index.tolist() == sorted(["P1_R_DM_MLO", *SOUND])
    assert images["mask"].isna().all()
    assert "does not say that it is normal" in excluded["P4_L_DM_CC"]
    assert "does not say that it is normal" in excluded["P1_L_DM_CC"]
    for name in DISEASED:
        assert "does not say that it is normal" in excluded[name], name


def test_no_image_of_a_diseased_breast_is_kept_without_a_mask(
    release: Path, tmp_path: Path
) -> None:
    options = {"findings": ("all",), "images_without_mask": "keep"}
    images, _, excluded = tables(bring_in("cdd-cesm", release, tmp_path / "cohort", **options))
    assert set(images.index[images["mask"].isna()]) == {"P1_R_DM_MLO", *SOUND}
    for name in DISEASED:
        assert "nothing is outlined in it, but its report" in excluded[name], name


def test_files_that_macos_leaves_are_no_images(release: Path, tmp_path: Path) -> None:
    first = bring_in("cdd-cesm", release, tmp_path / "first")
    (release / LOW / "._P1_L_DM_MLO.jpg").write_bytes(b"\0\5\x16\7" * 30)
    second = bring_in("cdd-cesm", release, tmp_path / "second")
    assert (first / "excluded.csv").read_bytes() == (second / "excluded.csv").read_bytes()
