"""The stage on small studies: rows, failures, missed lesions, cache."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.errors import MammoroiError
from mammoroi.files import read_json
from mammoroi.imaging.mammogram import Mammogram
from mammoroi.radiomics import extract as stage
from mammoroi.radiomics import jobs
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.engine import features_of
from mammoroi.radiomics.extract import extract, extract_case, job_of
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.radiomics.presets import DEFAULT, FOLDER, load_preset

PRESET = """
setting: {binWidth: 25, minimumROISize: 24}
imageType: {Original: {}, Square: {}}
featureClass: {shape2D: , firstorder: , glcm: }
"""
N_FEATURES = 9 + 2 * (18 + 24)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


class Study:
    """A study folder with images A, B, C, D; every mask is the phantom's disc."""

    def __init__(self, folder: Path, **columns: list[object]) -> None:
        self.folder = folder
        self.ids = list("ABCD")
        for seed, image_id in enumerate(self.ids):
            mammogram, mask = textured_phantom(seed=seed)
            save(folder / "images" / f"{image_id}.png", mammogram.pixels.astype(np.uint16))
            self.mask(f"manual/{image_id}.png", mask)
        images = {
            "image_id": self.ids,
            "patient_id": ["P1", "P1", "P2", "P3"],
            "view": ["CC", "MLO", "CC", "CC"],
            "laterality": "L",
            "image": [f"images/{image_id}.png" for image_id in self.ids],
            "mask": [f"manual/{image_id}.png" for image_id in self.ids],
            "spacing_mm": 0.5,
        }
        pd.DataFrame({**images, **columns}).to_csv(folder / "cohort.csv", index=False)
        patients = pd.DataFrame({"patient_id": ["P1", "P2", "P3"]})
        patients.to_csv(folder / "patients.csv", index=False)
        (folder / "own.yaml").write_text(PRESET)

    def mask(self, name: str, mask: np.ndarray, value: int = 255) -> None:
        save(self.folder / name, mask.astype(np.uint8) * np.uint8(value))

    def run(self, **options: object) -> Path:
        config = RadiomicsConfig(preset=str(self.folder / "own.yaml"), workers=1, **options)
        return extract(config, self.folder)

    def table(self, roi: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "features" / f"{roi}.parquet")

    def about(self, roi: str) -> dict:
        return read_json(self.folder / "features" / f"{roi}.json")

    def failures(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "features" / "failures.csv")

    def summary(self) -> dict:
        return read_json(self.folder / "features" / "summary.json")

    def last_run(self) -> dict:
        return json.loads((self.folder / "features" / "runs.jsonl").read_text().splitlines()[-1])

    def records(self) -> list[Path]:
        return sorted((self.folder / "features" / "cache").rglob("*.npz"))


def disc(radius: float = 12, columns: slice = slice(None)) -> np.ndarray:
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, columns] = textured_phantom(radius=radius)[1][:, columns]
    return mask


def test_four_cases_of_which_two_fail(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.mask("manual/B.png", disc(), value=7)
    study.mask("manual/C.png", np.zeros((64, 64), dtype=bool))
    two = np.zeros((64, 64), dtype=bool)
    two[30, 30:32] = True
    study.mask("manual/D.png", two)
    study.run()

    table = study.table("manual")
    assert list(table.columns[:4]) == ["image_id", "patient_id", "view", "laterality"]
    assert table["image_id"].tolist() == ["A", "B"]
    assert table.shape[1] == 4 + N_FEATURES
    assert (table.dtypes.iloc[4:] == np.float64).all()
    failures = study.failures().set_index("case")
    assert failures.index.tolist() == ["C", "D"]
    assert (failures["stage"] == "radiomics/manual").all()
    assert "empty" in failures.loc["C", "error"]
    assert "2 pixels" in failures.loc["D", "error"]
    assert failures["action"].str.len().gt(0).all()
    assert study.summary() == {
        "cases_in": 4,
        "used": 2,
        "missed": 0,
        "failed": 2,
    }


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["A", "A", "C", "D"], "A stands twice"), (["A", "", "C", ""], "a row has no image_id")],
)
def test_a_row_without_a_name_of_its_own_is_refused(
    tmp_path: Path, ids: list[str], message: str
) -> None:
    study = Study(tmp_path, image_id=ids)
    with pytest.raises(MammoroiError, match=rf"cohort\.csv: {message}"):
        study.run()
    assert not (tmp_path / "features").exists()


