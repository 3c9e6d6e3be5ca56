"""The regressions against the published tables, R's polr, and constructed cases."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.clinical import draw_patient, read_template
from mammoroi.errors import MammoroiError
from mammoroi.modeling.clinical_config import (
    PRESET_CLINICAL,
    PRESET_VARIABLES,
    ClinicalConfig,
    ClinicalVariable,
)
from mammoroi.modeling.clinical_design import Design, Term
from mammoroi.modeling.config import Task
from mammoroi.modeling.odds_ratios import proportionality_table, regression_table
from mammoroi.modeling.regression import PENALISED, fit, fit_models

# Zhao et al., Front Oncol 2025;15:1578458, Tables 2 (node) and 3 (HER2), with the contrasts to
# which their unlabelled rows of several levels belong.
PRINTED = pd.read_csv(Path(__file__).parent / "data" / "paper_regressions.csv")
AS_PRINTED = PRESET_CLINICAL["paper-literal"]
SEVERAL_LEVELS = ("grade", "stage", "breast_density", "her2")


@pytest.fixture(scope="module")
def patients():
    """The 838 patients of the synthetic cohort's template, with numbers for its flags."""
    rng = np.random.default_rng(15)
    rows = read_template().to_dict("records")
    return pd.DataFrame([draw_patient(f"P{k:04d}", row, rng) for k, row in enumerate(rows)])


@pytest.fixture(scope="module")
def paper(patients):
    """Printed and found rows side by side, by the number of the table."""
    found = {}
    for number, task in zip((2, 3), AS_PRINTED.resolved_tasks(), strict=True):
        table = regression_table(fit_models(patients, task, AS_PRINTED), AS_PRINTED)
        printed = PRINTED[PRINTED["table"] == number]
        keys = ["analysis", "variable", "level"]
        found[number] = (table, printed.merge(table, on=keys, suffixes=("_printed", "")))
    return found


def same_odds_ratio(row) -> bool:
    """Odds ratio and interval agree to the two decimals that are printed."""
    pairs = [
        (row["odds_ratio_printed"], row["odds_ratio"]),
        (row["lower"], row["odds_ratio_lower"]),
        (row["upper"], row["odds_ratio_upper"]),
    ]
    return all(f"{printed:.2f}" == f"{found:.2f}" for printed, found in pairs)


def test_univariable_rows_are_the_published_ones_to_every_digit(paper):
    for number, of_two_levels, of_several in ((2, 16, 4), (3, 17, 0)):
        rows = paper[number][1].query("analysis == 'univariable'")
        assert len(rows) == 20
        same = rows.apply(same_odds_ratio, axis=1)
        several = rows["variable"].isin(SEVERAL_LEVELS)
        assert same[~several].sum() == (~several).sum() == of_two_levels
        assert same[several].sum() == of_several
        assert rows.loc[same, "beta"].to_numpy() == pytest.approx(
            rows.loc[same, "beta_printed"].to_numpy(), abs=0.006
        )
        assert rows.loc[same, "se"].round(2).tolist() == rows.loc[same, "se_printed"].tolist()


def test_multivariable_models_are_the_published_ones(paper):
    """The same variables enter, and coefficients are within 0.013 of what is printed.

    What is printed is an interval of roundings: that of beta and that of the odds ratio.
    """
    for number, n in ((2, 12), (3, 9)):
        table, both = paper[number]
        rows = both.query("analysis == 'multivariable'")
        printed = PRINTED.query(f"table == {number} and analysis == 'multivariable'")
        assert set(table.query("analysis == 'multivariable'")["variable"]) == set(
            printed["variable"]
        )
        assert len(rows) == n
        low = np.maximum(rows["beta_printed"] - 0.005, np.log(rows["odds_ratio_printed"] - 0.005))
        high = np.minimum(rows["beta_printed"] + 0.005, np.log(rows["odds_ratio_printed"] + 0.005))
        assert (low < high + 0.005).all()
        outside = np.maximum(low - rows["beta"], rows["beta"] - high).clip(lower=0)
        assert outside.max() <= 0.013
        assert (rows["se"] / rows["se_printed"]).between(0.85, 1.05).all()


def test_the_unlabelled_rows_of_table_3_are_these_contrasts(paper):
    """Grade II and stage III against I: near, where the cohort cannot be exact; others are far."""
    table = paper[3][0].query("analysis == 'univariable'").set_index(["variable", "level"])["beta"]
    assert table[("grade", "II")] == pytest.approx(0.648, abs=0.013)
    assert table[("stage", "III")] == pytest.approx(0.750, abs=0.013)
    for other in (("grade", "III"), ("stage", "II"), ("stage", "IV")):
        assert abs(table[other] - (0.648 if other[0] == "grade" else 0.750)) > 0.2


