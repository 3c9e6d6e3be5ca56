"""Printed results: what is known of the published tables, sound tables, and planted errors."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, norm

from mammoroi.cli import main
from mammoroi.errors import MammoroiError
from mammoroi.modeling.consistency import PAPER, check_tables, read_tables
from mammoroi.modeling.consistency_counts import check as check_counts
from mammoroi.modeling.consistency_performance import check as check_performance
from mammoroi.modeling.consistency_regression import check as check_regression
from mammoroi.modeling.consistency_selection import check as check_selection
from mammoroi.modeling.consistency_selection import statements
from mammoroi.modeling.contingency import log_odds_ratio, tables_that_fit
from mammoroi.modeling.discrimination import auc_interval
from mammoroi.modeling.printed import printed, whole

CONTRADICTED = {"impossible", "inconsistent"}


def contradictions(findings):
    return [f for f in findings if f.severity in CONTRADICTED]


@pytest.fixture(scope="module")
def paper():
    """Findings on the published tables, by table and check."""
    found = {}
    for finding in check_tables(read_tables([PAPER])):
        found.setdefault((finding.table, finding.check), []).append(finding)
    return found


def severities(paper, check, *tables):
    return {f.row: f.severity for table in tables for f in paper[table, check]}


# --- the published tables -------------------------------------------------------------------


def test_three_accuracies_are_impossible_and_three_do_not_follow(paper):
    assert severities(paper, "accuracy", "table5", "table7") == {
        "SLN metastasis, train": "ok",
        "SLN metastasis, test": "impossible",
        "HER2 zero, train": "inconsistent",
        "HER2 zero, test": "impossible",
        "HER2 low, train": "inconsistent",
        "HER2 low, test": "inconsistent",
        "HER2 positive, train": "impossible",
        "HER2 positive, test": "ok",
    }


def test_needed_prevalence_is_said(paper):
    sentences = {f.row: f.explanation for f in paper["table7", "accuracy"]}
    assert "needs a prevalence of 0.73 to 0.91" in sentences["HER2 zero, train"]  # 0.82 between
    assert "needs a prevalence of 1.00" in sentences["HER2 low, test"]


def test_auc_intervals_against_hanley_and_mcneil(paper):
    found = [*paper["table5", "auc_width"], *paper["table7", "auc_width"]]
    ratios = [float(f.implied.rsplit(" ", 1)[1]) for f in found]
    assert ratios == pytest.approx([1.2, 1.3, 1.7, 1.2, 1.9, 1.9, 3.0, 1.1], abs=0.06)
    wide = {f.row for f in found if f.severity == "unusual"}
    assert wide == {
        "HER2 zero, train",
        "HER2 low, train",
        "HER2 low, test",
        "HER2 positive, train",
    }


def test_same_sensitivity_and_specificity_in_training_and_test(paper):
    same = severities(paper, "same_in_sets", "table5", "table7")
    assert [row for row, severity in same.items() if severity == "unusual"] == [
        "SLN metastasis, train and test"
    ]


@pytest.mark.parametrize("check", ["odds_ratio", "interval", "statistic", "p_value", "row"])
def test_all_61_rows_of_the_regressions_agree_with_themselves(paper, check):
    found = [*paper["table2", check], *paper["table3", check]]
    assert Counter(f.severity for f in found) == {"ok": 61}


@pytest.mark.parametrize(("table", "rows"), [("table2", 16), ("table3", 17)])
def test_regressions_are_of_838_patients_and_not_of_588(paper, table, rows):
    found = paper[table, "contingency_table"]
    counts = [tuple(map(int, re.findall(r"\d+(?=,| tables| of 838)", f.implied))) for f in found]
    assert len(found) == rows
    assert all(f.severity == "inconsistent" for f in found)
    assert all(stated == 0 and everyone >= 1 for stated, everyone in counts)
    if table == "table2":
        assert {everyone for _, everyone in counts} == {1}


def test_table_of_characteristics_is_right(paper):
    for check, n in {
        "sum_of_groups": 47,
        "sum_of_levels": 21,
        "percentages": 47,
        "p_of_counts": 21,
    }.items():
        assert Counter(f.severity for f in paper["table1", check]) == {"ok": n}
    assert all("Pearson" in f.implied for f in paper["table1", "p_of_counts"])
    (balance,) = paper["table1", "balance"]
    assert balance.severity == "unusual"
    assert balance.printed.startswith("mean P 0.68")
    assert balance.implied.endswith("P 0.036")
    assert [(f.printed[:3], f.implied) for f in paper["table1", "patients_stated"]] == [
        ("586", "588"),
        ("252", "250"),
    ]


def test_lists_of_features(paper):
    (same,) = paper["table6", "same_table"]
    assert (same.severity, same.printed) == ("inconsistent", "54 of 54 rows the same")
    (rows,) = paper["table4", "rows_stated"]
    assert (rows.severity, rows.printed[:2], rows.implied) == ("inconsistent", "20", "54")
    assert paper["table4", "families_sum"][0].implied == "28"
    assert paper["table6", "families_sum"][0].implied == "64"
    counted = {f.row.split()[1]: int(f.implied) for f in paper["table6", "families_stated"]}
    assert counted == {
        "firstorder": 10,
        "glcm": 5,
        "glszm": 15,
        "glrlm": 10,
        "gldm": 7,
        "wavelet": 14,
        "log": 12,
        "lbp": 6,
    }
    assert paper["table4", "features_extracted"][0].implied == "15 x 93 + 14, 3D shape"
    assert paper["table4", "features_retained"][0].implied == "14 image types x 93 = 1302"
    assert paper["table4", "names"][0].severity == "ok"


def test_shipped_counts_are_those_of_the_shipped_cohort():
    """The cohort was made from the published margins: two transcriptions, one truth."""
    table = pd.read_csv(PAPER / "table1.csv")
    cohort = pd.read_csv(PAPER.parents[1] / "cohort" / "paper_cohort_838.csv")
    levels = sorted(sorted(levels) for _, levels in table.groupby("variable")["total"])
    assert levels == sorted(sorted(cohort[name].value_counts()) for name in cohort)


# --- sound tables give no alarm, planted errors are found -----------------------------------


def performance_row(rng, digits=2):
    n = int(rng.integers(20, 600))
    n_positive = int(rng.integers(5, n - 5))
    positive = np.arange(n) < n_positive
    scores = rng.normal(size=n) + rng.uniform(0.3, 2.5) * positive
    called = scores > rng.uniform(-0.3, 1.5)
    auc, lower, upper = auc_interval(positive, scores)
    values = {
        "sensitivity": called[positive].mean(),
        "specificity": (~called[~positive]).mean(),
        "accuracy": (called == positive).mean(),
    }
    if auc < 1:
        values |= {"auc": auc, "auc_lower": lower, "auc_upper": upper}
    if called.any() and not called.all():
        values |= {"ppv": positive[called].mean(), "npv": (~positive[~called]).mean()}
    texts = {name: f"{value:.{digits}f}" for name, value in values.items()}
    return {"name": "a", "set": "test", "n": str(n), "n_positive": str(n_positive), **texts}


@pytest.mark.parametrize("digits", [2, 3])
@pytest.mark.parametrize("known", [("n", "n_positive"), ("n",), ()])
def test_500_confusion_matrices_give_no_alarm(digits, known):
    rng = np.random.default_rng(1)
    for _ in range(500 if known == ("n", "n_positive") else 50):
        row = performance_row(rng, digits)
        row = {
            k: v for k, v in row.items() if not k.startswith("n") or k in ("name", "npv", *known)
        }
        assert not contradictions(check_performance("t", [row])), row


def test_sound_intervals_of_the_auc_are_hardly_ever_called_unusual():
    rng = np.random.default_rng(6)
    rows = [performance_row(rng) for _ in range(300)]
    called = [
        finding
        for row in rows
        for finding in check_performance("t", [row])
        if finding.check in ("auc_width", "auc_arms") and finding.severity != "ok"
    ]
    assert len(called) <= 0.02 * len(rows)


def moved(text, by):
    digits = len(text.split(".")[1])
    return f"{float(text) + by:.{digits}f}"


def performance_errors(n=60, digits=3):
    """How often an error in a sound row is found, by the kind of error."""
    rng = np.random.default_rng(2)
    found = Counter()
    for _ in range(n):
        row = performance_row(rng, digits)
        away = 0.03 if float(row["accuracy"]) < 0.9 else -0.03
        planted = {
            "accuracy by 0.03": {"accuracy": moved(row["accuracy"], away)},
            "sensitivity by 0.03": {"sensitivity": moved(row["sensitivity"], -0.03)},
            "10 patients too many": {"n_positive": str(max(1, int(row["n_positive"]) - 10))},
        }
        for name, change in planted.items():
            if min(map(float, change.values())) >= 0:
                findings = check_performance("t", [row | change])
                found[name, bool(contradictions(findings))] += 1
    return rates(found)


def rates(found):
    names = dict.fromkeys(name for name, _ in found)
    return {name: found[name, True] / (found[name, True] + found[name, False]) for name in names}


def test_planted_errors_of_performance_are_found():
    assert min(performance_errors().values()) > 0.9


def regression_row(rng):
    """One row of a logistic regression on a table of two by two, printed with two decimals."""
    n = int(rng.integers(150, 1500))
    exposed = rng.random(n) < rng.uniform(0.15, 0.6)
    outcome = rng.random(n) < 1 / (1 + np.exp(-rng.normal(0, 0.7) - rng.normal(0, 0.8) * exposed))
    cells = np.array([[(exposed == i) & (outcome == j) for j in (0, 1)] for i in (0, 1)])
    (d, c), (b, a) = cells.sum(axis=2).astype(float)
    beta, se = np.log(a * d / b / c), np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    p = 2 * norm.sf(abs(beta / se))
    return {
        "variable": "x",
        "model": "univariable",
        "beta": f"{beta:.2f}",
        "se": f"{se:.2f}",
        "z": f"{beta / se:.2f}",
        "p": f"{p:.3f}" if p >= 0.001 else "<.001",
        "or": f"{np.exp(beta):.2f}",
        "ci_lower": f"{np.exp(beta - 1.96 * se):.2f}",
        "ci_upper": f"{np.exp(beta + 1.96 * se):.2f}",
        "outcome_counts": f"{(~outcome).sum()}/{outcome.sum()}",
        "exposed": str(exposed.sum()),
    }


@pytest.mark.parametrize("columns", [("beta", "se", "z"), ()])
def test_200_regressions_give_no_alarm(columns):
    """With and without the columns that many papers leave out."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        row = regression_row(rng)
        row = {k: v for k, v in row.items() if k not in ("beta", "se", "z") or k in columns}
        assert not contradictions(check_regression("t", [row])), row
        adjusted = check_regression("t", [row | {"model": "multivariable"}])
        assert not contradictions(adjusted), row


