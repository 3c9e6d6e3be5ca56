"""The selected features of one target, as the tables of such papers have them."""

from __future__ import annotations

from . import wording
from .results import Target
from .style import NAME
from .tables import Table

GOOD, POOR = 0.75, 0.4
"""Bounds of Nogueira et al. (2018), after Fleiss."""


def selected(target: Target) -> Table:
    """P, FDR, ICC, weight and frequency of each selected feature, the largest weight first."""
    import pandas as pd

    frames = []
    cells = []
    for roi, result in target.results.items():
        rows = result.selection.sort_values("coefficient", key=abs, ascending=False, kind="stable")
        frames.append(rows.assign(roi=roi)[["roi", *rows.columns]])
        for at, (_, row) in enumerate(rows.iterrows()):
            cells.append(
                [
                    "" if at else roi,
                    str(row["feature"]),
                    _p(row.get("t_p_value")),
                    _p(row.get("t_q_value")),
                    wording.number(row.get("icc")),
                    wording.number(row["coefficient"], 4),
                    f"{row['frequency']:.0%}",
                ]
            )
    filled = [frame for frame in frames if len(frame)]
    return Table(
        f"selection_{target.name}",
        f"Selected features, {target.heading}",
        _note(target),
        pd.concat(filled, ignore_index=True) if filled else frames[0],
        ["Masks", "Feature", "P", "FDR", "ICC", "Weight", "Selected again"],
        cells,
    )


def _note(target: Target) -> str:
    results = target.results.values()
    alphas = {result.recipe.get("t_test_alpha") for result in results}
    told = (
        "shown, not filtered on"
        if alphas and all(alpha is not None and alpha >= 1 for alpha in alphas)
        else "the filter before the LASSO"
    )
    refits = max((result.n_refits for result in results), default=0)
    note = (
        f"P: Welch's t-test between the classes in the training patients, {told}; FDR: the same "
        "after Benjamini and Hochberg. ICC: that of the stability filter. Weight: the LASSO's "
        "coefficient for a standard deviation of the feature, its share in the radscore. Selected "
        "again: in what share of the refits"
        + (f" ({refits}: all folds of all repeats)" if refits else "")
        + " the feature was selected, too. "
    )
    return note + " ".join(_stability(target))


def _stability(target: Target) -> list[str]:
    told = []
    for roi, result in target.results.items():
        value, lower, upper = (result.stability.get(end) for end in ("value", "lower", "upper"))
        if value is None:
            continue
        grade = "excellent" if value > GOOD else "poor" if value < POOR else "middling"
        told.append(f"{NAME[roi]} {wording.interval(value, lower, upper)}, {grade}")
    if not told:
        return []
    return [
        f"How alike the selections of the refits are (Nogueira's index; 1 is the same each time, 0 "
        f"a draw at random): {'; '.join(told)}."
    ]


def _p(value: float | None) -> str:
    return wording.p_value(value).removeprefix("P ").removeprefix("= ")
