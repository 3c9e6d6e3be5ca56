"""What each set of predictors achieves: the files of :mod:`.predictors` in ``models/.../``.

``predictors.csv``, a row for each ``set`` of patients (``train``, ``test``, ``all``) and
``predictor`` (``radiomics``, ``clinical``, ``preoperative``, and the combined ones): ``n,
n_positive``; ``auc`` (DeLong); ``over_radiomics``, its AUC minus that of radiomics alone;
``over_clinical``, of a combined set its AUC minus that of the clinical set in it, what radiomics
adds; ``brier``; ``calibration_slope``. All but the counts and the Brier score have ``_lower`` and
``_upper`` (95 %); the differences are DeLong's, with ``_p``, and empty where there is nothing to
compare with. Intervals treat the patients as the sample.

``predictors_predictions.csv``: ``patient_id, set, predictor, label, risk``. Risks of ``train`` and
``all`` are out-of-fold, means over the repeats; those of ``test`` are of models that were fitted
to all training patients.

``predictors_decision.csv``: ``set, predictor, threshold``, then the net benefit of the combined
set (``first``) less that of the clinical set in it (``second``); see
:func:`.netbenefit.net_benefit_difference`.

``predictors.json``: ``skipped`` (why there are none, or null); ``variables`` (each with ``kind,
source, preoperative``, how many training and test patients lack it, and what takes the place of a
missing value in the final model); ``left_out`` and why; ``models``: of each set of predictors the
final model's ``cost``, ``intercept`` and ``coefficients``.

``nomogram.csv``: see :mod:`.nomogram`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_csv, write_json
from .calibration import Calibration, calibration_slope
from .discrimination import auc_difference, auc_interval
from .netbenefit import net_benefit_difference
from .nomogram import nomogram
from .predictor_model import PredictorModel
from .predictors import (
    COMBINED,
    PREOPERATIVE,
    RADIOMICS,
    Clinical,
    fit_predictors,
    predict_predictors,
)

if TYPE_CHECKING:
    import pandas as pd

    from .validate import Dataset, FoldResult, Trained

FILES = (
    *("predictors.csv", "predictors_predictions.csv", "predictors_decision.csv"),
    *("predictors.json", "nomogram.csv"),
)
NO_VARIABLES = "patients.csv has no clinical variable to predict with"


@dataclass(frozen=True)
class Predicted:
    """The final models of the sets of predictors, and everybody's risks.

    Attributes
    ----------
    clinical : Clinical
        The variables.
    models : dict of str to PredictorModel
        Fitted to all training patients, by set of predictors.
    scores : Series
        The training patients' inner out-of-fold scores to which they were fitted.
    risks : DataFrame
        As in ``predictors_predictions.csv``.
    """

    clinical: Clinical
    models: dict[str, PredictorModel]
    scores: pd.Series
    risks: pd.DataFrame


def put_together(
    data: Dataset,
    final: Trained,
    folds: list[FoldResult],
    folds_all: list[FoldResult],
    tables: dict[str, pd.DataFrame],
    seed: int,
) -> Predicted | None:
    """Fit the final models to all training patients, and collect everybody's risks.

    Parameters
    ----------
    data, final
        The data set, and the recipe fitted to all training patients.
    folds, folds_all : list of FoldResult
        Of all repeats, over the training patients and over all.
    tables : dict of str to DataFrame
        The predictions by radiomics: ``train``, ``test`` and, where asked for, ``all``.
    seed : int
        Of the inner folds.

    Returns
    -------
    Predicted or None
        None without clinical variables.
    """
    import pandas as pd

    clinical = data.clinical
    if clinical is None:
        return None
    models = fit_predictors(clinical, final.scores, data.y[final.scores.index], seed)
    held_out = tables["test"].set_index("patient_id")["score"]
    if final.fit.empty_at:
        held_out = held_out * np.nan
    found = {
        "train": [fold.predictors for fold in folds if fold.predictors is not None],
        "test": [predict_predictors(models, clinical, held_out.astype("float64"))],
        "all": [fold.predictors for fold in folds_all if fold.predictors is not None],
    }
    parts = [_means(table, found[name]).assign(set=name) for name, table in tables.items()]
    long = pd.concat(parts, ignore_index=True).melt(
        ["patient_id", "set", "label"], var_name="predictor", value_name="risk"
    )
    columns = ["patient_id", "set", "predictor", "label", "risk"]
    return Predicted(clinical, models, final.scores, long[columns])


def _means(radiomics: pd.DataFrame, folds: list[pd.DataFrame]) -> pd.DataFrame:
    """Each patient's mean risks beside those by radiomics alone."""
    import pandas as pd

    table = radiomics[["patient_id", "label", "risk"]].rename(columns={"risk": RADIOMICS})
    means = pd.concat(folds).groupby("patient_id").mean()
    return table.join(means, on="patient_id")