def test_a_standard_error_can_be_too_small_for_the_patients():
    row = {"variable": "x", "beta": "0.56", "se": "0.14", "n": "588", "exposed": "225"}
    (finding,) = contradictions(check_regression("t", [row]))
    assert finding.check == "standard_error"
    assert finding.implied == "at least 0.170"  # 2 sqrt(588 / (225 * 363))
    assert not contradictions(check_regression("t", [row | {"n": "838", "exposed": "327"}]))


def regression_errors(n=30):
    rng = np.random.default_rng(4)
    found = Counter()
    for _ in range(n):
        row = regression_row(rng)
        halves = [int(part) // 2 for part in row["outcome_counts"].split("/")]
        half = {"outcome_counts": "/".join(map(str, halves)), "exposed": int(row["exposed"]) // 2}
        planted = {
            "OR by 0.05": {"or": moved(row["or"], 0.05)},
            "SE by 0.02": {"se": moved(row["se"], 0.02)},
            "z by 0.5": {"z": moved(row["z"], 0.5)},
            "upper limit by 0.1": {"ci_upper": moved(row["ci_upper"], 0.1)},
            "half of the patients": {k: str(v) for k, v in half.items()},
        }
        for name, change in planted.items():
            findings = check_regression("t", [row | change])
            found[name, bool(contradictions(findings))] += 1
    return rates(found)


def test_planted_errors_of_regression_are_found():
    assert min(regression_errors().values()) > 0.9


def counts_rows(rng):
    rows = []
    train = np.arange(400) < 280
    for variable in range(10):
        levels = rng.integers(0, int(rng.integers(2, 5)), 400)
        table = np.array([[(levels == k)[train == t].sum() for t in (1, 0)] for k in set(levels)])
        p = chi2_contingency(table, correction=bool(rng.random() < 0.5)).pvalue
        for level, (one, other) in enumerate(table):
            rows.append(
                {
                    "variable": f"v{variable}",
                    "level": str(level),
                    "total": str(one + other),
                    "train": str(one),
                    "test": str(other),
                    "train_percent": f"{100 * one / 280:.1f}",
                    "test_percent": f"{100 * other / 120:.1f}",
                    "p": f"{p:.3f}" if level == 0 else "",
                }
            )
    return rows


def counts_errors(n=3):
    rng = np.random.default_rng(5)
    found = Counter()
    for _ in range(n):
        rows = counts_rows(rng)
        assert not contradictions(check_counts("t", rows))
        for row in rows:
            planted = {
                "count by 1": {"train": str(int(row["train"]) + 1)},
                "percentage by 1": {"test_percent": moved(row["test_percent"], 1)},
            }
            if row["p"]:
                planted["P by 0.05"] = {
                    "p": moved(row["p"], 0.05 if float(row["p"]) < 0.9 else -0.05)
                }
            for name, change in planted.items():
                own = [other for other in rows if other["variable"] == row["variable"]]
                changed = [row | change if other is row else other for other in own]
                findings = check_counts("t", changed)
                found[name, bool(contradictions(findings))] += 1
    return rates(found)


def test_counts_give_no_alarm_and_planted_errors_are_found():
    assert min(counts_errors().values()) > 0.9


def test_three_dimensions_in_two():
    names = ["original_firstorder_Mean", "wavelet-LLH_glcm_Contrast", "original_shape_Sphericity"]
    rows = [{"feature": name, "p": "0.01"} for name in names]
    told = statements([{"table": "t", "quantity": "dimensions", "value": "2"}], "s")["t"]
    bad = contradictions(check_selection("t", rows, told))
    assert {f.row for f in bad} == set(names[1:])
    assert not contradictions(check_selection("t", rows, {}))  # three dimensions may be meant
    mixed = [*rows, {"feature": "wavelet-LH_glcm_Contrast", "p": "0.01"}]
    assert contradictions(check_selection("t", mixed, {}))


# --- the parts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lower", "upper"),
    [
        ("0.84", 0.835, 0.845),
        ("−1.05", -1.055, -1.045),
        ("84%", 0.835, 0.845),
        ("1,302", 1301.5, 1302.5),
        ("<.001", 0, 0.001),
        (">0.99", 0.99, 1),
        ("0·50", 0.495, 0.505),
    ],
)
def test_a_printed_number_is_an_interval(text, lower, upper):
    assert printed(text, "here").bounds == pytest.approx((lower, upper), abs=1e-12)


@pytest.mark.parametrize("text", ["0,036", "0,840", "0,84", "-0,125"])
def test_a_decimal_comma_is_not_taken_for_thousands(text):
    with pytest.raises(MammoroiError, match="decimal point"):
        printed(text, "here")
    with pytest.raises(MammoroiError, match="no count"):
        whole(text, "here")
    assert whole("1,302", "here") == 1302


def test_tables_are_read_as_spreadsheet_programs_save_them(tmp_path):
    """Semicolons with decimal commas, and a level called None."""
    path = tmp_path / "table.csv"
    path.write_text(
        "variable;level;total;train;test;p\ncalcification;None;100;70;30;0,5\n"
        "calcification;yes;100;70;30;\n",
        "utf-8",
    )
    (table,) = read_tables([path])
    assert [row["level"] for row in table.rows] == ["None", "yes"]
    assert [row["p"] for row in table.rows] == ["0.5", ""]


def test_proportional_odds_of_a_table_is_that_of_statsmodels():
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    margins, exposed = np.array([246, 297, 295]), np.array([87, 147, 179])
    y = np.repeat([0, 1, 2, 0, 1, 2], [*exposed, *(margins - exposed)])
    x = np.repeat([1.0, 0.0], [exposed.sum(), (margins - exposed).sum()])
    fit = OrderedModel(y, x[:, None], distr="logit").fit(method="bfgs", disp=False, gtol=1e-8)
    beta, se = log_odds_ratio(exposed[None], margins)
    assert beta[0] == pytest.approx(fit.params[0], abs=1e-5)
    assert se[0] == pytest.approx(fit.bse[0], abs=1e-5)


def test_tables_are_found_by_bisection_as_by_trying_all():
    margins, exposed = np.array([20, 25, 15]), 22
    every = np.array(
        [
            (a, b, exposed - a - b)
            for a in range(21)
            for b in range(26)
            if 0 <= exposed - a - b <= 15
        ]
    )
    beta = log_odds_ratio(every, margins)[0]
    expected = every[(beta >= 0.3) & (beta < 0.8)]
    assert (tables_that_fit(list(margins), exposed, (0.3, 0.8), []) == expected).all()


# --- the command ----------------------------------------------------------------------------


def test_command_says_what_it_found(tmp_path, capsys):
    good = tmp_path / "good.csv"
    good.write_text("name,set,sensitivity,specificity,accuracy\na,test,0.80,0.70,0.75\n")
    assert main(["consistency", str(good), "-o", str(tmp_path / "out" / "found.csv")]) == 0
    assert set(pd.read_csv(tmp_path / "out" / "found.csv")["severity"]) == {"ok"}
    good.write_text("name,set,sensitivity,specificity,accuracy\na,test,80%,70%,85%\n")
    assert main(["consistency", str(tmp_path)]) == 3
    assert "impossible, accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,sensitvity\na,0.8\n", "did you mean 'sensitivity'?"),
        ("name,sensitivity\na,high\n", "'high' is no number"),
        ("name,sensitivity\na,80\n", "write 80% for a percentage"),
        ("name,n,n_positive\na,10,11\n", "11 of 10 are positive"),
        ("table,quantity,value\nt,rows,20\n", "statements about 't'"),
        ("color,shape\nred,round\n", "needs those of a kind"),
        ("variable,or,p\nx,-1,0.1\n", "it is above 0"),
        ("variable,level,total,train_percent\nx,y,1,2\n", "train_percent has no column"),
    ],
)
def test_bad_tables_are_one_line(text, message, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(text)
    assert main(["consistency", str(tmp_path / "t.csv")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
