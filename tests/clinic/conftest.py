"""A small finished study whose masks the shipped network drew, its bundle, and a second cohort."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mammoroi.clinic.bundle import Bundle, open_bundle
from mammoroi.clinic.freeze import write_bundle
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.synthetic import synthesize
from mammoroi.cohort.synthetic_config import SyntheticConfig
from mammoroi.files import write_json
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.recipes import Recipe
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.drawing import note_drawing
from mammoroi.segmentation.learned_from import note_learned_from
from mammoroi.segmentation.weights import demonstration_model, load_models
from mammoroi.stages import STAGES, StudyConfig

PRESET = Path(__file__).parents[1] / "root" / "data" / "original-only.yaml"
N_FOLDS = 2


def make_study(folder: Path, n_patients: int = 44) -> Path:
    """Run the stages behind the networks' training, which the shipped network stands for."""
    cohort = folder / "cohort"
    synthesize(
        SyntheticConfig(
            n_patients=n_patients, seed=77, spacing_mm=0.5, reader2_fraction=0, workers=1
        ),
        cohort,
    )
    shipped = SegmentationConfig(**load_models(demonstration_model())[0].card["settings"])
    recipe = replace(Recipe(), n_alphas=8, lasso_rule="min", lasso_folds=3)
    config = StudyConfig(
        out=folder / "study",
        cohort=CohortConfig(folder=cohort, n_folds=N_FOLDS),
        segmentation=replace(
            shipped, workers=1, accelerator="cpu", bootstrap_samples=100, overlays=0
        ),
        radiomics=RadiomicsConfig(preset=str(PRESET), workers=1),
        modeling=ModelingConfig(
            tasks=("sln",), recipe=recipe, repeats=1, all_patients=False, n_bootstrap=100,
            predictors=False, workers=1,
        ),
    )  # fmt: skip
    study = config.out
    for stage in STAGES:
        if stage.name == "train":
            for fold in range(N_FOLDS):
                copy = study / "segmentation" / f"fold-{fold}"
                shutil.copytree(demonstration_model() / "fold-0", copy)
                note_learned_from(copy, {})  # its phantoms only share their names with these
            note_drawing(config.segmentation, study / "segmentation")
        elif stage.name in ("accept", "segment", "agree", "extract", "model"):
            module = importlib.import_module(f"mammoroi.{stage.module}")
            getattr(module, stage.name)(stage.config(config), study)
    write_json(study / "config.json", config)
    return study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study; not to be changed."""
    return make_study(tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="session")
def model(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle's file."""
    return write_bundle(study, tmp_path_factory.mktemp("bundle") / "model.mroi")


@pytest.fixture(scope="session")
def bundle(model: Path) -> Bundle:
    """Its bundle."""
    return open_bundle(model)


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another cohort of the same kind; not to be changed."""
    folder = tmp_path_factory.mktemp("second") / "cohort"
    config = SyntheticConfig(n_patients=30, seed=5, spacing_mm=0.5, reader2_fraction=0, workers=1)
    return synthesize(config, folder)
