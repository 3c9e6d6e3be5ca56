"""What the files say about performance and its uncertainty."""

from __future__ import annotations

from ..modeling.risk_errors import CURVE_SAMPLES
from . import wording
from .record import Fact, ModelFiles, Record, known, listed

_MEASURES = {
    "auc": "AUC", "sensitivity": "sensitivity",
    "specificity": "specificity", "accuracy": "accuracy", "ppv": "positive predictive value",
    "npv": "negative predictive value", "f1": "F1 score", "brier": "Brier score",
    "calibration_intercept": "calibration intercept", "calibration_slope": "calibration slope",
    "observed_expected": "ratio of observed to expected events",
    "ici": "integrated calibration index",
}  # fmt: skip
_TOGETHER = {
    "positive predictive value, negative predictive value": "predictive values",
    "calibration intercept, calibration slope": "calibration intercept and slope",
    "calibration intercept and calibration slope": "calibration intercept and slope",
}
_WILSON = ("sensitivity", "specificity", "accuracy", "ppv", "npv")
_BOOTSTRAP = ("brier", "f1")
SETS = {
    "test": "in the test set",
    "train_out_of_fold": "out of fold in the training patients",
    "all_out_of_fold": "out of fold in all patients",
}


def _measured(record: Record, measure: str) -> list[ModelFiles]:
    return [
        model
        for model in record.models()
        if any(known(model.metrics.get(key, {}).get(measure)) for key in SETS)
    ]


def _with_interval(record: Record, measure: str) -> bool:
    return any(
        known(model.metrics.get(key, {}).get(f"{measure}_lower"))
        for model in record.models()
        for key in SETS
    )


def measures(record: Record) -> Fact | None:
    """Which measures of performance were computed, and which curves drawn."""
    found = [words for name, words in _MEASURES.items() if _measured(record, name)]
    if not found:
        return None
    text = f"Measures of performance are {listed(found)}"
    for many, short in _TOGETHER.items():
        text = text.replace(many, short)
    curves = {"roc": "ROC", "calibration": "calibration", "decision": "decision"}
    there = [
        words for name, words in curves.items() if record.names(f"models/*/*/curves/{name}.csv")
    ]
    if there:
        text += f", with {listed(there)} curves"
    return Fact(f"{text}.", _files(record, "metrics.json"))


def _files(record: Record, name: str) -> tuple[str, ...]:
    return tuple(model.file(name) for model in record.models() if record.has(model.file(name)))


def uncertainty(record: Record) -> Fact | None:
    """How intervals were computed; None where there are none."""
    if not _with_interval(record, "auc"):
        return None
    aucs = {model.metrics.get(key, {}).get("auc") for model in record.models() for key in SETS}
    separated = " (Clopper and Pearson's where it is 1 or 0)" if aucs & {0, 1} else ""
    parts = [f"DeLong's on the logit scale for the AUC{separated}"]
    shares = [_MEASURES[name] for name in _WILSON if _with_interval(record, name)]
    if shares:
        parts.append(f"Wilson's for {_shares(shares)}")
    n, file = record.setting("modeling.n_bootstrap")
    drawn = [_MEASURES[name] for name in _BOOTSTRAP if _with_interval(record, name)]
    if drawn and n:
        parts.append(f"from {n} bootstrap samples of patients for {listed(drawn)}")
    if _with_interval(record, "ici"):
        parts.append(f"from {CURVE_SAMPLES} bootstrap samples for the {_MEASURES['ici']}")
    files = _files(record, "metrics.json")
    return Fact(
        f"95% confidence intervals are {listed(parts)}.",
        (*files, file) if drawn and file else files,
    )


def _shares(names: list[str]) -> str:
    """Few of them by name, many as what they are."""
    return listed(names) if len(names) < 4 else "sensitivity and other proportions"


def calibration_measures(record: Record) -> Fact | None:
    """What calibration came to."""
    parts = []
    for model in _measured(record, "calibration_slope"):
        shown = []
        for key, where in SETS.items():
            one = model.metrics.get(key, {})
            if known(one.get("calibration_slope")) and known(one.get("calibration_intercept")):
                slope, intercept = (
                    wording.interval(
                        one[f"calibration_{name}"],
                        one.get(f"calibration_{name}_lower"),
                        one.get(f"calibration_{name}_upper"),
                    )
                    for name in ("slope", "intercept")
                )
                shown.append(f"slope {slope}, intercept {intercept} {where}")
        if shown:
            parts.append(f"{model.name} {listed(shown)}")
    if not parts:
        return None
    return Fact(f"Calibration: {'; '.join(parts)}.", _files(record, "metrics.json"))


def decision_curves(record: Record) -> Fact | None:
    """Whether net benefit was compared with the two simple rules."""
    files = [
        name
        for name in record.names("models/*/*/curves/decision.csv")
        if (table := record.table(name)) is not None and {"net_benefit", "treat_all"} <= set(table)
    ]
    if not files:
        return None
    table = record.table(files[0])
    given = table is not None and "net_benefit_lower" in table
    return Fact(
        f"Decision curves compare the net benefit{' (95% score intervals)' if given else ''} with "
        "that of treating everybody and nobody.",
        tuple(files),
    )


def performance(record: Record) -> Fact | None:
    """AUC of every model by set."""
    parts = []
    for model in _measured(record, "auc"):
        shown = []
        for key, where in SETS.items():
            one = model.metrics.get(key, {})
            if known(one.get("auc")):
                auc = wording.interval(one["auc"], one.get("auc_lower"), one.get("auc_upper"))
                shown.append(f"{auc} {where} (n = {one['n']})")
        parts.append(f"{model.name} {listed(shown)}")
    if not parts:
        return None
    return Fact(f"AUC (95% interval): {'; '.join(parts)}.", _files(record, "metrics.json"))


def internal_test(record: Record) -> Fact | None:
    """On how many patients of the same source the final models were tested."""
    splits = record.json("splits.json")
    models = [one for one in record.models() if (one.metrics.get("test") or {}).get("n")]
    if not splits or not models:
        return None
    if set(splits["train"]) & set(splits["test"]):
        return Fact("Test patients were also training patients.", ("splits.json",), shown=False)
    counts = sorted({model.metrics["test"]["n"] for model in models})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return Fact(
        f"The final models were tested internally, on {n} patients of the same cohort who had no "
        "part in training.",
        ("splits.json", *_files(record, "metrics.json")),
    )


FACTS = (
    measures, uncertainty, calibration_measures, decision_curves, performance, internal_test,
)  # fmt: skip
