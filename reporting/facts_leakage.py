"""What the files say about leakage: what steps out of place would have bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..files import INPUTS
from .record import Fact, ModelFiles, Record, known, span

if TYPE_CHECKING:
    import pandas as pd

AUDIT, MADE_OF = "leakage/leakage.csv", f"leakage/{INPUTS}"


def audited(record: Record) -> pd.DataFrame | None:
    """The audit's rows of targets that the study still has.

    None where there are none, or where it was made of other features, patients or divisions: no
    stage makes it anew.
    """
    table, made_of = record.table(AUDIT), record.json(MADE_OF)
    if not record.classifiers or table is None or made_of is None:
        return None
    views = record.setting("modeling.views")[0]
    other = any(record.digest(name) != was for name, was in made_of["files"].items())
    if other or views not in (None, made_of["views"]):
        return None
    entries = {entry["target"]: entry for entry in record.json("models/targets.json") or []}
    same = [
        one["target"]
        for one in made_of["targets"]
        if one.items() <= entries.get(one["target"], {}).items()
    ]
    table = table[table["target"].isin(same)]
    return None if table.empty else table


def leakage_audit(record: Record) -> Fact | None:
    """What each order of steps bought on shuffled labels, over the targets."""
    table = audited(record)
    if table is None:
        return None
    honest = table[table["recipe"] == "A"]
    parts = [
        f"{rows['description'].iloc[0]}: {_signed(rows['optimism'].tolist())}"
        for recipe, rows in table[table["recipe"] != "A"].groupby("recipe", sort=False)
        if recipe != "by patient"
    ]
    n = span(table["replicates"].tolist())
    return Fact(
        f"Leakage was audited on this study's own features with labels shuffled {n} times, so that "
        f"an honest test AUC is 0.5: with every step on the training patients alone its mean was "
        f"{span(honest['test_auc'].tolist(), 2)}. Steps out of place would have added to it: "
        f"{'; '.join(parts)}.",
        (AUDIT, MADE_OF),
    )


def leakage_method(record: Record) -> Fact | None:
    """That leakage was audited, without the figures."""
    found = leakage_audit(record)
    if found is None:
        return None
    return Fact(
        "Leakage by steps out of place was audited with shuffled labels.",
        found.files,
    )


def _signed(values: list[float]) -> str:
    low, high = (f"{value:+.2f}".replace("-", "−") for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def claims(record: Record) -> list[tuple[ModelFiles, float, float, float | None]]:
    """Claims of the published order: model, test AUC, after the refit, and the honest test AUC."""
    found = []
    for model in record.models():
        claim = record.json(model.file("literal.json"))
        if not claim:
            continue
        first, refitted = (claim.get(key, {}).get("auc") for key in ("test", "test_refit"))
        honest = model.metrics.get("test", {}).get("auc")
        if known(first) and known(refitted):
            found.append((model, first, refitted, honest if known(honest) else None))
    return found


def literal_claim(record: Record) -> Fact | None:
    """What selection and oversampling before the division would have claimed; no evidence."""
    found = claims(record)
    if not found:
        return None
    _, first, refitted, honest = zip(*found, strict=True)
    own = [auc for auc in honest if auc is not None]
    text = (
        "For comparison, not as a result: with SMOTE, scaling and selection before a division 7:3 "
        f"of all patients, a test AUC of {span(list(first), 2)} would have been claimed, and of "
        f"{span(list(refitted), 2)} after the support vector machine was refitted to 99% of the "
        "rows"
    )
    if own:
        text += f", where these models have {span(own, 2)}"
    files = tuple(model.file("literal.json") for model, *_ in found)
    return Fact(f"{text}.", files, shown=False)


FACTS = (leakage_audit, leakage_method, literal_claim)
