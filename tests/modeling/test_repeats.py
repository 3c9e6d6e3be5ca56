"""Perturbed masks in place of a second reader: which ICC, of whom, and when."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, write_json, write_parquet
from mammoroi.modeling.compare import compare
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.fit import model
from mammoroi.modeling.icc import icc
from mammoroi.modeling.recipes import Recipe
from mammoroi.modeling.repeats import Repeats, find_repeats, load_perturbed
from mammoroi.modeling.selection import StableFeatures
from mammoroi.modeling.table import combine_views, feature_names, load_features

NAMES = ("grow-0.5mm", "noise-0.5mm-1", "translate-0.5mm-up")
CONFIG = ModelingConfig(
    tasks=("sln",),
    recipe=Recipe(lasso_folds=4, n_alphas=12),
    repeats=1,
    all_patients=False,
    n_bootstrap=100,
    workers=1,
)


@pytest.fixture
def single(study, tmp_path):
    """The simulated study without its second reader, and with perturbed masks.

    Every tenth feature changes with the outline; the first quarter of the images lacks one.
    """
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    (folder / "features" / "reader2.parquet").unlink()
    rng = np.random.default_rng(4)
    manual = load_features(folder, "manual").images
    train = set(read_json(folder / "splits.json")["train"])
    manual = manual[manual["patient_id"].isin(train)]
    features = feature_names(manual)
    noise = np.where(np.arange(len(features)) % 10 == 1, 9.0, 0.15)
    parts = []
    for number, name in enumerate(NAMES):
        part = manual.iloc[len(manual) // 4 :] if number == 0 else manual
        values = part[features] + noise * rng.normal(size=(len(part), len(features)))
        part = pd.concat([part[["image_id", "patient_id", "view", "laterality"]], values], axis=1)
        part.insert(4, "perturbation", name)
        parts.append(part)
    write_parquet(folder / "stability" / "perturbed.parquet", pd.concat(parts, ignore_index=True))
    write_json(folder / "stability" / "perturbed.json", {"settings_sha256": "0" * 64})
    return folder


def test_perturbations_stand_in_for_the_second_reader(single):
    model(CONFIG, single)
    compare(CONFIG, single)
    for roi in ("manual", "automatic"):
        funnel = read_json(single / "models" / "sln" / roi / "funnel.json")
        assert (funnel["icc_source"], funnel["icc_applied"]) == ("perturbation", True)
        assert 0 < funnel["icc_patients"] <= 84
        assert funnel["stable"] == 108
        assert all(fold["icc_patients"] < funnel["icc_patients"] for fold in funnel["folds"])
    stability = read_csv(single / "comparison" / "stability.csv")
    unstable = np.arange(120) % 10 == 1
    assert (stability.loc[unstable, "icc_perturbation"] < 0.75).all()
    assert (stability.loc[~unstable, "icc_perturbation"] > 0.75).all()
    assert (stability["n_perturbation"] == 126).all()  # of 168 images of 84 training patients
    assert (stability["n_reader"] == 0).all()
    summary = read_json(single / "comparison" / "summary.json")
    assert summary["perturbations"] == list(NAMES)
    assert list(summary["icc"]) == ["perturbation", "automatic"]


def test_the_filter_rests_on_icc_1_1_of_the_given_patients_only(single):
    manual = load_features(single, "manual")
    found = find_repeats(single, manual, None, "mean")
    assert (found.source, found.kind, len(found.tables)) == ("perturbation", "1,1", 4)
    X = combine_views(manual.images, "mean")
    given = X.loc[found.tables[0].index[:20]]
    stable = StableFeatures(found, 0.75).fit(given)
    ratings = np.stack([table.loc[given.index].to_numpy() for table in found.tables], axis=1)
    np.testing.assert_allclose(stable.icc_, icc(ratings, "1,1").value)
    spoilt = tuple(table.copy() for table in found.tables)
    for n, table in enumerate(spoilt):
        table.loc[~table.index.isin(given.index)] = 1e6 * n
    again = StableFeatures(Repeats("perturbation", spoilt), 0.75).fit(given)
    np.testing.assert_array_equal(again.icc_, stable.icc_)


def test_a_second_reader_comes_first(single, study):
    second = load_features(study.folder, "reader2")
    found = find_repeats(single, load_features(single, "manual"), second, "mean")
    assert (found.source, found.kind, len(found.tables)) == ("reader2", "2,1", 2)


def test_no_perturbations_no_repeats(study):
    manual = load_features(study.folder, "manual")
    assert find_repeats(study.folder, manual, None, "mean") is None


@pytest.mark.parametrize(
    ("key", "value"), [("settings_sha256", "1" * 64), ("engine", "pyradiomics"), (None, None)]
)
@pytest.mark.parametrize("table", ["features/automatic", "features/reader2", "stability/perturbed"])
def test_tables_that_were_not_made_alike_are_refused(study, single, table, key, value):
    """By `model` and by `compare`, and so is a table whose columns are others."""
    for kind in ("parquet", "json"):
        name = f"features/reader2.{kind}"
        if table == "features/reader2":
            shutil.copy(study.folder / name, single / name)
    if key is None:
        frame = pd.read_parquet(single / f"{table}.parquet")
        write_parquet(single / f"{table}.parquet", frame.drop(columns=frame.columns[-1]))
        message = "hold different features"
    else:
        made = read_json(single / f"{table}.json")
        write_json(single / f"{table}.json", {**made, key: value})
        message = f"{table}.json were not made alike: {key} is"
    for stage in (model, compare):
        with pytest.raises(MammoroiError, match=message):
            stage(CONFIG, single)


def test_images_without_all_perturbations_are_no_table(single):
    manual = load_features(single, "manual")
    table = pd.read_parquet(single / "stability" / "perturbed.parquet")
    write_parquet(single / "stability" / "perturbed.parquet", table.iloc[:0])
    with pytest.raises(MammoroiError, match="no image with all"):
        load_perturbed(single, manual)
