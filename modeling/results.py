"""The files of one model, ``models/<target>/<roi>/``; columns are listed with each writer.

``predictions.csv``: ``patient_id, set (train|test), fold, label, score, risk, radscore, missed``;
rows of the training set are out-of-fold, those of the test set come from the final model.
``metrics.json``: ``train_out_of_fold, train_apparent, test`` (see :func:`.metrics.measure`) and
``threshold``, the risk that maximises Youden's index on the out-of-fold predictions.
``selection.csv``: ``feature, coefficient, t_p_value, t_q_value, icc, frequency`` (the share of the
folds whose model selects it too). ``funnel.json``: features left after each filter, of the final
model and of each fold. ``lasso_path.csv``: ``alpha, mse_mean, mse_sd, n_nonzero, chosen``;
``lasso_coefficients.csv``: ``alpha, feature, coefficient``; both are without rows when the LASSO
was not reached. ``curves/``: see :mod:`.metrics`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_csv, write_json
from .calibration import Calibration
from .config import ModelingConfig
from .discrimination import youden_threshold
from .metrics import calibration_table, measure, roc_table
from .netbenefit import decision_curve
from .persist import save_model
from .pipeline import Fit
from .validate import Dataset, FoldResult, final_calibration, predict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """A final model and all predictions.

    Attributes
    ----------
    data : Dataset
        What it was made of.
    fit : Fit
        The recipe fitted to all training patients.
    calibration : Calibration
        Its sigmoid.
    folds : list of FoldResult
        The models of the folds.
    predictions : DataFrame
        As in ``predictions.csv``.
    apparent : DataFrame
        The final model's predictions for the patients it was fitted to.
    threshold : float
        Risk from which on a patient is called positive.
    """

    data: Dataset
    fit: Fit
    calibration: Calibration
    folds: list[FoldResult]
    predictions: pd.DataFrame
    apparent: pd.DataFrame
    threshold: float


def assemble(data: Dataset, fit: Fit, folds: list[FoldResult]) -> Result:
    """Put the folds and the final model together."""
    import pandas as pd

    calibration = final_calibration(folds)
    train = pd.concat([fold.predicted for fold in folds]).assign(set="train")
    test = predict(data, fit, calibration, data.test).assign(set="test", fold=None)
    predictions = pd.concat([train, test.astype({"fold": object})], ignore_index=True)
    columns = ["patient_id", "set", "fold", "label", "score", "risk", "radscore", "missed"]
    return Result(
        data=data,
        fit=fit,
        calibration=calibration,
        folds=folds,
        predictions=predictions[columns],
        apparent=predict(data, fit, calibration, data.train),
        threshold=youden_threshold(train["label"], train["risk"]),
    )


def metrics_of(result: Result) -> dict[str, Any]:
    """Describe the predictions out-of-fold, on the fitted patients, and on the test patients."""
    by_set = dict(list(result.predictions.groupby("set")))
    empty = result.predictions.iloc[:0]
    tables = {
        "train_out_of_fold": by_set["train"],
        "train_apparent": result.apparent,
        "test": by_set.get("test", empty),
    }
    figures: dict[str, Any] = {
        name: measure(table["label"], table["risk"], result.threshold, table["missed"])
        for name, table in tables.items()
    }
    return figures | {"threshold": result.threshold}


def selection_table(result: Result) -> pd.DataFrame:
    """Tabulate the selected features, the largest coefficient first."""
    import pandas as pd

    fit, columns = (
        result.fit,
        ["feature", "coefficient", "t_p_value", "t_q_value", "icc", "frequency"],
    )
    selected = fit.selected()
    if not selected:
        return pd.DataFrame(columns=columns)
    steps = fit.pipeline
    chosen = steps["lasso"].mask_
    tested = fit.indices("complete")[steps["t_test"].mask_][chosen]
    p_values = steps["t_test"].p_values_[steps["t_test"].mask_][chosen]
    q_values = steps["t_test"].q_values_[steps["t_test"].mask_][chosen]
    frequency = [np.mean([name in fold.selected for fold in result.folds]) for name in selected]
    values = (
        selected,
        steps["lasso"].coef_[chosen],
        p_values,
        q_values,
        steps["icc"].icc_[tested],
        frequency,
    )
    table = pd.DataFrame(dict(zip(columns, values, strict=True)))
    return table.sort_values("coefficient", key=np.abs, ascending=False, kind="stable")


def lasso_tables(fit: Fit) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate the error by penalty, and the selected features' coefficients by penalty."""
    import pandas as pd

    path_columns = ["alpha", "mse_mean", "mse_sd", "n_nonzero", "chosen"]
    coefficient_columns = ["alpha", "feature", "coefficient"]
    if fit.empty_at not in (None, "lasso"):
        return pd.DataFrame(columns=path_columns), pd.DataFrame(columns=coefficient_columns)
    lasso = fit.pipeline["lasso"]
    path = pd.DataFrame(
        {
            "alpha": lasso.alphas_,
            "mse_mean": lasso.mse_.mean(axis=1),
            "mse_sd": lasso.mse_.std(axis=1, ddof=1),
            "n_nonzero": (lasso.path_ != 0).sum(axis=0),
            "chosen": lasso.alphas_ == lasso.alpha_,
        }
    )
    coefficients = pd.DataFrame(lasso.path_[lasso.mask_].T, columns=fit.selected())
    coefficients.insert(0, "alpha", lasso.alphas_)
    long = coefficients.melt("alpha", var_name="feature", value_name="coefficient")
    return path, long[coefficient_columns]


def write_result(
    folder: Path, result: Result, config: ModelingConfig, about: dict[str, Any]
) -> Path:
    """Write all files of one model; ``about`` goes into ``model.json``."""
    import pandas as pd

    path, coefficients = lasso_tables(result.fit)
    write_csv(folder / "predictions.csv", result.predictions)
    write_json(folder / "metrics.json", metrics_of(result))
    write_csv(folder / "selection.csv", selection_table(result))
    write_csv(folder / "lasso_path.csv", path)
    write_csv(folder / "lasso_coefficients.csv", coefficients)
    folds = [fold.funnel for fold in result.folds]
    write_json(folder / "funnel.json", result.fit.funnel() | {"folds": folds})
    curves: dict[str, list[pd.DataFrame]] = {"roc": [], "calibration": [], "decision": []}
    for name, table in result.predictions.groupby("set", sort=False):
        labels, risks = table["label"].to_numpy(), table["risk"].to_numpy()
        curves["roc"].append(roc_table(labels, risks).assign(set=name))
        curves["calibration"].append(calibration_table(labels, risks).assign(set=name))
        decision = decision_curve(labels, risks, config.n_bootstrap, config.seed)
        curves["decision"].append(decision.assign(set=name))
    for curve, parts in curves.items():
        joined = pd.concat(parts, ignore_index=True)
        joined.insert(0, "set", joined.pop("set"))
        write_csv(folder / "curves" / f"{curve}.csv", joined)
    fitted = result.data.X.loc[result.data.with_features(result.data.train)]
    return save_model(
        folder,
        result.fit,
        result.calibration,
        fitted,
        about
        | {
            "threshold": result.threshold,
            "n_train": len(fitted),
            "views": config.views,
            "settings": config,
        },
    )
