"""What the files say about the number of patients: how many a model needs, how many there were."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MammoroiError
from .facts_selection import fitted
from .record import Fact, ModelFiles, Record, known, span

CRITERIA = "the criteria of Riley and others"


@dataclass(frozen=True)
class Size:
    """Patients that a model needed, and those that it had.

    Attributes
    ----------
    model : ModelFiles
        Whose figures these are.
    candidates : int
        Features before any selection.
    n, n_positive : int
        Training patients.
    auc : float or None
        Out of fold, in the training patients.
    events_per_candidate : float
        Training patients of the smaller class for each candidate feature.
    needed : int or None
        Patients needed; None where nothing follows: an AUC that cannot be told from 0.5, or 1.
    shrinkage : float or None
        By which factor coefficients must be multiplied to hold elsewhere (1 is no overfitting).
    """

    model: ModelFiles
    candidates: int
    n: int
    n_positive: int
    auc: float | None
    events_per_candidate: float
    needed: int | None
    shrinkage: float | None


def sizes(record: Record) -> list[Size]:
    """The needs of every radiomic model whose files give counts, candidates and AUC."""
    from ..modeling.sample_size import events_per_parameter, expected_shrinkage, needed_patients

    found = []
    for model in fitted(record):
        train = model.metrics.get("train_out_of_fold", {})
        candidates = model.funnel.get("extracted")
        if not candidates or not train.get("n") or not 0 < train.get("n_positive", 0) < train["n"]:
            continue
        n, prevalence = train["n"], train["n_positive"] / train["n"]
        auc = train["auc"] if known(train.get("auc")) else None
        lower = train["auc_lower"] if known(train.get("auc_lower")) else auc
        needed = shrinkage = None
        try:
            if auc is not None and lower is not None and lower > 0.5:
                asked = needed_patients(candidates, prevalence, auc)
                needed = asked.needed
                shrinkage = expected_shrinkage(n, candidates, asked.r2_cox_snell)
        except MammoroiError:
            pass  # an AUC of 1 has no number of patients: it stays unknown and is said to be
        each = events_per_parameter(n, prevalence, candidates)
        found.append(Size(model, candidates, n, train["n_positive"], auc, each, needed, shrinkage))
    return found


def sample_size(record: Record) -> Fact | None:
    """Patients needed beside patients at hand, over all models."""
    found = sizes(record)
    if not found:
        return None
    candidates = sorted({one.candidates for one in found})
    text = (
        f"{_counts([one.n for one in found])} training patients with a label and features were at "
        f"hand for {_counts(candidates)} candidate features (counted before any selection): "
        f"{span([one.events_per_candidate for one in found], 3)} patients of the smaller class for "
        "each of them."
    )
    solved = [one for one in found if one.needed is not None]
    needed = [one.needed for one in solved if one.needed is not None]
    shrinkage = [one.shrinkage for one in solved if one.shrinkage is not None]
    if needed:
        text += (
            f" By {CRITERIA} for a binary outcome, with the prevalence and out-of-fold AUC of this "
            f"run, {_counts(needed)} would be needed; with those at hand coefficients would have "
            f"to be shrunk to {span(shrinkage, 2)} of their size to hold in other patients (1 is "
            "no overfitting). The criteria are meant for regression with all candidates, and this "
            "was calculated afterwards, not planned."
        )
    if len(solved) < len(found):
        text += (
            f" For {len(found) - len(solved)} of {len(found)} models the AUC cannot be told from "
            "0.5 (or is too close to 1), and no number of patients follows from it."
        )
    files = [one.model.file(name) for one in found for name in ("metrics.json", "funnel.json")]
    return Fact(text, tuple(files))


def size_method(record: Record) -> Fact | None:
    """The same in short."""
    found = sizes(record)
    needed = [one.needed for one in found if one.needed is not None]
    if not needed:
        return None
    return Fact(
        f"For {_counts([one.candidates for one in found])} candidate features {CRITERIA}, "
        f"calculated afterwards, ask for {_counts(needed)} training patients; "
        f"{_counts([one.n for one in found])} were at hand.",
        tuple(one.model.file(name) for one in found for name in ("metrics.json", "funnel.json")),
    )


def _counts(values: list[int]) -> str:
    """``1,311`` or ``27,390 to 53,071``."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


FACTS = (sample_size, size_method)
