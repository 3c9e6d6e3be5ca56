"""The stage `perturb` on small studies: what is measured, of whom, and what that says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, sha256_file, write_csv, write_json
from mammoroi.imaging.mask import read_mask
from mammoroi.radiomics import stability
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.extract import extract
from mammoroi.radiomics.perturbation_config import PerturbConfig, StabilityConfig
from mammoroi.radiomics.stability import perturb

PRESET = """
setting: {binWidth: 25, minimumROISize: 24}
imageType: {Original: {}}
featureClass: {shape2D: [PixelSurface, Sphericity], firstorder: [Median, Minimum, Entropy]}
"""
SETS = StabilityConfig(
    growth_mm=(0.5,), shrinkage_mm=(0.5,), noise_mm=(0.4,), noise_repeats=2, translation_mm=(0.5,)
)
SHAPE, SPACING_MM = (96, 96), 0.25
N = 12


def lesion(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A homogeneous bright lesion on dark tissue, and its outline: a disc of 4 to 5 mm.

    The lesions differ in brightness, which the median shows. Outside is dark and noisy, so that the
    least value inside an outline says where the outline lies, not what the lesion is.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    radius = rng.uniform(16, 20)
    mask = (rows - 48) ** 2 + (columns - 48) ** 2 <= radius**2
    pixels = np.where(mask, 1500 + 100 * seed, 600) + rng.normal(0, 120, SHAPE)
    return np.clip(np.round(pixels), 0, 4095).astype(np.uint16), mask


def make(folder: Path, n: int = N) -> Path:
    ids = [f"I{k:02d}" for k in range(n)]
    (folder / "masks").mkdir(parents=True)
    for seed, image_id in enumerate(ids):
        pixels, mask = lesion(seed)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
        labels = mask.astype(np.uint8) * np.uint8(7)
        labels[:8, :8] = 3  # something else that was outlined
        Image.fromarray(labels).save(folder / f"masks/{image_id}.png")
    patients = [f"P{k:02d}" for k in range(n)]
    images = {
        "image_id": ids,
        "patient_id": patients,
        "view": "CC",
        "laterality": "L",
        "image": [f"{image_id}.png" for image_id in ids],
        "mask": [f"masks/{image_id}.png" for image_id in ids],
        "mask_label": 7,
        "spacing_mm": SPACING_MM,
    }
    write_csv(folder / "cohort.csv", pd.DataFrame(images))
    write_csv(folder / "patients.csv", pd.DataFrame({"patient_id": patients}))
    train, test = patients[:-2], patients[-2:]
    folds = [{"train": train[5:], "validation": train[:5]}]
    folds.append({"train": train[:5], "validation": train[5:]})
    about = {"seed": 1, "test_size": 0.2, "n_folds": 2, "stratify": []}
    write_json(folder / "splits.json", about | {"train": train, "test": test, "folds": folds})
    (folder / "own.yaml").write_text(PRESET)
    return folder


def config(folder: Path, stability: StabilityConfig = SETS) -> PerturbConfig:
    return PerturbConfig(RadiomicsConfig(preset=str(folder / "own.yaml"), workers=1), stability)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A study of which the manual masks and their perturbations were measured."""
    folder = make(tmp_path_factory.mktemp("perturbed") / "study")
    extract(config(folder).radiomics, folder)
    perturb(config(folder), folder)
    return folder


def test_every_training_mask_is_perturbed_and_no_test_mask(done):
    table = pd.read_parquet(done / "stability" / "perturbed.parquet")
    names = [one.name for one in SETS.perturbations()]
    assert len(names) == 8
    assert table["perturbation"].drop_duplicates().tolist() == names
    assert table.groupby("perturbation")["patient_id"].agg(set).map(len).tolist() == [10] * 8
    assert not set(table["patient_id"]) & {"P10", "P11"}
    manual = pd.read_parquet(done / "features" / "manual.parquet")
    assert [name for name in table if name != "perturbation"] == list(manual)
    about, other = (
        read_json(done / name) for name in ("stability/perturbed.json", "features/manual.json")
    )
    assert about["settings_sha256"] == other["settings_sha256"]
    assert about["counts"] == {"cases_in": 80, "used": 80, "too_small": 0, "failed": 0}
    assert read_csv(done / "stability" / "failures.csv").empty


def test_the_mask_on_disk_is_the_one_that_was_measured(done):
    table = pd.read_parquet(done / "stability" / "perturbed.parquet")
    masks = read_csv(done / "stability" / "masks.csv", dtype={"image_id": str})
    assert (masks["outcome"] == "used").all()
    assert masks["dice"].between(0.85, 1).all()
    row = table.iloc[25]
    path = done / "masks" / "perturbed" / row["perturbation"] / f"{row['image_id']}.png"
    mask = read_mask(path, SHAPE)
    assert not mask[:12, :12].any()  # of the label that is the lesion alone
    pixels = int(mask.sum())
    assert row["original_shape2D_PixelSurface"] == pytest.approx(pixels * SPACING_MM**2)
    ratio = masks.groupby("perturbation")["area_ratio"].mean()
    assert ratio["shrink-0.5mm"] < 0.85 < 1.15 < ratio["grow-0.5mm"]
    assert ratio["translate-0.5mm-up"] == pytest.approx(1, abs=0.01)


