"""What the files say about several centres: validation over them, and harmonisation."""

from __future__ import annotations

from typing import Any

from ..modeling.subgroups import NOT_KNOWN
from . import wording
from .record import Fact, ModelFiles, Record, known, listed, span


def centre_validation(record: Record) -> Fact | None:
    """That centres were held out in turn, and the pooled AUC of each model."""
    found = _validated(record)
    if not found:
        return None
    parts = []
    for model, _, summary in found:
        row = summary[summary["quantity"] == "auc"].iloc[0]
        if not known(row["estimate"]):
            continue
        text = f"{model.name} {wording.interval(row['estimate'], row['lower'], row['upper'])}"
        if known(row["prediction_lower"]):
            low, high = (wording.number(row[f"prediction_{end}"]) for end in ("lower", "upper"))
            text += f", expected in another centre {low} to {high}"
        parts.append(text)
    method = centre_method(record)
    if method is None:
        return None
    if not parts:
        return method
    return Fact(f"{method.text} Mean AUC over the centres: {'; '.join(parts)}.", method.files)


def centre_method(record: Record) -> Fact | None:
    """How models were validated over the centres, without the figures."""
    found = _validated(record)
    if not found:
        return None
    counts = span([int(table["held_out"].astype(bool).sum()) for _, table, _ in found])
    names = ("centres.csv", "centres_summary.csv")
    files = tuple(model.file(name) for name in names for model, _, _ in found)
    validated = list(dict.fromkeys(model.target for model, *_ in found))
    every = {model.target for model in record.models()} == set(validated)
    text = (
        f"In leave-one-centre-out validation{'' if every else f' of {listed(validated)}'} each of "
        f"{counts} centres was held out in turn and its "
        "patients were predicted by a model whose every step, calibration and threshold included, "
        "was fitted to those of the other centres. Their AUCs, calibration intercepts and slopes, "
        "and ratios of observed to expected were pooled by random effects (Paule and Mandel's "
        "variance, Hartung and Knapp's interval) with a prediction interval for another centre."
    )
    lost = _not_held_out(found, len(validated))
    if lost:
        text += f" Not held out: {listed(lost)}."
    return Fact(text, files)


def harmonisation(record: Record) -> Fact | None:
    """Whether features of different centres or devices were brought together."""
    models = [model for model in record.models() if "harmonised" in model.funnel]
    if not models:
        return None
    files = tuple(model.file("funnel.json") for model in models)
    done = [model for model in models if model.funnel["harmonised"] is not None]
    if not done:
        if not _validated(record):
            return None  # nothing to harmonise
        return Fact("Features were not harmonised.", files, shown=False)
    by, file = record.setting("modeling.harmonise_by")
    if by is None or len(done) != len(models):
        return None
    batches = sorted({name for model in done for name in model.funnel["harmonised"]})
    text = (
        f"Features were harmonised by {by} ({listed(batches)}) with ComBat, without covariates, as "
        "the first step of every fit and on its patients alone; a held-out patient was moved by "
        f"what was learnt for her {by} from the patients of the fit"
    )
    left = [model.funnel["not_harmonised"] for model in done]
    text += f". Features of patients of a {by} without training patients stayed as they were"
    if max(left):
        text += f", as did those of {span(left)} training patients of too small or unknown ones"
    return Fact(f"{text}.", (*files, file))


def _not_held_out(found: list[tuple[ModelFiles, Any, Any]], n_targets: int) -> list[str]:
    """Each centre that was not held out, and of which targets where not of all."""
    small: dict[str, dict[str, None]] = {}
    unknown = []
    for model, table, _ in found:
        for row in table[~table["held_out"].astype(bool)].to_dict("records"):
            if row["centre"] == NOT_KNOWN:
                unknown.append(row["n"])
            else:
                name = f"{row['centre']} ({row['reason']})"
                small.setdefault(name, {})[model.target] = None
    parts = [
        name if len(targets) == n_targets else f"{name} for {listed(list(targets))}"
        for name, targets in small.items()
    ]
    if unknown:
        who = "patient" if span(unknown) == "1" else "patients"
        parts.append(f"{span(unknown)} {who} whose centre is not known")
    return parts


def _validated(record: Record) -> list[tuple[ModelFiles, Any, Any]]:
    found = []
    for model in record.models():
        table = record.table(model.file("centres.csv"))
        summary = record.table(model.file("centres_summary.csv"))
        if table is not None and summary is not None and len(table) and len(summary):
            found.append((model, table, summary))
    return found


FACTS = (centre_validation, centre_method, harmonisation)
