"""Leave-one-centre-out validation: what a classifier does in a centre that gave it no patient.

Each centre with at least 10 patients of either class, those of the test set included, is held out
in turn. The whole recipe (harmonisation, stability filter, scaler, selection, tuning, calibration,
threshold) is fitted to the patients of all other centres, and predicts the centre's patients once.
Steyerberg & Harrell, J Clin Epidemiol 2016;69:245-247 (internal-external validation).

A patient of a smaller centre trains in every turn. A patient whose centre is not known could be of
the one that is held out: she takes no part. A missed lesion gets the prevalence of the patients the
model was fitted to, as always.

``models/<target>/<roi>/predictions_centres.csv``: ``patient_id, centre, label, score, risk,
radscore, missed, threshold``. ``centres.csv``: a row for each centre, and for patients of none:
``centre, n, n_positive, n_missed, held_out, reason`` (why it was not), ``n_train, n_selected``
(patients with features whom the model was fitted to, features it selected), ``threshold`` (Youden's
index on the out-of-fold risks of the other centres), and, each with ``_lower`` and ``_upper``,
``auc, calibration_intercept, calibration_slope, observed_expected, sensitivity, specificity``.
``centres_summary.csv``: ``quantity`` (the first four), ``k`` (centres pooled; one whose variance
cannot be told is left out), ``estimate, lower, upper, prediction_lower, prediction_upper, tau2, i2,
q, p_value``: see :mod:`.meta`; the AUC is pooled on the logit scale, observed / expected on the
logarithmic one, and ``tau2`` is on that scale. A centre whose patients all got the same risk (no
feature was selected) has an AUC of 0.5 and counts with the variance of chance, so that it is not
lost from the mean. All are absent where no centre can be held out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from ..files import write_csv
from .config import ModelingConfig
from .discrimination import youden_threshold
from .meta import pool
from .metrics import wilson
from .subgroups import FIGURES, LEAST_OF_A_CLASS, NOT_KNOWN
from .validate import Dataset, predict, train

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FILES = ("centres.csv", "centres_summary.csv", "predictions_centres.csv")
SCALES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "auc": (logit, expit),
    "calibration_intercept": (np.asarray, np.asarray),
    "calibration_slope": (np.asarray, np.asarray),
    "observed_expected": (np.log, np.exp),
}


@dataclass(frozen=True)
class HeldOut:
    """One centre, held out.

    Attributes
    ----------
    predicted : DataFrame
        As in ``predictions_centres.csv``.
    n_train, n_selected : int
        Patients the model was fitted to; features it selected.
    """

    predicted: pd.DataFrame
    n_train: int
    n_selected: int


def centres_of(patients: pd.DataFrame) -> pd.Series | None:
    """Give each patient's centre by ``patient_id``, missing where not known; None without any."""
    if "centre" not in patients or patients["centre"].isna().all():
        return None
    centres: pd.Series = patients.set_index("patient_id")["centre"]
    return centres


def centre_counts(data: Dataset) -> pd.DataFrame:
    """Count the patients of each centre: ``n, n_positive, reason``, indexed by centre.

    ``reason`` is empty where the centre can be held out. Patients of none come last.
    """
    import pandas as pd

    patients = sorted({*data.train, *data.test})
    centres = pd.Series(None, index=patients, dtype=object)
    if data.centres is not None:
        centres = data.centres.reindex(patients)
    table = data.y[patients].groupby(centres.fillna(NOT_KNOWN)).agg(n="size", n_positive="sum")
    smaller = np.minimum(table["n_positive"], table["n"] - table["n_positive"])
    table["reason"] = np.where(
        smaller < LEAST_OF_A_CLASS, f"fewer than {LEAST_OF_A_CLASS} patients of a class", ""
    )
    table.loc[table.index == NOT_KNOWN, "reason"] = "centre not known"
    if (table["reason"] == "").sum() == 1:
        table.loc[table["reason"] == "", "reason"] = "no other centre is large enough"
    in_order = [*(name for name in table.index if name != NOT_KNOWN), NOT_KNOWN]
    return pd.DataFrame(table.reindex([name for name in in_order if name in table.index]))


def held_out_centres(data: Dataset, config: ModelingConfig) -> list[str]:
    """Name the centres to hold out in turn; none where that is not asked for."""
    if not config.leave_one_centre_out or data.centres is None:
        return []
    counts = centre_counts(data)
    return [str(name) for name in counts.index[counts["reason"] == ""]]


