"""The methods section: its sentences and numbers are the files'."""

import json
import re
from pathlib import Path

from mammoroi.files import write_json
from mammoroi.reporting.methods import methods


def test_the_methods_have_the_numbers_of_the_files(complete: Path) -> None:
    text = methods(complete)
    metrics = json.loads((complete / "models/sln/manual/metrics.json").read_text())
    for expected in (
        "120 mammograms of 60 patients (60 CC, 60 MLO)",
        "122 mammograms of 61 patients",
        "40 for training and 20 for testing (67% and 33%)",
        "3 folds",
        "0.070 to 0.094 mm (median 0.085 mm)",
        "estimated, not measured, for 10 of 120 mammograms",
        "a second reader in 60 (50%)",
        "peak learning rate 0.002, batches of 6, at most 83 epochs",
        "Each was fitted to 22 to 24 patients; the epoch with the best Dice on 4 further ones",
        "fixed width of 23 (a width of 1 for LBP2D)",
        "| Grey levels per lesion | 17 to 61 (median 33) |",
        "LoG (sigma 1, 3)",
        "Each mask gave 1,311 features (shape and GLCM) of the original image and after 2 filters",
        "ICC(2,1) [6] between the two readers exceeded 0.75 in the 30 training",
        "911 of 1311 were left",
        "gave P < 0.04; 160 were left",
        "of 47 penalties from 10 down to 1e-05 times that",
        "the largest one within one standard error of the smallest squared error",
        "(at most 9 folds)",
        "The LASSO [7] selected from these",
        "support vector machines [8] (kernel linear, C 0.25)",
        "SMOTE [9], 5 neighbours",
        f"out of fold in the training patients ({metrics['threshold']:.3f})",
        "on 4 clinical variables known before surgery or all 6",
        "imputed inside the folds",
        "(grade in 1 of 60 patients)",
        "fitted anew on the training patients alone of each of the 3 folds",
        "estimated for sln (logistic regression) with one variable at a time (n = 59 to 60), by "
        "maximum likelihood",
        "777 paired bootstrap samples",
        "mammoroi 0.1.0 (Python 3.11.2, numpy 2.4.6, torch 2.9.0); seeds: cohort 15",
        "| Discretisation | Grey levels were binned",
        "grade (1 of 60)",
    ):
        assert expected in text, expected
    assert "left out for want" not in text
    cited = re.search(r"Nogueira's \[(\d+)\]", text)
    assert cited
    assert f"\n{cited[1]}. Nogueira S, et al." in text
    assert "all variables together" not in text  # no such model could be estimated


def test_a_recipe_given_by_name_is_looked_up(copied: Path) -> None:
    from mammoroi.modeling.recipes import PRESET_RECIPES

    for path in copied.glob("models/*/*/model.json"):
        about = json.loads(path.read_text())
        about["settings"]["recipe"] = "rigorous"
        write_json(path, about)
    text = methods(copied)
    assert f"of {PRESET_RECIPES['rigorous'].n_alphas} penalties from the smallest one" in text
    assert "gave P <" not in text
