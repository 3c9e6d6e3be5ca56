"""Manual against automatic ROIs where a task has three or more classes: one model, all classes.

``comparison/classes.csv``: ``task, set (train|test|all; out-of-fold but for test), rule, n,
n_missed, measure`` (:data:`.class_measures.MEASURES`), ``manual, automatic, difference (automatic
minus manual), lower, upper`` (95 % percentiles over resampled patients, the same for both sources)
and ``p`` (:func:`.class_measures.bootstrap_p`). The macro AUC is what the task is judged by; the
others describe. Of the Brier score and the log loss less is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import read_json
from .bootstrap import percentile_interval, resample_counts
from .class_measures import MEASURES, bootstrap_p, sampled_measures
from .class_models import FOLDER, codes_and_risks
from .config import ModelingConfig
from .pairs import paired_tables
from .table import ROIS

if TYPE_CHECKING:
    import pandas as pd


def compare_classes(
    study: Path, with_missed_image: set[str], rules: Sequence[str], config: ModelingConfig
) -> pd.DataFrame:
    """Compare the models of all classes that both sources have.

    Parameters
    ----------
    study : Path
        The study folder, with ``models/``.
    with_missed_image : set of str
        Patients with an image in which the automatic masks found nothing.
    rules : sequence of str
        Who is counted: ``complete_case``, and everybody.
    config : ModelingConfig
        Bootstrap and seed.

    Returns
    -------
    DataFrame
        Rows of ``classes.csv``; none where no task has three classes.

    Raises
    ------
    MammoroiError
        When a patient's set, fold or class differs between the two sources.
    """
    import pandas as pd

    path = study / "models" / "classes.json"
    rows: list[dict[str, Any]] = []
    for entry in read_json(path) if path.exists() else []:
        if set(entry["rois"]) != set(ROIS):
            continue
        for part, pairs in _sets(study / "models" / entry["task"] / FOLDER):
            complete = ~pairs["missed"] & ~pairs["patient_id"].isin(with_missed_image)
            for rule in rules:
                chosen = pairs[complete] if rule == "complete_case" else pairs
                if len(chosen):
                    about = {"task": entry["task"], "set": part, "rule": rule}
                    rows += [about | row for row in _rows(chosen, entry["classes"], config)]
    return pd.DataFrame(rows)


def _sets(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    pairs, _ = paired_tables(folder, "predictions.csv", ("set", "fold", "label"))
    for name, part in pairs.groupby("set", sort=False):
        yield str(name), part
    name = "predictions_all.csv"
    if all((folder / roi / name).exists() for roi in ROIS):
        yield "all", paired_tables(folder, name, ("set", "label"))[0]


def _rows(
    chosen: pd.DataFrame, classes: Sequence[str], config: ModelingConfig
) -> Iterator[dict[str, Any]]:
    counts = resample_counts(len(chosen), config.n_bootstrap, config.seed)
    values, samples = {}, {}
    for roi in ROIS:
        codes, risks = codes_and_risks(chosen, classes, f"_{roi}")
        values[roi] = sampled_measures(codes, risks, np.ones((1, len(chosen))))
        samples[roi] = sampled_measures(codes, risks, counts)
    for name in MEASURES:
        manual, automatic = (float(values[roi][name][0]) for roi in ROIS)
        differences = samples[ROIS[1]][name] - samples[ROIS[0]][name]
        lower, upper = percentile_interval(differences)
        yield {
            "n": len(chosen),
            "n_missed": int(chosen["missed"].sum()),
            "measure": name,
            "manual": manual,
            "automatic": automatic,
            "difference": automatic - manual,
            "lower": lower,
            "upper": upper,
            "p": bootstrap_p(differences),
        }