def test_a_box_is_not_measured_for_an_outline(tmp_path: Path) -> None:
    study = Study(tmp_path, mask_kind=["box", "outline", None, "box"])
    for image_id in study.ids:
        study.mask(f"masks/automatic/{image_id}.png", disc(radius=9))
    study.run()
    assert study.table("manual")["image_id"].tolist() == ["B", "C"]
    assert study.table("automatic")["image_id"].tolist() == list("ABCD")
    failures = study.failures()
    assert failures["case"].tolist() == ["A", "D"]
    assert failures["error"].str.contains("is a box around the lesion").all()


def test_values_are_those_of_one_case_by_itself(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.run()
    mammogram, mask = textured_phantom(spacing_mm=0.5, seed=2)
    expected = extract_case(mammogram, mask, str(tmp_path / "own.yaml"))
    row = study.table("manual").set_index("image_id").loc["C"]
    assert len(expected) == N_FEATURES
    for name, value in expected.items():
        assert row[name] == value


def test_three_sources_and_a_missed_lesion(tmp_path: Path) -> None:
    study = Study(tmp_path, mask_reader2=["reader2/A.png", "", "reader2/C.png", ""])
    for image_id in "AC":
        study.mask(f"reader2/{image_id}.png", disc(11))
    for image_id in "ABC":
        study.mask(f"masks/automatic/{image_id}.png", disc(0 if image_id == "B" else 12))
    study.mask("masks/automatic/B.png", np.zeros((64, 64), dtype=bool))
    study.run()
    assert [len(study.table(roi)) for roi in stage.ROIS] == [4, 2, 2]
    missed = pd.read_csv(tmp_path / "features" / "missed.csv")
    assert missed.to_dict("records") == [{"image_id": "B", "patient_id": "P1", "roi": "automatic"}]
    failures = study.failures()
    assert failures[["case", "stage"]].to_numpy().tolist() == [["D", "radiomics/automatic"]]
    counts = study.about("automatic")["counts"]
    assert counts["cases_in"] == counts["used"] + counts["missed"] + counts["failed"] == 4
    # the automatic masks of A and C are the manual ones: nothing is computed twice
    assert study.last_run()["from_cache"] == 2
    assert len(study.records()) == 4 + 2
    manual, automatic = (study.table(roi).set_index("image_id") for roi in ("manual", "automatic"))
    pd.testing.assert_frame_equal(manual.loc[["A", "C"]], automatic)


def test_tables_of_a_source_that_is_gone_are_removed(tmp_path: Path) -> None:
    study = Study(tmp_path)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "automatic.parquet").write_bytes(b"of an earlier run")
    study.run()
    assert not (tmp_path / "features" / "automatic.parquet").exists()


