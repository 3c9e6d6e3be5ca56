"""What the files say about clinical variables as predictors, alone and beside radiomics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wording
from .record import Fact, ModelFiles, Record, known, listed, span

if TYPE_CHECKING:
    import pandas as pd

AGAINST = {
    "radiomics+preoperative": "preoperative clinical variables",
    "radiomics+clinical": "all clinical variables",
}
"""The sets of predictors with radiomics in them, and what they are compared with."""


def about_predictors(record: Record) -> list[tuple[ModelFiles, dict[str, Any]]]:
    """The radiomic models beside which clinical variables were tried, with ``predictors.json``."""
    found = []
    for model in record.models():
        about = record.json(model.file("predictors.json"))
        if about and about.get("variables"):
            found.append((model, about))
    return found


def _files(record: Record, name: str) -> tuple[str, ...]:
    return tuple(model.file(name) for model, _ in about_predictors(record))


def _variables(record: Record) -> list[dict[str, Any]]:
    """Each clinical predictor of any target once, in order."""
    once: dict[str, dict[str, Any]] = {}
    for _, about in about_predictors(record):
        for one in about["variables"]:
            counted = {"n": about["n_train"] + about["n_test"]}
            once.setdefault(one["name"], one | counted)
    return list(once.values())


def clinical_models(record: Record) -> Fact | None:
    """Which models with clinical variables stand beside the radiomic ones."""
    variables = _variables(record)
    if not variables:
        return None
    before, after = (
        [readable(one["name"]) for one in variables if one["preoperative"] is when]
        for when in (True, False)
    )
    kinds = []
    if before:
        kinds.append(f"variables known before surgery ({listed(before)})")
    if after:
        kinds.append(f"{'these and ' if before else ''}variables of the specimen ({listed(after)})")
    text = (
        "Logistic regressions with a ridge penalty went through the same folds, on "
        f"{' or on '.join(kinds)}, each without and with the out-of-fold radiomics score. The "
        "outcome, and variables that tell it in every training patient, are no predictors."
    )
    left = dict.fromkeys(
        f"{readable(name)} for {model.target} ({why})"
        for model, about in about_predictors(record)
        for name, why in about["left_out"].items()
    )
    if left:
        text += f" Left out were {listed(list(left))}."
    return Fact(text, _files(record, "predictors.json"))


def clinical_method(record: Record) -> Fact | None:
    """The same in short; models differ in their variables, since none foretells itself."""
    found = [about["variables"] for _, about in about_predictors(record)]
    before = [sum(one["preoperative"] for one in variables) for variables in found]
    kinds = []
    if any(before):
        kinds.append(f"{span(before)} clinical variables known before surgery")
    if any(n < len(variables) for n, variables in zip(before, found, strict=True)):
        whole = span([len(variables) for variables in found])
        kinds.append(f"all {whole}" if kinds else f"{whole} clinical variables")
    if not kinds:
        return None
    return Fact(
        "Logistic regressions with a ridge penalty went through the same folds, on "
        f"{' or '.join(kinds)}, each without and with the out-of-fold radiomics score.",
        _files(record, "predictors.json"),
    )


def imputation(record: Record) -> Fact | None:
    """What became of missing values of clinical predictors; None where there were none."""
    variables = _variables(record)
    gaps = [
        f"{readable(one['name'])} in {n} of {one['n']}"
        for one in variables
        if (n := one["missing_train"] + one["missing_test"])
    ]
    if not gaps:
        return None
    return Fact(
        "Missing clinical values were imputed inside the folds, by the median or the most frequent "
        f"level of the patients being fitted, beside an indicator ({listed(gaps)} patients).",
        _files(record, "predictors.json"),
    )


def clinical_comparison(record: Record) -> Fact | None:
    """What clinical variables achieve, and what radiomics adds to them."""
    parts = [
        f"{model.name}, {text}"
        for model, _ in about_predictors(record)
        if (text := increment_of(record, model))
    ]
    if not parts:
        return None
    return Fact(
        "Clinical variables without and with radiomics, AUC in the test set (95% interval): "
        f"{'; '.join(parts)}.",
        _files(record, "predictors.csv"),
    )


def increment_of(record: Record, model: ModelFiles) -> str:
    """Clinical AUC, that with radiomics, and the difference; empty where there is none."""
    shown = [
        f"{against} {_interval(alone, 'auc')}, with radiomics {_interval(both, 'auc')} "
        f"(difference {_interval(both, 'over_clinical', 3)}, "
        f"{wording.p_value(both['over_clinical_p'])})"
        for against, alone, both in compared(record, model)
    ]
    return " and ".join(shown)


def compared(
    record: Record, model: ModelFiles, part: str = "test"
) -> list[tuple[str, pd.Series, pd.Series]]:
    """Clinical set in words, its row of ``predictors.csv`` and that with radiomics."""
    table = record.table(model.file("predictors.csv"))
    if table is None:
        return []
    rows = {row["predictor"]: row for _, row in table[table["set"] == part].iterrows()}
    return [
        (against, rows[together.split("+", 1)[1]], rows[together])
        for together, against in AGAINST.items()
        if together in rows and known(rows[together]["auc"])
    ]


def _interval(row: pd.Series, name: str, digits: int = 2) -> str:
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"], digits)


def no_clinical_comparison(record: Record) -> Fact | None:
    """Why there is no comparison with clinical variables, where the run says so."""
    reasons = {
        str(about["skipped"]): model.file("predictors.json")
        for model in record.models()
        if (about := record.json(model.file("predictors.json"))) and about.get("skipped")
    }
    if not reasons:
        return None
    return Fact(
        f"Radiomics was not compared with clinical variables: {listed(sorted(reasons))}.",
        tuple(reasons.values()),
        shown=False,
    )


def readable(name: str) -> str:
    """A column's name in words: ``ck5_6`` is ``CK5/6``."""
    special = {
        "size_cm": "lesion size", "er_percent": "oestrogen receptor",
        "pr_percent": "progesterone receptor", "ki67_percent": "Ki-67", "ck5_6": "CK5/6",
        "sln": "sentinel node status", "her2": "HER2 status", "stage": "TNM stage",
    }  # fmt: skip
    return special.get(name, name.replace("_", " "))


FACTS = (clinical_models, clinical_method, imputation, clinical_comparison, no_clinical_comparison)