def performance(risks: pd.DataFrame) -> pd.DataFrame:
    """Tabulate ``predictors.csv`` from ``predictors_predictions.csv``."""
    import pandas as pd

    rows = []
    for part, of_part in risks.groupby("set", sort=False):
        wide = of_part.pivot_table(index="patient_id", columns="predictor", values="risk")
        labels = of_part.drop_duplicates("patient_id").set_index("patient_id")["label"]
        y = labels[wide.index].to_numpy(dtype=int)
        for predictor in of_part["predictor"].unique():
            own = wide[predictor].to_numpy(dtype=float)
            row: dict[str, Any] = {"set": part, "predictor": predictor}
            row |= {"n": len(y), "n_positive": int(y.sum())}
            row |= _ends("auc", auc_interval(y, own))
            against = {RADIOMICS: RADIOMICS if predictor != RADIOMICS else None}
            against["clinical"] = COMBINED.get(str(predictor))
            for name, other in against.items():
                gap = auc_difference(y, own, wide[other].to_numpy(dtype=float)) if other else None
                values = (gap.difference, gap.lower, gap.upper) if gap else (np.nan,) * 3
                row |= _ends(f"over_{name}", values)
                row[f"over_{name}_p"] = gap.p_value if gap else np.nan
            row["brier"] = float(np.mean((own - y) ** 2)) if len(y) else np.nan
            row |= _ends("calibration_slope", calibration_slope(y, own))
            rows.append(row)
    return pd.DataFrame(rows)


def decision_table(risks: pd.DataFrame) -> pd.DataFrame:
    """Tabulate ``predictors_decision.csv`` from ``predictors_predictions.csv``."""
    import pandas as pd

    tables = []
    for part, of_part in risks.groupby("set", sort=False):
        wide = of_part.pivot_table(index="patient_id", columns="predictor", values="risk")
        labels = of_part.drop_duplicates("patient_id").set_index("patient_id")["label"]
        for together, alone in COMBINED.items():
            if together in wide:
                table = net_benefit_difference(labels[wide.index], wide[together], wide[alone])
                table.insert(0, "predictor", together)
                table.insert(0, "set", part)
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def describe(predicted: Predicted) -> dict[str, Any]:
    """Give ``predictors.json``."""
    clinical = predicted.clinical
    train = clinical.cells.loc[predicted.scores.index]
    tested = predicted.risks.query("set == 'test'")["patient_id"].unique()
    test = clinical.cells.loc[tested]
    return {
        "skipped": None,
        "variables": [
            {
                "name": one.name,
                "kind": one.kind,
                "source": one.source,
                "preoperative": one.preoperative,
                "missing_train": int(train[one.name].isna().sum()),
                "missing_test": int(test[one.name].isna().sum()),
                "imputed_with": _usual(train[one.name].dropna(), one.kind),
            }
            for one in clinical.variables
        ],
        "left_out": clinical.left_out,
        "n_train": len(train),
        "n_test": len(test),
        "models": {
            name: {
                "cost": model.cost,
                "intercept": float(model.regression.intercept_[0]),
                "coefficients": model.terms(),
            }
            for name, model in predicted.models.items()
        },
    }


def write_predictors(
    folder: Path,
    predicted: Predicted | None,
    calibration: Calibration,
    asked: bool,
) -> None:
    """Write the files, or why there are none; nothing when they were not asked for."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    if predicted is None:
        if asked:
            write_json(folder / "predictors.json", {"skipped": NO_VARIABLES})
        return
    write_csv(folder / "predictors.csv", performance(predicted.risks))
    write_csv(folder / "predictors_predictions.csv", predicted.risks)
    write_csv(folder / "predictors_decision.csv", decision_table(predicted.risks))
    sets = predicted.clinical.sets()
    chosen = PREOPERATIVE if PREOPERATIVE in sets else next(iter(sets))
    model = predicted.models[f"{RADIOMICS}+{chosen}"]
    table = nomogram(model, predicted.clinical, predicted.scores, calibration)
    write_csv(folder / "nomogram.csv", table)
    about = describe(predicted) | {"nomogram": f"{RADIOMICS}+{chosen}"}
    write_json(folder / "predictors.json", about)


def _usual(known: pd.Series, kind: str) -> float | str | None:
    """Give the median number or the most frequent level; None where nobody has a value."""
    if known.empty:
        return None
    return float(known.median()) if kind == "number" else str(known.mode().iloc[0])


def _ends(name: str, values: tuple[float, ...]) -> dict[str, float]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))
