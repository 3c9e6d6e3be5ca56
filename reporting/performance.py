"""How well the classifiers of one task do: at their threshold, and as risks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wording
from .results import METRIC_SETS, RoiResult, Target
from .style import NAME
from .tables import Table, blank_repeats
from .tables_paired import ALL_SETS

if TYPE_CHECKING:
    import pandas as pd

CALLS = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
}
RISKS = {
    "observed_expected": "O:E",
    "calibration_intercept": "Intercept",
    "calibration_slope": "Slope",
    "ici": "ICI",
    "brier": "Brier score",
    "scaled_brier": "Scaled Brier",
}
DIGITS = {"ici": 3, "brier": 3}


def measured(result: RoiResult) -> dict[str, dict[str, Any]]:
    """The metrics of each set of patients that was predicted, by ``train, test, all``."""
    return {part: result.metrics[key] for part, key in METRIC_SETS.items() if key in result.metrics}


def performance(targets: list[Target]) -> Table:
    """AUC, and what comes of calling patients positive at the threshold of the training set."""
    cuts = "; ".join(
        f"{target.name}, {NAME[roi]} {wording.number(result.metrics['threshold'], 3)}"
        for target in targets
        for roi, result in target.results.items()
    )
    return _table(
        "performance",
        targets,
        CALLS,
        "Performance",
        "Estimate (95% confidence interval: AUC DeLong on the logit scale, F1 bootstrap, the "
        "others Wilson). “Out of fold”: every patient is predicted by models that were fitted "
        "without them; “all” are the training and the test patients together, predicted so. PPV "
        "and NPV, the share of patients called positive or negative who are, hold for the share "
        "of positives in this cohort. All but the AUC are at a threshold: of the test patients at "
        "that of the final "
        f"model, fixed on the training patients ({cuts}), out of fold at the mean of those that "
        f"were fixed without the patient.{_single_repeats(targets)}",
    )


def _single_repeats(targets: list[Target]) -> str:
    """What a single repeat's AUC is where risks are means over several; empty where not."""
    parts = [
        f"{target.name}, {NAME[roi]} "
        + wording.interval(sum(aucs) / len(aucs), min(aucs), max(aucs))
        for target in targets
        for roi, result in target.results.items()
        if len(aucs := result.metrics["train_out_of_fold"].get("auc_of_repeats", [])) > 1
    ]
    if not parts:
        return ""
    return (
        " Risks out of fold are means over repeats with new folds, as by several models together, "
        "and can rank better than the one final model. AUC of the training patients by a single "
        f"repeat, mean (lowest to highest): {'; '.join(parts)}."
    )


def calibration(targets: list[Target]) -> Table:
    """Whether the risks are right: calibration and Brier score."""
    return _table(
        "performance_risks",
        targets,
        RISKS,
        "Calibration and error of the risks",
        "Estimate (95% confidence interval). O:E, patients who are positive divided by the number "
        "expected from the risks: 1 is right. Intercept: 0 is right, below it the risks are too "
        "high. Slope: 1 is right, below it they are too extreme. ICI, the mean distance of the "
        "risks from the observed share, and the Brier score: 0 is right, smaller is better. The "
        "ICI is never negative, and in resampled patients scatter adds to it: its interval leaves "
        "0 out even where risks are right, and can lie above the estimate; compare it between "
        "models, not with 0. Scaled Brier score: 0 is no better than giving everybody the share of "
        "positives, 1 is perfect. Slope or intercept "
        f"“{wording.NOT_ESTIMATED}”: {wording.WHY_NOT_ESTIMATED}.",
    )


def _table(name: str, targets: list[Target], shown: dict[str, str], title: str, note: str) -> Table:
    frame = _frame(targets, shown)
    cells = [
        [
            str(row["target"]),
            ALL_SETS[row["set"]],
            str(row["roi"]),
            f"{row['n']:.0f} ({row['n_positive']:.0f})",
            *(_cell(row, name) for name in shown),
        ]
        for _, row in frame.iterrows()
    ]
    blank_repeats(cells, 2)
    return Table(
        f"{name}_{targets[0].task}",
        f"{title}, {targets[0].title}",
        note,
        frame,
        ["Target", "Patients", "Masks", "n (positive)", *shown.values()],
        cells,
    )


def _cell(row: pd.Series, name: str) -> str:
    ends = (row[name], row[f"{name}_lower"], row[f"{name}_upper"])
    if name.startswith("calibration_"):
        return wording.estimated(*ends)
    return wording.interval(*ends, DIGITS.get(name, 2))


def _frame(targets: list[Target], names: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"target": target.name, "set": part, "roi": roi}
        | {"n": values.get("n"), "n_positive": values.get("n_positive")}
        | {name + end: values.get(name + end) for name in names for end in ("", "_lower", "_upper")}
        | {"threshold": result.metrics["threshold"]}
        for target in targets
        for part in METRIC_SETS
        for roi, result in target.results.items()
        for values in [measured(result).get(part)]
        if values is not None
    ]
    frame = pd.DataFrame(rows)
    numbers = frame.columns.difference(["target", "set", "roi"])
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    return frame
