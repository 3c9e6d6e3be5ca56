"""The synthetic cohort: the printed tables, the planted truth, the files."""

import filecmp
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from statsmodels.miscmodels.ordinal_model import OrderedModel

from mammoroi.cohort.check import check
from mammoroi.cohort.clinical import COLUMNS, draw_patient, read_template, template_rows
from mammoroi.cohort.labels import her2_expression
from mammoroi.cohort.planted import (
    HER2_CLASSES,
    Scores,
    ceilings,
    draw_scores,
    her2_risks,
    sln_risk,
)
from mammoroi.cohort.synthetic import synthesize
from mammoroi.cohort.synthetic_config import SyntheticConfig
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_mammogram

# Zhao et al. 2025, Table 1, column "Total".
TABLE_1 = {
    "her2": {"zero": 246, "low": 297, "positive": 295},
    "sln": {"negative": 425, "positive": 413},
    "ethnicity": {"han": 511, "minority": 327},
    "lymphovascular_invasion": {"no": 515, "yes": 323},
    "nerve_invasion": {"no": 732, "yes": 106},
    "menopause": {"no": 453, "yes": 385},
    "ck5_6": {"negative": 622, "positive": 216},
    "grade": {"I": 36, "II": 399, "III": 403},
    "stage": {"I": 224, "II": 439, "III": 152, "IV": 23},
    "breast_density": {"extremely_dense": 59, "heterogeneous": 649, "fatty": 130},
    "lesion_shape": {"round": 85, "irregular": 753},
    "lesion_margin": {"smooth": 118, "spiculated": 720},
    "mass_density": {"isodense": 247, "high": 591},
    "architectural_distortion": {"no": 368, "yes": 470},
    "calcification": {"no": 164, "yes": 674},
    "skin_change": {"no": 754, "yes": 84},
}
# Variable, cut-off, patients at or below it.
TABLE_1_CUTS = [
    ("age", 40, 99),
    ("size_cm", 2, 315),
    ("er_percent", 10, 356),
    ("pr_percent", 20, 472),
    ("ki67_percent", 20, 221),
]
# Table 2, univariable: exposed level, odds ratio, its 95 % interval.
TABLE_2 = [
    ("ethnicity", "minority", 1.75, 1.33, 2.32),
    ("lymphovascular_invasion", "yes", 6.66, 4.86, 9.13),
    ("nerve_invasion", "yes", 2.97, 1.90, 4.64),
    ("menopause", "yes", 0.74, 0.56, 0.97),
    ("ck5_6", "positive", 0.79, 0.58, 1.08),
    ("lesion_margin", "spiculated", 3.69, 2.36, 5.79),
    ("mass_density", "high", 1.37, 1.02, 1.85),
    ("calcification", "yes", 1.35, 0.96, 1.90),
    ("skin_change", "yes", 3.46, 2.07, 5.79),
]


@pytest.fixture(scope="module")
def template() -> pd.DataFrame:
    return read_template()


@pytest.fixture(scope="module")
def patients(template: pd.DataFrame) -> pd.DataFrame:
    rows = template.to_dict("records")
    rng = np.random.default_rng(15)
    return pd.DataFrame(
        [draw_patient(str(i), rows[i], rng) for i in template_rows(template, 838, 15)]
    )


@pytest.mark.parametrize("column", TABLE_1)
def test_counts_equal_table_1(patients: pd.DataFrame, column: str) -> None:
    assert patients[column].value_counts().to_dict() == TABLE_1[column]


@pytest.mark.parametrize(("column", "cut", "expected"), TABLE_1_CUTS)
def test_drawn_values_keep_table_1_at_the_cut_offs(
    patients: pd.DataFrame, column: str, cut: float, expected: int
) -> None:
    assert (patients[column] <= cut).sum() == expected


@pytest.mark.parametrize(("column", "exposed", "odds_ratio", "lower", "upper"), TABLE_2)
def test_univariable_odds_ratios_equal_table_2(
    patients: pd.DataFrame,
    column: str,
    exposed: str,
    odds_ratio: float,
    lower: float,
    upper: float,
) -> None:
    x = sm.add_constant((patients[column] == exposed).astype(float))
    fit = sm.Logit((patients["sln"] == "positive").astype(float), x).fit(disp=0)
    found = np.exp([fit.params[column], *fit.conf_int().loc[column]])
    assert found == pytest.approx([odds_ratio, lower, upper], abs=0.0101)


def test_size_odds_ratio_equals_table_2(patients: pd.DataFrame) -> None:
    large = (patients["size_cm"] > 2).astype(float)
    fit = sm.Logit((patients["sln"] == "positive").astype(float), sm.add_constant(large)).fit(
        disp=0
    )
    assert np.exp(fit.params["size_cm"]) == pytest.approx(2.40, abs=0.0101)