def test_what_depends_on_the_inside_is_stable_and_what_depends_on_the_edge_is_not(done):
    """The median of a homogeneous lesion against the least value within its outline."""
    from mammoroi.modeling.agreement import feature_agreement
    from mammoroi.modeling.repeats import load_perturbed
    from mammoroi.modeling.table import load_features

    manual = load_features(done, "manual")
    perturbed = load_perturbed(done, manual)
    found = feature_agreement([manual.images, *perturbed.values()], "1,1")
    assert (found["n"] == 10).all()
    assert found.loc["original_firstorder_Median", "icc"] > 0.99
    assert found.loc["original_firstorder_Minimum", "icc"] < 0.3
    assert found.loc["original_firstorder_Median", "lower"] > 0.95


def test_repeating_and_other_orders_give_the_same_masks(done, tmp_path):
    again = make(tmp_path / "study")
    table = read_csv(again / "cohort.csv", dtype=str)
    write_csv(again / "cohort.csv", table.iloc[::-1])
    perturb(config(again), again)
    files = sorted(path.relative_to(done) for path in (done / "masks/perturbed").rglob("*.png"))
    assert len(files) == 80
    assert all(sha256_file(done / path) == sha256_file(again / path) for path in files)


def test_an_image_whose_process_dies_fails_alone(tmp_path, monkeypatch):
    def deadly(job, **options):
        import os

        from mammoroi.radiomics.stability import _draw

        if job.image_id == "I02":
            os.kill(os.getpid(), 9)
        return _draw(job, **options)

    folder = make(tmp_path / "study", 6)
    monkeypatch.setattr(stability, "_draw", deadly)
    wanted = config(folder, StabilityConfig(growth_mm=(0.5,)))
    perturb(replace(wanted, radiomics=replace(wanted.radiomics, workers=2)), folder)
    failures = read_csv(folder / "stability" / "failures.csv")
    assert failures[["case", "stage"]].to_numpy().tolist() == [["I02", "perturb"]]
    assert "killed twice" in failures["error"].item()
    counts = read_json(folder / "stability" / "perturbed.json")["counts"]
    assert counts == {"cases_in": 4, "used": 3, "too_small": 0, "failed": 1}


def test_a_run_that_is_refused_leaves_the_masks(tmp_path):
    folder = make(tmp_path / "study", 4)
    wanted = config(folder, StabilityConfig(growth_mm=(0.5,)))
    perturb(wanted, folder)
    with pytest.raises(MammoroiError, match="no radiomics preset"):
        perturb(replace(wanted, radiomics=RadiomicsConfig(preset="other")), folder)
    assert len(list((folder / "masks" / "perturbed").rglob("*.png"))) == 2


def test_small_lesions_and_bad_images_are_named(tmp_path):
    """A lesion of 0.5 mm vanishes when it shrinks; an image that cannot be read fails alone."""
    folder = make(tmp_path / "study", 6)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[40:46, 40:46] = 7
    Image.fromarray(mask).save(folder / "masks/I00.png")
    mask[40:43, 40:46] = 0
    Image.fromarray(mask).save(folder / "masks/I01.png")
    (folder / "I02.png").write_bytes(b"no picture")
    perturb(config(folder, StabilityConfig((), (0.5, 1.0))), folder)
    masks = read_csv(folder / "stability" / "masks.csv").set_index(["image_id", "perturbation"])
    assert "25 are the least" in masks.loc[("I00", "shrink-0.5mm"), "outcome"]
    assert masks.loc[("I00", "shrink-1mm"), "outcome"] == "nothing is left"
    assert masks.loc[("I00", "shrink-1mm"), "dice"] == 0
    assert masks.loc[("I03", "shrink-1mm"), "outcome"] == "used"
    failures = read_csv(folder / "stability" / "failures.csv")
    assert failures[["case", "stage"]].to_numpy().tolist() == [["I02", "perturb"]]
    counts = read_json(folder / "stability" / "perturbed.json")["counts"]
    assert counts == {"cases_in": 7, "used": 2, "too_small": 4, "failed": 1}
    with pytest.raises(MammoroiError, match="names no perturbation"):
        perturb(config(folder, StabilityConfig()), folder)


def test_a_mask_of_the_least_size_is_measured(tmp_path):
    folder = make(tmp_path / "study", 4)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[40:45, 40:45] = 7
    Image.fromarray(mask).save(folder / "masks/I00.png")
    perturb(config(folder, StabilityConfig(translation_mm=(SPACING_MM,))), folder)
    masks = read_csv(folder / "stability" / "masks.csv").set_index("image_id").loc["I00"]
    assert masks["pixels"].to_list() == [25] * 4
    assert set(masks["outcome"]) == {"used"}