def test_provenance(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = Study(tmp_path, spacing_source=["estimated", "measured", "", ""])
    two_parts = disc() & (np.abs(np.arange(64) - 32) > 2)
    study.mask("manual/A.png", two_parts)
    (tmp_path / "own.yaml").write_text(PRESET.replace("binWidth: 25", "binWidth: 2000"))
    with caplog.at_level(logging.WARNING, logger="mammoroi.radiomics.provenance"):
        study.run()
    about = study.about("manual")
    assert about["counts"]["several_regions"] == 1
    assert about["counts"]["estimated_spacing"] == 1
    assert about["n_features"] == N_FEATURES
    assert about["engine"] == "exact"
    assert about["settings"] == {"binWidth": 2000, "minimumROISize": 24}
    assert about["bins"]["original"]["outside_16_to_128"] == 4
    assert "manual: 4 of 4 ROIs have fewer than 16" in caplog.text
    assert "original_shape2D_PixelSurface" not in about["degenerate_features"]
    assert about["nan"] == {}
    assert about["spacing_mm"]["median"] == 0.5


def test_degenerate_features_are_flagged(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.run()
    flagged = study.about("manual")["degenerate_features"]
    assert "original_shape2D_PixelSurface" in flagged  # four equal discs
    assert "original_firstorder_Mean" not in flagged


def test_a_case_that_takes_too_long_is_a_failure_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path)

    def endless(mammogram: Mammogram, *rest: object) -> object:
        while mammogram.source.stem == "B":
            time.sleep(0.01)
        return features_of(mammogram, *rest)

    monkeypatch.setattr(jobs, "features_of", endless)
    study.run(time_limit_s=0.5)
    failures = study.failures()
    assert failures["case"].tolist() == ["B"]
    assert "not done after 0.5 s" in failures["error"][0]
    assert "time_limit_s" in failures["action"][0]
    assert study.table("manual")["image_id"].tolist() == ["A", "C", "D"]


def test_every_row_says_what_of_it_deserves_a_second_look(tmp_path: Path) -> None:
    study = Study(tmp_path)
    flat = np.asarray(Image.open(tmp_path / "images" / "C.png")).copy()
    flat[disc()] = 1000  # one grey level inside the ROI
    save(tmp_path / "images" / "C.png", flat)
    study.mask("manual/D.png", np.zeros((64, 64), dtype=bool))
    study.run()
    cases = pd.read_csv(tmp_path / "features" / "manual_cases.csv").set_index("image_id")
    assert cases.index.tolist() == ["A", "B", "C"]
    assert cases.loc["C", "bins_original"] == 1
    assert "one_grey_level" in cases.loc["C", "flags"]
    assert "fewer_than_16_grey_levels" in cases.loc["C", "flags"]
    assert cases.loc["A", "bins_original"] >= 16
    assert pd.isna(cases.loc["A", "flags"])
    undefined = study.table("manual").set_index("image_id").isna().sum(axis=1)
    assert (cases["undefined_features"] == undefined).all()


def test_both_engines_write_the_same_columns_and_their_name(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.run()
    exact = study.table("manual")
    study.run(engine="pyradiomics")
    assert study.last_run()["from_cache"] == 0
    assert study.about("manual")["engine"] == "pyradiomics"
    pd.testing.assert_frame_equal(study.table("manual"), exact, rtol=1e-6)


def test_equal_runs_write_equal_files(tmp_path: Path) -> None:
    """So that a study's later stages are not computed anew because a failed case was retried."""
    study = Study(tmp_path)
    study.mask("manual/D.png", np.zeros((64, 64), dtype=bool))
    written = []
    for _ in range(2):
        folder = study.run()
        files = [path for path in folder.iterdir() if path.is_file() and path.name != "runs.jsonl"]
        written.append({path.name: path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert (study.last_run()["from_cache"], study.last_run()["failed"]) == (3, 1)


def test_an_unreadable_image_fails_for_each_of_its_masks(tmp_path: Path) -> None:
    study = Study(tmp_path, mask_reader2=[f"manual/{image_id}.png" for image_id in "ABCD"])
    (tmp_path / "images" / "B.png").write_bytes(b"no image")
    study.run()
    assert study.failures()["stage"].tolist() == ["radiomics/manual", "radiomics/reader2"]
    assert len(study.table("manual")) == 3


def test_missing_spacing_names_the_column(tmp_path: Path) -> None:
    study = Study(tmp_path, spacing_mm=[0.5, "", 0.5, 0.5])
    study.run()
    failures = study.failures()
    assert failures["case"].tolist() == ["B"]
    assert "spacing_mm" in failures["action"][0]


def count_extractions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def counted(*arguments: object) -> object:
        calls.append(1)
        return features_of(*arguments)

    monkeypatch.setattr(jobs, "features_of", counted)
    return calls


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(tmp_path)
    study.mask("manual/D.png", np.zeros((64, 64), dtype=bool))
    calls = count_extractions(monkeypatch)
    study.run()
    first = study.table("manual")
    assert len(calls) == 4

    calls.clear()  # nothing changed: only the failed case is tried again
    study.run()
    assert len(calls) == 1
    pd.testing.assert_frame_equal(study.table("manual"), first)

    calls.clear()  # the failed case is mended
    study.mask("manual/D.png", disc())
    study.run()
    assert len(calls) == 1
    assert study.failures().empty
    assert len(study.table("manual")) == 4

    calls.clear()  # a setting changes
    (tmp_path / "own.yaml").write_text(PRESET.replace("binWidth: 25", "binWidth: 20"))
    study.run()
    assert len(calls) == 4

    calls.clear()  # a mask and a spacing change
    study.mask("manual/A.png", disc(11))
    table = pd.read_csv(tmp_path / "cohort.csv")
    table.loc[1, "spacing_mm"] = 0.4
    table.to_csv(tmp_path / "cohort.csv", index=False)
    study.run()
    assert len(calls) == 2

    calls.clear()  # the records are damaged
    for record in study.records():
        record.write_bytes(record.read_bytes()[:-100])
    study.run()
    assert len(calls) == 4

    calls.clear()  # one byte of them is another: they claim a compression that nobody knows
    for record in study.records():
        content = bytearray(record.read_bytes())
        content[content.index(b"PK\x01\x02") + 10] = 99
        record.write_bytes(content)
    study.run()
    assert len(calls) == 4
    assert study.failures().empty


def test_a_killed_run_resumes(tmp_path: Path) -> None:
    study = Study(tmp_path)
    (tmp_path / "own.yaml").write_text((FOLDER / f"{DEFAULT}.yaml").read_text())
    program = (
        "from pathlib import Path; import sys, time\n"
        "from mammoroi.radiomics import jobs\n"
        "from mammoroi.radiomics.config import RadiomicsConfig\n"
        "from mammoroi.radiomics.extract import extract\n"
        "original = jobs.features_of\n"
        "def slow(*a):\n    time.sleep(0.4); return original(*a)\n"
        "jobs.features_of = slow\n"
        "extract(RadiomicsConfig(preset=sys.argv[2], workers=1), Path(sys.argv[1]))\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path), str(tmp_path / "own.yaml")]
    running = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    records = tmp_path / "features" / "cache"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(records.rglob("[!.]*.npz")):
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    done = len(list(records.rglob("[!.]*.npz")))
    assert 1 <= done < 4
    assert not (tmp_path / "features" / "manual.parquet").exists()
    study.run()
    assert study.last_run()["from_cache"] == done
    assert len(study.table("manual")) == 4


def test_processes_give_the_same_table(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.run()
    alone = study.table("manual")
    for record in study.records():
        record.unlink()
    config = RadiomicsConfig(preset=str(tmp_path / "own.yaml"), workers=2)
    extract(config, tmp_path)
    pd.testing.assert_frame_equal(study.table("manual"), alone)


def test_an_image_too_small_for_a_filter_is_a_failure(tmp_path: Path) -> None:
    study = Study(tmp_path)
    (tmp_path / "own.yaml").write_text(
        "imageType: {Original: {}, LoG: {sigma: [40]}}\nfeatureClass: {firstorder: [Mean]}\n"
    )
    study.run()
    failures = study.failures()
    assert len(failures) == 4
    assert "1 of 2 features did not come out, such as log-sigma-40" in failures["error"][0]
    assert study.table("manual").empty


def test_a_preset_that_breaks_its_promise_stops_before_the_first_case(tmp_path: Path) -> None:
    study = Study(tmp_path)
    (tmp_path / "own.yaml").write_text("features: 100\n" + PRESET)
    with pytest.raises(MammoroiError, match="promises 100 features, but 93 came out"):
        study.run()
    assert not (tmp_path / "features").exists()


def test_one_case_by_name_of_the_preset() -> None:
    values = extract_case(*textured_phantom())
    assert len(values) == 1311
    assert extract_case(*textured_phantom(), load_preset()) == values


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ({"mask_label": 1, "mask_label_reader2": 2}, {"manual": 1, "reader2": 2}),
        ({"mask_label": 1, "mask_label_reader2": float("nan")}, {"manual": 1, "reader2": 1}),
        ({"mask_label": float("nan"), "mask_label_reader2": 2}, {"reader2": 2}),
        ({}, {}),
    ],
)
def test_each_reader_has_a_label(tmp_path: Path, cells: dict, labels: dict) -> None:
    row = {"image_id": "a", "image": "a.png", "mask": "m.png", "mask_reader2": "m.png", **cells}
    (tmp_path / "masks/automatic").mkdir(parents=True)
    job = job_of(SimpleNamespace(path=Path), tmp_path, row)
    assert set(job.masks) == {"manual", "reader2", "automatic"}
    assert job.labels == labels  # the automatic mask has none