def announce(datasets: list[Dataset], config: ModelingConfig) -> None:
    """Say in the log which centres are held out, and why others are not."""
    if not config.leave_one_centre_out or not datasets:
        return
    if datasets[0].centres is None:
        log.info("no leave-one-centre-out validation: patients.csv names no centre")
        return
    for data in datasets:
        counts, name = centre_counts(data), f"{data.target.name}, {data.roi} ROIs"
        held_out = held_out_centres(data, config)
        log.info("%s: centres held out in turn: %s", name, ", ".join(held_out) or "none")
        for centre, row in counts[counts["reason"] != ""].iterrows():
            log.warning(
                "%s: %d patients of centre %s are not held out: %s",
                *(name, row["n"], centre, row["reason"]),
            )


def run_centre(data: Dataset, centre: str, config: ModelingConfig) -> HeldOut:
    """Fit to the patients of all other centres, and predict those of one."""
    if data.centres is None:
        raise ValueError("centres are not known")
    used = sorted({*data.train, *data.test})
    of = data.centres.reindex(used)
    inside = tuple(of.index[of == centre])
    fitted = data.with_features(tuple(of.index[of.notna() & (of != centre)]))
    trained = train(data, fitted, config)
    fit, calibration = trained.fit, trained.calibration
    threshold = youden_threshold(data.y[fitted], calibration.risk(trained.scores))
    predicted = predict(data, fit, calibration, inside)
    predicted.insert(1, "centre", centre)
    return HeldOut(predicted.assign(threshold=threshold), len(fitted), len(fit.selected()))


def centre_table(data: Dataset, turns: list[HeldOut]) -> pd.DataFrame:
    """Describe each centre's predictions; columns as in ``centres.csv``."""
    import pandas as pd

    by_centre = {turn.predicted["centre"].iloc[0]: turn for turn in turns}
    rows = []
    for centre, counts in centre_counts(data).iterrows():
        turn = by_centre.get(centre)
        row: dict[str, Any] = {"centre": centre, "n": counts["n"]}
        row |= {"n_positive": counts["n_positive"], "held_out": turn is not None}
        row["reason"] = counts["reason"]
        rows.append(row if turn is None else row | _figures(turn))
    names = ("n_missed", "held_out", "reason", "n_train", "n_selected", "threshold")
    figures = (*FIGURES, "sensitivity", "specificity")
    ends = [name + end for name in figures for end in ("", "_lower", "_upper")]
    return pd.DataFrame(rows, columns=["centre", "n", "n_positive", *names, *ends])


def summary_table(centres: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Pool the centres that were held out; columns as in ``centres_summary.csv``."""
    import pandas as pd

    rows = []
    table = centres[centres["held_out"].astype(bool)]
    for quantity, (there, back) in SCALES.items():
        effect, lower, upper = (
            there(table[quantity + end].to_numpy(dtype=float)) for end in ("", "_lower", "_upper")
        )
        error = (upper - lower) / (2 * norm.ppf(0.5 + level / 2))
        if quantity == "auc":  # all alike: DeLong's variance is 0, that of chance is not
            positive, n = table["n_positive"].to_numpy(float), table["n"].to_numpy(float)
            chance = np.sqrt((n + 1) / (12 * positive * (n - positive))) / 0.25
            error = np.where((effect == 0) & (error == 0), chance, error)
        pooled = pool(effect, error**2, level)
        row: dict[str, Any] = {"quantity": quantity, **vars(pooled)}
        for name in ("estimate", "lower", "upper", "prediction_lower", "prediction_upper"):
            row[name] = float(back(row[name]))
        rows.append(row)
    return pd.DataFrame(rows)


def write_centres(folder: Path, data: Dataset, turns: list[HeldOut]) -> None:
    """Write the three files, or remove those of earlier settings."""
    import pandas as pd

    if not turns:
        for file in FILES:
            (folder / file).unlink(missing_ok=True)
        return
    table = centre_table(data, turns)
    write_csv(folder / "centres.csv", table)
    write_csv(folder / "centres_summary.csv", summary_table(table))
    everybody = pd.concat([turn.predicted for turn in turns], ignore_index=True)
    write_csv(folder / "predictions_centres.csv", everybody)


def _figures(turn: HeldOut) -> dict[str, Any]:
    table = turn.predicted
    label, risk = table["label"].to_numpy(dtype=int), table["risk"].to_numpy(dtype=float)
    positive, called = label == 1, risk >= table["threshold"].to_numpy()
    figures = {name: figure(label, risk) for name, figure in FIGURES.items()}
    figures["sensitivity"] = wilson(int(called[positive].sum()), int(positive.sum()))
    figures["specificity"] = wilson(int((~called[~positive]).sum()), int((~positive).sum()))
    row: dict[str, Any] = {
        "n_missed": int(table["missed"].sum()),
        "n_train": turn.n_train,
        "n_selected": turn.n_selected,
        "threshold": table["threshold"].iloc[0],
    }
    for name, (value, lower, upper) in figures.items():
        row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
    return row
