"""The files of one model, ``models/<target>/<roi>/``; columns are listed with each writer.

``predictions.csv``: ``patient_id, set (train|test), fold, label, score, risk, radscore, missed,
threshold``; rows of the training set are out-of-fold, means over the repeats (``fold`` is that of
``splits.json``), those of the test set come from the final model. ``threshold`` is the risk from
which on the patient is called positive, chosen without her. ``predictions_all.csv``, where
asked for: the same without ``fold``, out-of-fold over all patients. ``crossed.csv``,
``crossed_all.csv``, with two sources of masks: the out-of-fold ``risk`` of each ``patient_id`` from
the other source's features, by the same models (see :mod:`.cross_application`).
``metrics.json``: ``train_out_of_fold, train_apparent, test, all_out_of_fold`` (see
:func:`.metrics.measure`; the last where asked for), ``repeats``, and ``threshold``, that of the
final model: the risk that maximises Youden's index on the training set's out-of-fold predictions.
These patients themselves are called out of fold at the thresholds of their folds. Out of fold
``auc`` is that of risks that are means over the repeats; ``auc_of_repeats`` lists that of each.
``selection.csv``: ``feature, coefficient, t_p_value, t_q_value, icc, frequency`` (the share of the
refits, all folds of all repeats, that select it too). ``funnel.json``: features left after each
filter, and the SVM that was chosen, of the final model and (``folds``) of each fold of each repeat,
and how alike the refits' selections are (``stability``: :func:`.stability_of_selection.nogueira`).
``lasso_path.csv``: ``alpha, mse_mean``, its standard deviation over the folds ``mse_sd`` and
standard error ``mse_se``, ``n_nonzero, chosen``; ``lasso_coefficients.csv``: ``alpha, feature,
coefficient``; both are without rows when the LASSO was not reached. ``curves/``: see
:mod:`.metrics`. ``literal.json``: see :mod:`.literal`; ``comparators.csv``: see
:mod:`.comparators`; ``predictors*``, ``nomogram.csv``: see :mod:`.predictors_files`;
``centres*.csv``, ``predictions_centres.csv``: see :mod:`.centres`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_csv, write_json
from .centres import HeldOut, write_centres
from .comparators import comparator_row
from .config import ModelingConfig
from .discrimination import auc_interval, youden_threshold
from .literal import Claim
from .metrics import calibration_table, measure, roc_table
from .netbenefit import decision_curve
from .persist import save_model
from .pipeline import Fit
from .predictors_files import Predicted, put_together, write_predictors
from .stability_of_selection import SelectionStability, nogueira
from .validate import Dataset, Division, FoldResult, Trained, mean_of_repeats, predict

if TYPE_CHECKING:
    import pandas as pd

FINAL, LITERAL, FOLDS, FOLDS_ALL = "final", "literal", "folds", "folds over all patients"
CENTRES = "centres"
"""Kinds of work that every data set needs; those of comparators: ``<name>/train``, ``/test``."""


@dataclass(frozen=True)
class Result:
    """A final model and all predictions.

    Attributes
    ----------
    data : Dataset
        What it was made of.
    final : Trained
        The recipe fitted to all training patients, with its sigmoid.
    folds, folds_all : list of FoldResult
        The models of the folds of all repeats; those over all patients, where asked for.
    predictions : DataFrame
        As in ``predictions.csv``.
    predictions_all : DataFrame or None
        As in ``predictions_all.csv``.
    crossed, crossed_all : DataFrame or None
        As in ``crossed.csv`` and ``crossed_all.csv``.
    apparent : DataFrame
        The final model's predictions for the patients it was fitted to.
    threshold : float
        Risk from which on a patient is called positive.
    claim : Claim
        What the text's order of steps would have claimed.
    comparators : list of dict
        Rows of ``comparators.csv``.
    predicted : Predicted or None
        By clinical variables, and by both, where there are any.
    centres : list of HeldOut
        Each centre, predicted from the others; none where that is not asked for or possible.
    """

    data: Dataset
    final: Trained
    folds: list[FoldResult]
    folds_all: list[FoldResult]
    predictions: pd.DataFrame
    predictions_all: pd.DataFrame | None
    crossed: pd.DataFrame | None
    crossed_all: pd.DataFrame | None
    apparent: pd.DataFrame
    threshold: float
    claim: Claim
    comparators: list[dict[str, Any]]
    predicted: Predicted | None
    centres: list[HeldOut]


def assemble(data: Dataset, parts: Mapping[str, list[Any]], seed: int) -> Result:
    """Put everything together that was done for a data set, by kind of work."""
    import pandas as pd

    (final,), folds = parts[FINAL], parts[FOLDS]
    fit, calibration = final.fit, final.calibration
    train = mean_of_repeats([fold.predicted for fold in folds]).assign(set="train")
    threshold = youden_threshold(train["label"], train["risk"])
    test = predict(data, fit, calibration, data.test).assign(set="test", fold=None)
    test = test.assign(threshold=threshold)
    predictions = pd.concat([train, test.astype({"fold": object})], ignore_index=True)
    columns = ["patient_id", "set", "fold", "label", "score", "risk", "radscore", "missed"]
    columns.append("threshold")
    everybody, tables = None, {"train": train, "test": test}
    if parts[FOLDS_ALL]:
        everybody = mean_of_repeats([fold.predicted for fold in parts[FOLDS_ALL]])
        tests = everybody["patient_id"].isin(data.test)
        everybody["set"] = np.where(tests, "test", "train")
        everybody = everybody[[name for name in columns if name != "fold"]]
        tables["all"] = everybody
    return Result(
        data=data,
        final=final,
        folds=folds,
        folds_all=parts[FOLDS_ALL],
        predictions=predictions[columns],
        predictions_all=everybody,
        crossed=_crossed(folds),
        crossed_all=_crossed(parts[FOLDS_ALL]),
        apparent=predict(data, fit, calibration, data.train).assign(threshold=threshold),
        threshold=threshold,
        claim=parts[LITERAL][0],
        comparators=_comparator_rows(parts, train, test),
        predicted=put_together(data, final, folds, parts[FOLDS_ALL], tables, seed),
        centres=parts[CENTRES],
    )


def _crossed(folds: list[FoldResult]) -> pd.DataFrame | None:
    tables = [fold.crossed for fold in folds if fold.crossed is not None]
    return mean_of_repeats(tables)[["patient_id", "risk"]] if tables else None


def _comparator_rows(
    parts: Mapping[str, list[Any]], train: pd.DataFrame, test: pd.DataFrame
) -> list[dict[str, Any]]:
    """Describe the recipe and then each comparator; nothing where there are none."""
    import pandas as pd

    names = [kind.removesuffix("/test") for kind in parts if kind.endswith("/test")]
    tables = [("svm", train, test)] if names else []
    tables += [
        (name, pd.concat(parts[f"{name}/train"]), parts[f"{name}/test"][0]) for name in names
    ]
    return [comparator_row(*table) for table in tables]


def metrics_of(result: Result, n_bootstrap: int, seed: int) -> dict[str, Any]:
    """Describe the predictions out-of-fold, on the fitted patients, and on the test patients."""
    by_set = dict(list(result.predictions.groupby("set")))
    empty = result.predictions.iloc[:0]
    tables = {
        "train_out_of_fold": by_set["train"],
        "train_apparent": result.apparent,
        "test": by_set.get("test", empty),
    }
    if result.predictions_all is not None:
        tables["all_out_of_fold"] = result.predictions_all
    figures: dict[str, Any] = {
        name: measure(
            table["label"], table["risk"], table["threshold"], table["missed"], n_bootstrap, seed
        )
        for name, table in tables.items()
    }
    figures["train_out_of_fold"]["auc_of_repeats"] = auc_of_repeats(
        result.folds, result.data.divisions
    )
    if result.predictions_all is not None:
        figures["all_out_of_fold"]["auc_of_repeats"] = auc_of_repeats(
            result.folds_all, result.data.divisions_all
        )
    return figures | {"threshold": result.threshold, "repeats": len(result.data.divisions)}


def auc_of_repeats(folds: Sequence[FoldResult], divisions: Sequence[Division]) -> list[float]:
    """Give the AUC out of fold by the models of each repeat alone; the folds are in its order."""
    import pandas as pd

    left, aucs = iter(folds), []
    for division in divisions:
        repeat = pd.concat([fold.predicted for fold in islice(left, len(division))])
        aucs.append(auc_interval(repeat["label"], repeat["risk"])[0])
    return aucs


def selection_table(result: Result) -> pd.DataFrame:
    """Tabulate the selected features, the largest coefficient first."""
    import pandas as pd

    fit, columns = (
        result.final.fit,
        ["feature", "coefficient", "t_p_value", "t_q_value", "icc", "frequency"],
    )
    selected = fit.selected()
    if not selected:
        return pd.DataFrame(columns=columns)
    steps = fit.steps
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


def selection_stability(result: Result) -> SelectionStability:
    """Measure how alike the selections of all refits are, by Nogueira's index.

    Its interval takes the refits as independent; folds of one study share most of their patients,
    so that it is narrower than the uncertainty of another sample.
    """
    features = result.final.fit.features
    selections = [set(fold.selected) for fold in result.folds]
    return nogueira([[name in chosen for name in features] for chosen in selections])


def lasso_tables(fit: Fit) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate the error by penalty, and the selected features' coefficients by penalty."""
    import pandas as pd

    path_columns = ["alpha", "mse_mean", "mse_sd", "mse_se", "n_nonzero", "chosen"]
    coefficient_columns = ["alpha", "feature", "coefficient"]
    if fit.empty_at not in (None, "lasso"):
        return pd.DataFrame(columns=path_columns), pd.DataFrame(columns=coefficient_columns)
    lasso = fit.steps["lasso"]
    path = pd.DataFrame(
        {
            "alpha": lasso.alphas_,
            "mse_mean": lasso.mse_.mean(axis=1),
            "mse_sd": lasso.mse_.std(axis=1, ddof=1),
            "mse_se": lasso.mse_.std(axis=1, ddof=1) / np.sqrt(lasso.mse_.shape[1]),
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

    path, coefficients = lasso_tables(result.final.fit)
    write_csv(folder / "predictions.csv", result.predictions)
    optional = {
        "predictions_all.csv": result.predictions_all,
        "crossed.csv": result.crossed,
        "crossed_all.csv": result.crossed_all,
        "comparators.csv": pd.DataFrame(result.comparators) if result.comparators else None,
    }
    for file, content in optional.items():
        if content is None:
            (folder / file).unlink(missing_ok=True)  # of earlier settings
        else:
            write_csv(folder / file, content)
    write_json(folder / "metrics.json", metrics_of(result, config.n_bootstrap, config.seed))
    write_csv(folder / "selection.csv", selection_table(result))
    write_csv(folder / "lasso_path.csv", path)
    write_csv(folder / "lasso_coefficients.csv", coefficients)
    write_json(folder / "literal.json", result.claim)
    write_centres(folder, result.data, result.centres)
    write_predictors(folder, result.predicted, result.final.calibration, config.predictors)
    folds = [fold.funnel for fold in result.folds]
    refits = {"stability": selection_stability(result), "folds": folds}
    write_json(folder / "funnel.json", result.final.fit.funnel() | refits)
    curves: dict[str, list[pd.DataFrame]] = {"roc": [], "calibration": [], "decision": []}
    for name, table in result.predictions.groupby("set", sort=False):
        labels, risks = table["label"].to_numpy(), table["risk"].to_numpy()
        curves["roc"].append(roc_table(labels, risks).assign(set=name))
        curves["calibration"].append(calibration_table(labels, risks).assign(set=name))
        decision = decision_curve(labels, risks)
        curves["decision"].append(decision.assign(set=name))
    for curve, parts in curves.items():
        joined = pd.concat(parts, ignore_index=True)
        joined.insert(0, "set", joined.pop("set"))
        write_csv(folder / "curves" / f"{curve}.csv", joined)
    fitted = result.data.X.loc[result.data.with_features(result.data.train)]
    return save_model(
        folder,
        result.final.fit,
        result.final.calibration,
        fitted,
        about
        | {
            "threshold": result.threshold,
            "n_train": len(fitted),
            "views": config.views,
            "recipe": config.resolved_recipe(),
            "settings": config,
        },
    )
