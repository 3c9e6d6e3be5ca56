"""What benchmarks/nnunet_reference.py gives to nnU-Net, and how long it lets it train."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.prepare import load_mapping, prepare

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ALONE = SegmentationConfig(working_spacing_mm=2.0, workers=1)


@pytest.fixture
def benchmark() -> Iterator[tuple[ModuleType, ModuleType]]:
    """Give the modules ``nnunet_data`` and ``nnunet_reference``."""
    if not BENCHMARKS.exists():
        pytest.skip("the benchmarks are not installed with the package")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("nnunet_data"), importlib.import_module("nnunet_reference")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_nnunet_gets_the_same_pixels_with_their_spacing_in_the_same_folds(
    study: Path, tmp_path: Path, benchmark: tuple[ModuleType, ModuleType]
) -> None:
    data, _ = benchmark
    prepared = prepare(ALONE, study)
    root = tmp_path / "nnunet"
    cases = data.export(study, root)
    raw = root / "raw" / data.DATASET
    for case, image_id, _, part in cases.itertuples(index=False):
        folder = "imagesTr" if part == "train" else "imagesTs"
        image = sitk.ReadImage(str(raw / folder / f"{case}_0000.nii.gz"))
        array = np.load(prepared / f"{image_id}.npy")
        assert np.array_equal(sitk.GetArrayFromImage(image), array.astype(np.float32))
        mapping = load_mapping(study, image_id)
        rows_mm, columns_mm = (
            side * spacing
            for side, spacing in zip(array.shape, reversed(image.GetSpacing()), strict=True)
        )
        assert rows_mm == pytest.approx(mapping.height * mapping.row_mm, rel=1e-5)
        assert columns_mm == pytest.approx(mapping.width * mapping.column_mm, rel=1e-5)
        label = raw / "labelsTr" / f"{case}.nii.gz"
        assert label.exists() == (part == "train")
        if part == "train":
            mask = sitk.GetArrayFromImage(sitk.ReadImage(str(label)))
            assert np.array_equal(mask, np.load(prepared / f"{image_id}.mask.npy"))
    assert not [path for path in raw.rglob("*") if "P0" in path.name]  # nobody's name

    (root / "preprocessed" / data.DATASET).mkdir(parents=True)
    data.write_folds(study, root, cases)
    folds = json.loads((root / "preprocessed" / data.DATASET / "splits_final.json").read_text())
    patient = dict(zip(cases["case"], cases["patient_id"], strict=True))
    splits = load_splits(study)
    assert len(folds) == len(splits.folds)
    for fold, expected in zip(folds, splits.folds, strict=True):
        assert {patient[case] for case in fold["train"]} == set(expected.train)
        assert {patient[case] for case in fold["val"]} == set(expected.validation)
        assert not set(fold["train"]) & set(fold["val"])
    tested = set(cases.loc[cases["set"] == "test", "patient_id"])
    assert tested == set(splits.test)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (240, (20, 12, 2)),
        (7, (7, 1, 1)),
        (4999, (20, 249, 50)),
        (5000, (20, 250, 50)),
        (25_000, (100, 250, 50)),
        (10**9, (1000, 250, 50)),
    ],
)
def test_the_schedule_ends_with_the_budget(
    iterations: int, expected: tuple[int, int, int], benchmark: tuple[ModuleType, ModuleType]
) -> None:
    _, reference = benchmark
    epochs, training, validation = reference.schedule(iterations)
    assert (epochs, training, validation) == expected
    assert epochs * training <= max(iterations, 1)


def test_marks_are_as_large_as_those_of_the_recipes(
    study: Path,
    tmp_path: Path,
    benchmark: tuple[ModuleType, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, reference = benchmark
    recipes = importlib.import_module("segmentation_recipes")
    prepare(ALONE, study)
    cases = data.export(study, tmp_path)

    def two_regions(predictor: object, image: Path) -> np.ndarray:
        probability = np.zeros(sitk.GetArrayFromImage(sitk.ReadImage(str(image))).shape, np.float32)
        probability[4, 4] = probability[20:24, 6:10] = 0.9  # pixels of 4 mm2
        return probability

    monkeypatch.setattr(reference, "build_predictor", lambda *_: None)
    monkeypatch.setattr(reference, "predict", two_regions)
    outs = [tmp_path / "all", tmp_path / "rules"]
    reference.draw_masks(study, tmp_path, cases, "cpu", outs)
    for out in outs:
        marks = read_csv(out / "masks" / "candidates.csv")
        assert len(marks) == len(cases)
        assert marks["area_mm2"].min() >= 25
    assert reference.RULES.minimum_area_mm2 == recipes.OURS["minimum_area_mm2"]


def test_the_folds_of_a_study_are_counted(
    study: Path,
    tmp_path: Path,
    benchmark: tuple[ModuleType, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speed = importlib.import_module("folds_speed")
    prepare(ALONE, study)
    network = SimpleNamespace(card={"n_training_images": 8})
    monkeypatch.setattr(speed, "train_prepared", lambda *_: None)
    monkeypatch.setattr(speed, "load_folds", lambda _, folds, each: [[network] * each] * folds)
    out = tmp_path / "speed.csv"
    words = ["folds_speed", str(study), "--accelerator", "cpu", "--together", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(out)])
    speed.main()
    assert read_csv(out)["folds"].tolist() == [2]