def test_sln_row_of_table_3(patients: pd.DataFrame) -> None:
    """HER2 as an ordinal outcome of SLN: β 0.75, SE 0.13, OR 2.13 (1.65 to 2.74)."""
    her2 = pd.Categorical(patients["her2"], HER2_CLASSES, ordered=True)
    positive = (patients["sln"] == "positive").astype(float)
    fit = OrderedModel(pd.Series(her2), positive, distr="logit").fit(method="bfgs", disp=0)
    assert fit.params["sln"] == pytest.approx(0.754, abs=0.005)
    assert fit.bse["sln"] == pytest.approx(0.1295, abs=0.001)


def test_patients_look_like_patients(patients: pd.DataFrame) -> None:
    assert patients["age"].mean() == pytest.approx(52.4, abs=1.2)
    assert patients["age"].std() == pytest.approx(10.6, abs=1.0)
    assert patients["age"].between(24, 88).all()
    after = patients.loc[patients["age"] > 40].groupby("menopause")["age"].mean()
    assert after["yes"] > after["no"] + 8
    assert patients["size_cm"].between(0.8, 7).all()
    assert patients["size_cm"].median() == pytest.approx(2.3, abs=0.15)
    derived = [
        her2_expression(ihc, fish if isinstance(fish, str) else None)
        for ihc, fish in zip(patients["her2_ihc"], patients["her2_fish"], strict=True)
    ]
    assert derived == patients["her2"].tolist()
    assert (patients["her2_fish"].notna() == (patients["her2_ihc"] == "2+")).all()


def test_any_number_of_rows(template: pd.DataFrame) -> None:
    whole = template_rows(template, 838, 15)
    assert sorted(whole) == list(range(838))
    assert template_rows(template, 2000, 15)[:838] == whole
    assert template_rows(template, 838, 16) != whole
    cells = template.iloc[whole[:120]].groupby(["sln", "her2"]).size()
    expected = template.groupby(["sln", "her2"]).size() * 120 / 838
    assert np.abs(cells - expected).max() <= 1.6


@pytest.mark.parametrize(("separation", "auc"), [(0, 0.5), (1.5, 0.83), (1.75, 0.87), (2, 0.90)])
def test_her2_ceiling(separation: float, auc: float) -> None:
    found = ceilings(SyntheticConfig(her2_separation=separation, view_noise=0), np.ones(3) / 3)
    for name in HER2_CLASSES:
        assert found[f"her2-{name}"] == pytest.approx(auc, abs=0.0075)
        assert found[f"her2-{name}_two_views"] == found[f"her2-{name}"]


def test_scores_reach_the_planted_auc_and_risks_are_calibrated() -> None:
    config, rng, prevalence = SyntheticConfig(auc_sln=0.85), np.random.default_rng(0), 0.3
    positive = rng.random(20_000) < prevalence
    her2 = rng.choice(HER2_CLASSES, 20_000)
    scores = [
        draw_scores("positive" if p else "negative", h, config, rng)
        for p, h in zip(positive, her2, strict=True)
    ]
    risks = np.array([sln_risk(score.sln_score, config, prevalence) for score in scores])
    assert roc_auc_score(positive, risks) == pytest.approx(0.85, abs=0.008)
    fit = sm.Logit(positive, sm.add_constant(np.log(risks / (1 - risks)))).fit(disp=0)
    assert fit.params == pytest.approx([0, 1], abs=0.08)
    plane = np.array([[s.her2_direction, s.her2_grain] for s in scores])
    posterior = her2_risks(plane, config.her2_separation, np.ones(3) / 3)
    known = ceilings(config, np.ones(3) / 3)
    for k, name in enumerate(HER2_CLASSES):
        assert roc_auc_score(her2 == name, posterior[:, k]) == pytest.approx(
            known[f"her2-{name}"], abs=0.01
        )
        assert posterior[:, k].mean() == pytest.approx((her2 == name).mean(), abs=0.01)


def test_no_signal_can_be_planted() -> None:
    config = SyntheticConfig(auc_sln=0.5, her2_separation=0)
    same = [
        draw_scores(sln, her2, config, np.random.default_rng(1))
        for sln, her2 in (("positive", "zero"), ("negative", "positive"))
    ]
    assert same[0] == same[1]
    assert isinstance(same[0], Scores)


