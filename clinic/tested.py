"""How well a classifier did on the study's test patients, whom its training never saw.

A bundle keeps it beside each classifier (``test`` in ``bundle.json``), so that no risk is shown
without it. It was told from chance when the whole 95 % interval of its AUC lies above 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ..files import read_json
from ..reporting.wording import number, plural
from .results import Discrimination, Flag

CHANCE = 0.5
MACRO = "macro_auc"
"""The figure of a model of three or more classes: the mean of each class's AUC against the rest."""


def study_test(folder: Path, figure: str = "auc") -> Discrimination | None:
    """Read it from a study's model ``models/<target>/<roi>``.

    Parameters
    ----------
    folder : Path
        The model's folder, with its ``metrics.json``.
    figure : str
        Which figure of ``metrics.json``: ``auc``, or :data:`MACRO` of all classes.

    Returns
    -------
    Discrimination or None
        None when the study has no AUC of test patients, as without any of one class.
    """
    path = folder / "metrics.json"
    found = (read_json(path).get("test") if path.exists() else None) or {}
    figures = [found.get(name) for name in (figure, f"{figure}_lower", f"{figure}_upper")]
    if any(value is None or not math.isfinite(value) for value in figures):
        return None
    # Rounded, so that equal studies give equal bytes on every machine.
    auc, lower, upper = (float(f"{value:.6g}") for value in figures)
    return Discrimination(int(found["n"]), auc, lower, upper)


def tested_from(entry: Mapping[str, Any]) -> Discrimination | None:
    """Read it from an entry of ``bundle.json``; None in bundles from before it was kept."""
    found = entry.get("test")
    return Discrimination(**found) if found else None


def study_columns(tested: Discrimination | None, figure: str = "auc") -> dict[str, float]:
    """Give it as columns of a table, beside the same figure of other patients.

    Parameters
    ----------
    tested : Discrimination or None
        None makes columns of what is not known.
    figure : str
        See :func:`study_test`.

    Returns
    -------
    dict of str to float
        ``study_n, study_<figure>, study_<figure>_lower, study_<figure>_upper``.
    """
    names = ("study_n", *(f"study_{figure}{end}" for end in ("", "_lower", "_upper")))
    return dict(zip(names, astuple(tested) if tested else (math.nan,) * 4, strict=True))


def doubt(tested: Discrimination | None) -> Flag | None:
    """Give the reason not to believe a classifier's risks; None where it was told from chance."""
    if tested is None:
        return Flag(
            "untested",
            "How well this classifier does is not known: its bundle holds no AUC on patients kept "
            "apart from the training.",
        )
    if tested.lower > CHANCE:
        return None
    return Flag(
        "not-told-from-chance",
        f"On the {plural(tested.n, 'patient')} kept apart from the training this classifier could "
        f"not be told from chance: {auc_words(tested)}.",
    )


def auc_words(tested: Discrimination) -> str:
    """``AUC 0.72 (95 % interval 0.59 to 0.82; 0.5 is chance)``."""
    return (
        f"AUC {number(tested.auc)} (95 % interval {number(tested.lower)} to "
        f"{number(tested.upper)}; 0.5 is chance)"
    )