def test_what_table_2_does_not_print(paper):
    """HER2-positive against zero; the printed 1.79 is low against zero."""
    table = paper[2][0]
    row = table.query("variable == 'her2' and level == 'positive'").iloc[0]
    found = row[["odds_ratio", "odds_ratio_lower", "odds_ratio_upper"]].astype(float).round(2)
    assert found.tolist() == [2.82, 1.99, 4.00]


def test_polr():
    """UCLA's example of ordinal regression, as R's MASS::polr prints it."""
    published = pytest.importorskip("statsmodels.miscmodels.tests.results.results_ordinal_model")
    exog = published.data_store.df[["pared", "public", "gpa"]].to_numpy(dtype=float)
    codes = published.data_store.df["apply"].cat.codes.to_numpy(dtype=np.int64)
    terms = tuple(Term(name, "yes", "no") for name in ("pared", "public", "gpa"))
    found = fit(Design(terms, exog, {}), codes)
    expected = published.res_ord_logit
    assert found.beta == pytest.approx(expected.coefficients_val, abs=3e-4)
    assert found.se == pytest.approx(expected.coefficients_stdE, abs=1e-4)
    assert found.beta / found.se == pytest.approx(expected.coefficients_tval, abs=1e-3)
    assert found.p == pytest.approx(expected.coefficients_pval, rel=2e-3)


def test_statsmodels_on_the_columns_as_they_are():
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    exog = np.column_stack([rng.normal(5000, 300, 200), rng.random(200) < 0.3]).astype(float)
    codes = (rng.random(200) < 1 / (1 + np.exp(-(exog[:, 0] - 5000) / 300 + exog[:, 1]))).astype(
        int
    )
    terms = (Term("a", "per 1", ""), Term("b", "yes", "no"))
    found = fit(Design(terms, exog, {}), codes)
    oracle = sm.GLM(codes, sm.add_constant(exog), family=sm.families.Binomial()).fit(tol=1e-12)
    assert found.beta == pytest.approx(oracle.params[1:], rel=1e-6)
    assert np.column_stack([found.lower, found.upper]) == pytest.approx(
        oracle.conf_int()[1:], rel=1e-5
    )
    assert found.p == pytest.approx(oracle.pvalues[1:], rel=1e-4)
    wald = oracle.wald_test(np.eye(3)[1:2], use_f=False, scalar=True)
    assert found.p_variables["a"] == pytest.approx(float(wald.pvalue), rel=1e-4)


def test_what_is_circular_or_known_too_late(patients):
    config = ClinicalConfig()
    task = config.resolved_tasks()[0]
    table = regression_table(fit_models(patients, task, config), config)
    stage = table[table["variable"] == "stage"]
    assert stage["analysis"].tolist() == ["univariable"] * 3 + ["multivariable"]
    assert stage["note"].str.contains("circular: stage is partly made of sln").all()
    assert stage["beta"].iloc[-1] != stage["beta"].iloc[-1]
    before = set(table.query("analysis == 'multivariable_preoperative'")["variable"])
    assert before == {name for name, variable in PRESET_VARIABLES.items() if variable.preoperative}
    assert not before & {"sln", "her2", "grade", "stage", "nerve_invasion", "er_percent"}
    age = table.query("variable == 'age' and analysis == 'univariable'").iloc[0]
    assert (age["level"], age["reference"]) == ("per 10", "")


