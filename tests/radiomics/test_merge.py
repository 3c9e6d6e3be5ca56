"""Parts of a cohort that were extracted apart: joined they are the whole, or they are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.cli import main
from mammoroi.errors import EXIT_CASES_FAILED, MammoroiError
from mammoroi.files import read_json, write_json
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.extract import extract
from mammoroi.radiomics.merge import merge, require_same
from mammoroi.radiomics.phantom import textured_phantom

PRESET = """
setting: {binWidth: 25}
imageType: {Original: {}}
featureClass: {shape2D: , firstorder: }
"""
IDS = ["01", "02", "03", "04", "05"]


def part(folder: Path, ids: list[str], bin_width: int = 25) -> Path:
    """A study of some of the images; 04's mask is empty, 02's automatic one as well."""
    for name in ("images", "masks/automatic"):
        (folder / name).mkdir(parents=True)
    for image_id in ids:
        mammogram, mask = textured_phantom(seed=IDS.index(image_id))
        pixels = mammogram.pixels.astype(np.uint16)
        Image.fromarray(pixels).save(folder / "images" / f"{image_id}.png")
        for path, empty in ((f"masks/{image_id}", "04"), (f"masks/automatic/{image_id}", "02")):
            shown = (mask & (image_id != empty)).astype(np.uint8) * 255
            Image.fromarray(shown).save(folder / f"{path}.png")
    images = {
        "image_id": ids,
        "patient_id": ids,
        "view": "CC",
        "laterality": "L",
        "image": [f"images/{image_id}.png" for image_id in ids],
        "mask": [f"masks/{image_id}.png" for image_id in ids],
        "spacing_mm": 0.5,
    }
    pd.DataFrame(images).to_csv(folder / "cohort.csv", index=False)
    pd.DataFrame({"patient_id": ids}).to_csv(folder / "patients.csv", index=False)
    preset = folder / "own.yaml"
    preset.write_text(PRESET.replace("25", str(bin_width)))
    extract(RadiomicsConfig(preset=str(preset), workers=1), folder)
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("merge")
    return {
        "whole": part(folder / "whole", IDS),
        "one": part(folder / "one", ["01", "02", "03"]),
        "two": part(folder / "two", ["04", "05"]),
        "other": part(folder / "other", ["04", "05"], bin_width=20),
    }


def test_parts_joined_are_the_whole(studies: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    arguments = ["merge", str(studies["one"]), str(studies["two"] / "features"), "-o", str(out)]
    assert main(arguments) == EXIT_CASES_FAILED  # the manual mask of 04 is empty
    whole = studies["whole"] / "features"
    for name in ("manual", "automatic"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(out / f"{name}.parquet"), pd.read_parquet(whole / f"{name}.parquet")
        )
        merged, direct = (read_json(folder / f"{name}.json") for folder in (out, whole))
        assert list(merged.pop("merged_from").values()) == [
            3 - (name == "automatic"),
            1 + (name == "automatic"),
        ]
        assert {**merged, "preset": ""} == {**direct, "preset": ""}
    for name in (
        "failures.csv",
        "missed.csv",
        "summary.json",
        "manual_cases.csv",
        "dictionary.csv",
    ):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_part_in_which_every_case_failed(studies: dict[str, Path], tmp_path: Path) -> None:
    parts = [studies["one"], part(tmp_path / "a", ["04"]), part(tmp_path / "b", ["05"])]
    out = merge(parts, tmp_path / "merged")
    whole = studies["whole"] / "features"
    for name in ("manual_cases.csv", "failures.csv", "summary.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_tables_of_different_settings_are_refused(studies: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MammoroiError, match=r"settings\.binWidth is 25 and 20"):
        merge([studies["one"], studies["other"]], tmp_path)
    assert not list(tmp_path.iterdir())
    for key, value in (("engine", "pyradiomics"), ("engine_version", "0"), ("names_sha256", "0")):
        changed = tmp_path / key
        shutil.copytree(studies["two"] / "features", changed)
        write_json(changed / "manual.json", {**read_json(changed / "manual.json"), key: value})
        with pytest.raises(MammoroiError, match=f"not made alike: {key} is"):
            merge([studies["one"], changed], tmp_path / "out")
    manual = [studies[name] / "features" / "manual.json" for name in ("one", "two")]
    assert require_same(manual)["settings"] == {"binWidth": 25}


def test_an_image_in_two_parts_is_refused(studies: dict[str, Path], tmp_path: Path) -> None:
    for repeated in ("one", "two"):
        with pytest.raises(MammoroiError, match=r"image 0[1-5] \(\w+\) is in .*whole.* and in"):
            merge([studies["whole"], studies[repeated]], tmp_path)
    with pytest.raises(MammoroiError, match="nothing to merge"):
        merge([studies["one"], studies["one"] / "features"], tmp_path)
    with pytest.raises(MammoroiError, match="holds no tables"):
        merge([studies["one"], tmp_path], tmp_path / "out")


def test_a_part_that_was_copied_in_part_is_named_and_nothing_is_written(
    studies: dict[str, Path], tmp_path: Path
) -> None:
    def missing(table: Path) -> None:
        table.unlink()

    def cut_short(table: Path) -> None:
        table.write_bytes(table.read_bytes()[:2000])

    def zeros_inside(table: Path) -> None:
        content = bytearray(table.read_bytes())
        content[4:1000] = bytes(996)
        table.write_bytes(content)

    out = tmp_path / "out"
    for name, harm, message in (
        ("automatic.parquet", missing, r"automatic\.parquet does not exist"),
        ("automatic.parquet", cut_short, r"automatic\.parquet is damaged"),
        ("automatic.parquet", zeros_inside, r"automatic\.parquet is damaged"),
        ("automatic_cases.csv", missing, r"automatic_cases\.csv does not exist"),
        ("summary.json", missing, r"summary\.json does not exist"),
    ):
        copied = tmp_path / harm.__name__ / name
        shutil.copytree(studies["two"] / "features", copied)
        harm(copied / name)
        with pytest.raises(MammoroiError, match=message):
            merge([studies["one"], copied], out)
        assert not out.exists()


def test_a_part_is_no_place_for_the_result(studies: dict[str, Path]) -> None:
    with pytest.raises(MammoroiError, match="is to be merged itself"):
        merge([studies["one"], studies["two"]], studies["one"])