SMALL = SyntheticConfig(n_patients=6, spacing_mm=0.4, reader2_fraction=0.5, workers=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(SMALL, tmp_path_factory.mktemp("synthetic") / "cohort")


def test_the_cohort_passes_its_own_check(folder: Path) -> None:
    assert check(folder) == []


def test_tables_and_files(folder: Path) -> None:
    about = read_json(folder / "cohort.json")
    assert about["synthetic"] is True
    assert about["n_patients"] == 6
    assert about["n_images"] == 12
    assert about["n_patients_reader2"] == 3
    assert about["signal"]["ceiling_auc"]["sln"] == 0.85
    patients = read_csv(folder / "patients.csv", dtype=str)
    assert tuple(patients.columns) == COLUMNS
    images = read_csv(folder / "cohort.csv", dtype=str)
    assert images["view"].tolist() == ["CC", "MLO"] * 6
    assert images["mask_reader2"].notna().sum() == 6
    truth = read_csv(folder / "truth" / "patients.csv")
    risks = truth.filter(regex="her2_.*_risk").sum(axis=1)
    assert risks.to_numpy() == pytest.approx(1)
    for image in images.itertuples():
        mammogram = read_mammogram(folder / image.image)
        assert (mammogram.view, mammogram.laterality) == (image.view, image.laterality)
        assert mammogram.intent == "presentation"
        spacing = mammogram.require_spacing()
        assert (spacing.row_mm, spacing.column_mm) == (0.4, 0.4)
        shape = mammogram.pixels.shape
        lesion = read_mask(folder / "truth" / "masks" / f"{image.image_id}.png", shape)
        reader = read_mask(folder / image.mask, shape)
        dice = 2 * (lesion & reader).sum() / (lesion.sum() + reader.sum())
        assert 0.75 < dice < 0.99


def test_same_patients_whatever_the_number_and_the_workers(folder: Path, tmp_path: Path) -> None:
    fewer = SyntheticConfig(n_patients=2, spacing_mm=0.4, reader2_fraction=0.5, workers=2)
    synthesize(fewer, tmp_path)
    files = [f for f in tmp_path.rglob("*") if f.suffix in (".dcm", ".png")]
    assert len(files) == 4 * 3 + 2
    for file in files:
        assert filecmp.cmp(file, folder / file.relative_to(tmp_path), shallow=False), file
    for table in ("cohort.csv", "patients.csv", "truth/patients.csv", "truth/images.csv"):
        lines = (tmp_path / table).read_text().splitlines()
        assert lines == (folder / table).read_text().splitlines()[: len(lines)], table


def test_a_finished_cohort_is_kept(folder: Path) -> None:
    before = (folder / "cohort.csv").stat().st_mtime_ns
    assert synthesize(SMALL, folder) == folder
    assert (folder / "cohort.csv").stat().st_mtime_ns == before
    with pytest.raises(MammoroiError, match="other settings -> choose another folder"):
        synthesize(SyntheticConfig(n_patients=7), folder)


def test_a_users_cohort_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text("image_id\n")
    with pytest.raises(MammoroiError, match="not synthetic"):
        synthesize(SMALL, tmp_path)
    assert (tmp_path / "cohort.csv").read_text() == "image_id\n"


@pytest.mark.parametrize(
    "setting",
    [
        {"n_patients": 0},
        {"spacing_mm": 1.0},
        {"auc_sln": 0.4},
        {"reader2_fraction": 1.5},
        {"view_noise": float("nan")},
        {"workers": -1},
    ],
)
def test_settings_that_cannot_be_meant(setting: dict) -> None:
    with pytest.raises(MammoroiError, match=f"{next(iter(setting))} is .* give a value from"):
        SyntheticConfig(**setting)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_images_are_valid_dicom(folder: Path) -> None:
    for path in sorted((folder / "images").glob("*.dcm"))[:4]:
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr


def test_the_other_breast_has_no_lesion_and_changes_nothing_else(tmp_path: Path) -> None:
    settings = {"n_patients": 3, "spacing_mm": 0.5, "workers": 1}
    alone = synthesize(SyntheticConfig(**settings), tmp_path / "alone")
    both = synthesize(SyntheticConfig(**settings, other_breast=True), tmp_path / "both")
    for table in ("cohort.csv", "patients.csv", "truth/images.csv"):
        assert (alone / table).read_bytes() == (both / table).read_bytes()
    own, other = (read_csv(folder / "cohort.csv", dtype=str) for folder in (both, both / "normals"))
    for image in own["image"]:
        assert filecmp.cmp(alone / image, both / image, shallow=False)
    assert "mask" not in other
    sides = own.set_index(["patient_id", "view"])["laterality"]
    for row in other.itertuples():
        assert {row.laterality, sides[row.patient_id, row.view]} == {"L", "R"}
    with_lesion, without = (
        [read_mammogram(folder / row.image) for row in table.itertuples()]
        for folder, table in ((both, own), (both / "normals", other))
    )
    assert [one.laterality for one in without] == other["laterality"].tolist()
    # Masses are the brightest that is large in a breast: what is left of 10 mm squares is darker.
    masses, gland = (
        [ndimage.minimum_filter(one.pixels, 20).max() for one in images]
        for images in (with_lesion, without)
    )
    assert np.mean(masses) > np.mean(gland)
    with pytest.raises(MammoroiError, match="made with other settings"):
        synthesize(SyntheticConfig(**settings), both)