def small(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "patient_id": [f"P{k:03d}" for k in range(n)],
            "sln": rng.permutation(np.repeat(["negative", "positive"], n // 2)),
            "age": rng.normal(55, 10, n).round(),
            "menopause": rng.choice(["no", "yes"], n),
            "grade": rng.choice(["II", "III"], n),
        }
    )


def rows_of(patients: pd.DataFrame, config: ClinicalConfig) -> pd.DataFrame:
    task = config.resolved_tasks()[0]
    return regression_table(fit_models(patients, task, config), config)


def test_complete_cases_of_each_model_and_levels_that_are_there():
    cells = small()
    cells.loc[:19, "age"] = np.nan
    cells.loc[10:29, "menopause"] = None
    cells.loc[195:, "sln"] = None
    table = rows_of(cells, ClinicalConfig(tasks=("sln",)))
    counts = table.set_index(["analysis", "variable"])[["n", "n_missing"]]
    assert counts.loc[("univariable", "age")].tolist() == [175, 20]
    assert counts.loc[("univariable", "menopause")].tolist() == [175, 20]
    assert counts.loc[("multivariable", "grade")].tolist() == [165, 30]
    # Nobody has grade I, the usual reference.
    grade = table.query("variable == 'grade' and analysis == 'univariable'").iloc[0]
    assert (grade["level"], grade["reference"]) == ("III", "II")
    assert grade["n_level"] == (cells["grade"].head(195) == "III").sum()


def test_separation_is_flagged_and_the_half_patient_answer():
    cells = small()
    cells.loc[cells["sln"] == "negative", "grade"] = "II"
    table = rows_of(cells, ClinicalConfig(tasks=("sln",)))
    counts = pd.crosstab(cells["grade"], cells["sln"]) + 0.5
    odds = counts["positive"] / counts["negative"]
    grade = table.query("variable == 'grade' and analysis == 'univariable'").iloc[0]
    assert grade["method"] == PENALISED
    assert grade["odds_ratio"] == pytest.approx(odds["III"] / odds["II"], rel=1e-6)
    assert grade["p"] < 0.001
    assert table.query("analysis == 'multivariable'")["method"].unique().tolist() == [PENALISED]
    assert "penalised likelihood" not in table.query("variable == 'age'")["method"].head(1).tolist()


@pytest.mark.parametrize("asked_for", [False, True])
def test_what_tells_the_label_is_circular(asked_for):
    cells = small()
    cells["grade"] = cells["sln"].map({"negative": "II", "positive": "III"})
    table = rows_of(cells, ClinicalConfig(tasks=("sln",), circular=asked_for))
    notes = table.query("variable == 'grade'").set_index("analysis")["note"]
    assert notes["univariable"] == "circular: grade tells sln in every patient"
    left = "" if asked_for else "left out: "
    assert notes["multivariable"] == f"{left}circular: grade tells sln in every patient"
    assert table.query("variable != 'grade'")["note"].eq("").all()


def test_what_cannot_be_estimated_says_why():
    cells = small()
    cells["again"] = cells["menopause"].map({"no": "a", "yes": "b"})
    cells["lone"] = "x"
    variables = (
        *("age", "menopause"),
        ClinicalVariable("again", "choice", "patient"),
        ClinicalVariable("lone", "choice", "patient"),
    )
    table = rows_of(cells, ClinicalConfig(variables=variables, tasks=("sln",)))
    notes = table.query("analysis == 'multivariable'").set_index("variable")["note"]
    assert notes["again"] == "left out: follows from the other variables of the model"
    assert notes["lone"] == "left out: the same value in all patients of the model"
    few = rows_of(small(20), ClinicalConfig(tasks=("sln",)))
    few = few.query("analysis == 'multivariable'")
    assert few["note"].unique().tolist() == ["left out: too few patients for a model of 3 terms"]
    assert few["events_per_parameter"].unique() == pytest.approx([10 / 3])


def test_two_classes_have_no_proportionality_to_test():
    config = ClinicalConfig(tasks=("sln",))
    models = fit_models(small(), config.resolved_tasks()[0], config)
    table = proportionality_table(models)
    assert table["p"].isna().all()
    assert table["note"].unique().tolist() == ["not tested: two classes only"]


@pytest.mark.parametrize(
    ("change", "config", "message"),
    [
        ({"sln": "positive"}, {}, "holds positive and no other class"),
        ({"grade": "4"}, {}, "column 'grade' hold another value than I, II, III"),
        ({"age": "old"}, {}, "no number"),
        ({}, {"variables": ("agee",)}, "did you mean 'age'"),
        ({}, {"variables": ("calcification",)}, "nothing in a column 'calcification'"),
        ({}, {"tasks": (Task("a", "benign", ("no", "yes")),)}, "no column 'benign'"),
        ({}, {"entry": "forward"}, "entry is 'forward'"),
        ({}, {"variables": ("age", "age")}, "named twice"),
    ],
)
def test_errors_say_what_and_what_to_do(change, config, message):
    cells = small()
    for column, value in change.items():
        cells[column] = value
    with pytest.raises(MammoroiError, match=message) as raised:
        rows_of(cells, ClinicalConfig(**({"tasks": ("sln",)} | config)))
    assert raised.value.action
