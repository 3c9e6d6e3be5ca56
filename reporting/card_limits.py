"""The limits that a model card states: by rules, from the numbers."""

from __future__ import annotations

from . import wording
from .facts_data import boxed
from .facts_predictors import compared
from .facts_size import CRITERIA, sizes
from .record import ModelFiles, Record, known

UNSTABLE = 0.4
"""Nogueira's index of a selection below which it is called poor (J Mach Learn Res 2018;18(174))."""
FEW_EVENTS = 10
"""Patients of the smaller class per feature below which overfitting is called likely."""


def classifier_limits(record: Record, model: ModelFiles) -> list[str]:
    """What the figures of a classifier do not carry, one sentence each."""
    found = common_limits(record)
    test, train = (model.metrics.get(key) or {} for key in ("test", "train_out_of_fold"))
    names = model.heading.rsplit(": ", 1)[-1].split(" against ")
    if test.get("n") and len(names) == 2:
        found.append(wording.few(test["n"], test["n_positive"], *names))
    if known(test.get("auc_lower")) and test["auc_lower"] <= 0.5:
        found.append("In the test set it cannot be told from chance.")
    predicted = record.table(model.file("predictions.csv"))
    if predicted is not None and {"set", "risk"} <= set(predicted):
        found.append(wording.flat_risks(predicted.loc[predicted["set"] == "test", "risk"].tolist()))
    kept = model.funnel.get("lasso")
    if kept == 0 or str(model.funnel.get("outcome", "fitted")) != "fitted":
        found.append(f"It has no features: {model.funnel.get('outcome')}.")
    elif kept and "n_positive" in train:
        smaller = min(train["n_positive"], train["n"] - train["n_positive"])
        if smaller < FEW_EVENTS * kept:
            found.append(
                f"{smaller} training patients of the smaller class for "
                f"{wording.plural(kept, 'feature')}: overfitting is likely."
            )
    found += _needs(record, model)
    stability = (model.funnel.get("stability") or {}).get("value")
    if known(stability) and stability < UNSTABLE:
        found.append(
            f"Refits select other features (Nogueira's index {wording.number(stability)}, 1 is "
            "always the same): read nothing into single ones."
        )
    if "icc_source" in model.funnel and model.funnel["icc_source"] is None:
        found.append("No filter for stability: features may depend on how the lesion is outlined.")
    for part in (test, train):
        slope, low, high = (part.get(f"calibration_slope{end}") for end in ("", "_lower", "_upper"))
        if known(slope) and known(low) and known(high):
            if not low <= 1 <= high:
                shown = wording.interval(slope, low, high)
                found.append(f"Risks are off scale (calibration slope {shown}).")
            break
    if test.get("n_missed") or train.get("n_missed"):
        n = (test.get("n_missed") or 0) + (train.get("n_missed") or 0)
        found.append(f"{wording.plural(n, 'patient')} without features got the prevalence as risk.")
    for against, _, both in compared(record, model):
        if known(both["over_clinical_lower"]) and both["over_clinical_lower"] <= 0:
            delta, low, high = (both[f"over_clinical{end}"] for end in ("", "_lower", "_upper"))
            found.append(
                f"It is not shown to add anything to {against}: the AUC changes by "
                f"{wording.interval(delta, low, high, 3)} in the test set."
            )
    return [sentence for sentence in found if sentence]


def _needs(record: Record, model: ModelFiles) -> list[str]:
    """That more patients would have been needed."""
    return [
        f"{CRITERIA[0].upper()}{CRITERIA[1:]} ask for {size.needed:,} patients for "
        f"{size.candidates:,} candidate features; it had {size.n}."
        for size in sizes(record)
        if size.model == model and size.needed is not None and size.needed > size.n
    ]


def common_limits(record: Record) -> list[str]:
    """What limits every model of a study."""
    found = []
    if (record.json("cohort.json") or {}).get("synthetic"):
        found.append("It was made from computed phantoms and knows nothing of patients.")
    if record.json("splits.json"):
        found.append("Tested on patients of the same cohort only, not on those of another place.")
    images = record.table("cohort.csv")
    if images is not None and "spacing_source" in images:
        n = int((images["spacing_source"] == "estimated").sum())
        if n:
            found.append(f"The pixel spacing of {wording.plural(n, 'mammogram')} is an estimate.")
    if images is not None and (n := boxed(images)):
        found.append(
            f"The manual masks of {wording.plural(n, 'mammogram')} are boxes around the lesion: "
            "they trained the networks to draw boxes, and only show whether lesions are found."
        )
    return found
