"""Read a finished study folder: every file that the report shows, checked before anything is drawn.

A required file that is missing or broken stops the report and names the stage that writes it.
Files that a sound study may lack (second reader, exclusions, failures, overlays, histories, the
run record) come back empty; so do features, classifiers and their comparison where the settings of
the study name no task, and automatic masks and all that is compared where they ask for manual ones
alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_csv, read_json
from ..modeling.config import ModelingConfig
from .record import Record
from .results import SETS, FeatureSet, Results, RoiResult, Target

if TYPE_CHECKING:
    import pandas as pd

ROIS = ("manual", "automatic", "reader2")
FUNNEL = ("extracted", "stable", "complete", "t_test", "lasso")
FAILURE_COLUMNS = ("case", "stage", "error", "action")

_TEXT = {"image_id": str, "patient_id": str, "case": str, "fold": str, "group": str}


def read_results(folder: Path) -> Results:
    """Read all results in a study folder.

    Raises
    ------
    MammoroiError
        When a required file is missing, unreadable or lacks a column; it names the file and the
        command that writes it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MammoroiError(f"there is no folder {folder}", "give the folder of a finished study")
    record = Record(folder)
    classifiers, automatic = record.classifiers, record.automatic
    compared = classifiers and automatic
    auc = _asked(compared, folder, "comparison/auc.csv", "compare", _AUC)
    _check_sign(auc)
    return Results(
        folder=folder,
        cohort=_json(folder, "cohort.json", "study"),
        images=_table(folder, "cohort.csv", "study", ("image_id", "patient_id", "view")),
        patients=_table(folder, "patients.csv", "study", ("patient_id",)),
        splits=_splits(folder),
        excluded=_optional(folder, "excluded.csv", FAILURE_COLUMNS),
        failures={
            stage: _optional(folder, name, FAILURE_COLUMNS) for stage, name in _FAILURES.items()
        },
        masks=_asked(automatic, folder, "masks/predictions.csv", "segment", _MASKS),
        agreement=_needed(automatic, folder, "agreement.csv", "agree", _AGREEMENT),
        agreement_summary=_needed(automatic, folder, "agreement_summary.csv", "agree", _SUMMARY),
        overlays=_optional(folder, "overlays/overlays.csv", ("image_id", "rank", "dice", "file")),
        histories={
            path.parent.name: _table(folder, path.relative_to(folder).as_posix(), "train", _HISTORY)
            for path in sorted(folder.glob("segmentation/fold-*/history.csv"))
            if automatic
        },
        features=_features(folder, automatic) if classifiers else {},
        missed=_optional(folder, "features/missed.csv", ("image_id", "patient_id", "roi")),
        targets=[_target(folder, entry) for entry in _targets(folder)] if classifiers else [],
        auc=auc,
        stability=_needed(compared, folder, "comparison/stability.csv", "compare", _STABILITY),
        icc_threshold=_optional_json(folder, "comparison/summary.json").get(
            "icc_threshold", ModelingConfig.icc_threshold
        ),
        paired={
            name: _table(folder, f"comparison/{name}.csv", "compare", columns)
            for name, columns in _PAIRED.items()
            if compared and (folder / f"comparison/{name}.csv").exists()
        },
        run=_json(folder, "run.json", "study") if (folder / "run.json").exists() else {},
    )


_SPLITS = ("seed", "test_size", "stratify", "train", "test", "folds")
_MASKS = ("image_id", "fold", "found")
_AGREEMENT = ("image_id", "patient_id", "comparison", "dice")
_SUMMARY = ("comparison", "group", "metric", "n", "mean", "mean_lower", "mean_upper", "median")
_FAILURES = {
    "others": "segmentation/prepared/others/failures.csv",
    "masks": "masks/failures.csv",
    "normals": "masks/normals/failures.csv",
    "agreement": "agreement_failures.csv",
    "features": "features/failures.csv",
    "stability": "stability/failures.csv",
    "models": "models/failures.csv",
}
_HISTORY = ("epoch", "train_loss", "tuning_loss", "tuning_dice")
_STABILITY = ("feature", "family", "image_type", "icc_reader", "icc_perturbation", "icc_automatic")
_PAIRED: dict[str, tuple[str, ...]] = {
    "noninferiority": (
        *("target", "set", "rule", "n", "margin", "difference", "lower", "upper", "verdict"),
        *("minimal_detectable_difference", "patients_needed", "manual_above_chance"),
    ),
    "icc_dice_summary": (
        *("stratum", "n_images", "few", "group", "n_features", "n_stable", "median"),
    ),
    "risk_agreement": (
        *("target", "set", "rule", "bias", "bias_lower", "bias_upper"),
        *("limit_lower", "limit_lower_from", "limit_lower_to"),
        *("limit_upper", "limit_upper_from", "limit_upper_to"),
    ),
    "cross_application": (
        *("target", "set", "rule", "trained_on", "applied_to", "n", "n_missed", "auc"),
        *("difference", "calibration_intercept", "calibration_slope"),
    ),
    "net_reclassification": ("target", "set", "rule", "group", "n", "n_up", "n_down", "nri"),
    "subgroups_dice": (
        *("comparison", "grouping", "group", "n_images", "stated"),
        *("dice", "dice_lower", "dice_upper"),
    ),
    "decision_difference": ("target", "set", "rule", "threshold", "difference", "lower", "upper"),
}
_PREDICTORS = (
    *("set", "predictor", "n", "n_positive", "auc", "auc_lower", "auc_upper", "brier"),
    *("over_radiomics", "over_radiomics_lower", "over_radiomics_upper", "over_radiomics_p"),
    *("over_clinical", "over_clinical_lower", "over_clinical_upper", "over_clinical_p"),
    *("calibration_slope", "calibration_slope_lower", "calibration_slope_upper"),
)
_INCREMENT = ("set", "predictor", "threshold", "difference", "lower", "upper")
_CENTRES = (
    *("centre", "n", "n_positive", "held_out", "reason", "auc", "auc_lower", "auc_upper"),
    *("calibration_intercept", "calibration_slope", "observed_expected"),
)
_CENTRES_SUMMARY = (
    *("quantity", "k", "estimate", "lower", "upper", "prediction_lower", "prediction_upper"),
    *("tau2", "i2", "p_value"),
)
_NOMOGRAM = ("variable", "value", "points", "risk")
_SUBGROUPS = (
    *("set", "grouping", "group", "n", "n_positive", "stated", "auc", "auc_lower", "auc_upper"),
    *("calibration_intercept", "calibration_slope", "observed_expected"),
)
_HETEROGENEITY = ("set", "grouping", "p_holm")
_AUC = (
    *("target", "set", "rule", "n", "n_missed", "auc_manual", "auc_automatic"),
    *("difference", "lower", "upper", "p_delong", "bootstrap_lower", "bootstrap_upper"),
)


def _absent(path: Path, command: str) -> MammoroiError:
    return MammoroiError(f"{path} does not exist", f"run `mammoroi {command}` first")


def _table(folder: Path, name: str, command: str, columns: Iterable[str]) -> pd.DataFrame:
    path = folder / name
    if not path.exists():
        raise _absent(path, command)
    table = read_csv(path, dtype=_TEXT)
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise MammoroiError(
            f"{path} has no column {', '.join(lacking)}", f"run `mammoroi {command}` again"
        )
    return table


def _optional(folder: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    if (folder / name).exists():
        return _table(folder, name, "study", columns)
    return pd.DataFrame(columns=list(columns))


def _optional_json(folder: Path, name: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    return _json(folder, name, "model", keys) if (folder / name).exists() else found


def _json(folder: Path, name: str, command: str, keys: Iterable[str] = ()) -> Any:
    path = folder / name
    if not path.exists():
        raise _absent(path, command)
    value = read_json(path)
    lacking = [key for key in keys if key not in value]
    if lacking:
        raise MammoroiError(
            f"{path} has no entry {', '.join(lacking)}", f"run `mammoroi {command}` again"
        )
    return value


def _splits(folder: Path) -> dict[str, Any]:
    splits: dict[str, Any] = _json(folder, "splits.json", "study", _SPLITS)
    return splits


def _features(folder: Path, automatic: bool) -> dict[str, FeatureSet]:
    import pyarrow.parquet as pq

    found = {}
    for roi in ROIS if automatic else ("manual", "reader2"):
        path = folder / f"features/{roi}.parquet"
        if not path.exists():
            if roi == "reader2":
                continue
            raise _absent(path, "extract")
        try:
            rows = pq.read_metadata(path).num_rows
        except (OSError, ValueError) as error:
            raise MammoroiError(
                f"{path} is not a table: {error}", "delete it and run `mammoroi extract` again"
            ) from None
        found[roi] = FeatureSet(roi, rows, _json(folder, f"features/{roi}.json", "extract"))
    return found


def _targets(folder: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = _json(folder, "models/targets.json", "model")
    if not entries:
        raise MammoroiError(
            f"{folder / 'models/targets.json'} names no target",
            "declare a task and run `mammoroi model` again",
        )
    return entries


def _target(folder: Path, entry: dict[str, Any]) -> Target:
    name = entry["target"]
    return Target(
        name=name,
        task=entry["task"],
        title=entry["title"].removesuffix(f": {entry['positive']} against the rest"),
        label=entry["label"],
        positive=str(entry["positive"]),
        negative=str(entry["negative"]),
        results={roi: _roi_result(folder, f"models/{name}/{roi}", roi) for roi in entry["rois"]},
    )


def _roi_result(folder: Path, base: str, roi: str) -> RoiResult:
    def table(name: str, *columns: str) -> pd.DataFrame:
        result = _table(folder, f"{base}/{name}", "model", columns)
        return (
            result.assign(set=result["set"].replace("train_out_of_fold", "train"))
            if ("set" in result)
            else result
        )

    funnel = _json(folder, f"{base}/funnel.json", "model", ("icc_source", "icc_patients"))
    recipe = _optional_json(folder, f"{base}/model.json").get("recipe", {})
    filtered = recipe.get("t_test_alpha", 0.0) < 1  # a filter at 1 is off, and removes nothing
    steps = [step for step in FUNNEL if step != "t_test" or filtered]
    return RoiResult(
        roi=roi,
        predictions=table("predictions.csv", "patient_id", "set", "label", "risk"),
        metrics=_json(folder, f"{base}/metrics.json", "model", (*SETS.values(), "threshold")),
        selection=table("selection.csv", "feature", "coefficient", "frequency"),
        funnel={step: n for step in steps if (n := funnel.get(step)) is not None},
        icc_source=funnel["icc_source"],
        icc_patients=funnel["icc_patients"],
        lasso_path=table("lasso_path.csv", "alpha", "mse_mean", "mse_sd", "n_nonzero", "chosen"),
        lasso_coefficients=table("lasso_coefficients.csv", "alpha", "feature", "coefficient"),
        roc=table("curves/roc.csv", "set", "false_positive_rate", "true_positive_rate"),
        calibration=table("curves/calibration.csv", "set", "predicted", "observed", "n"),
        decision=table("curves/decision.csv", "set", "threshold", "net_benefit", "treat_all"),
        predictors=_optional(folder, f"{base}/predictors.csv", _PREDICTORS),
        predictors_decision=_optional(folder, f"{base}/predictors_decision.csv", _INCREMENT),
        nomogram=_optional(folder, f"{base}/nomogram.csv", _NOMOGRAM),
        about_predictors=_optional_json(folder, f"{base}/predictors.json", ("skipped",)),
        recipe=recipe,
        claim=_optional_json(folder, f"{base}/literal.json", ("n_features", "test", "test_refit")),
        stability=funnel.get("stability") or {},
        n_refits=len(funnel.get("folds") or []),
        subgroups=_optional(folder, f"{base}/subgroups.csv", _SUBGROUPS),
        heterogeneity=_optional(folder, f"{base}/heterogeneity.csv", _HETEROGENEITY),
        centres=_optional(folder, f"{base}/centres.csv", _CENTRES),
        centres_summary=_optional(folder, f"{base}/centres_summary.csv", _CENTRES_SUMMARY),
    )


def _asked(
    asked: bool, folder: Path, name: str, command: str, columns: tuple[str, ...]
) -> pd.DataFrame:
    """A table that must be there in a study that asks for it; one without rows in others."""
    import pandas as pd

    if asked:
        return _table(folder, name, command, columns)
    return pd.DataFrame(columns=list(columns))


def _needed(
    needed: bool, folder: Path, name: str, command: str, columns: tuple[str, ...]
) -> pd.DataFrame:
    """A table that must be there in a study that needs it, and may be in others."""
    there = needed or (folder / name).exists()
    return _asked(there, folder, name, command, columns)


def _check_sign(auc: pd.DataFrame) -> None:
    """Refuse a comparison whose difference is not automatic minus manual."""
    if auc.empty:
        return
    gap = (auc["auc_automatic"] - auc["auc_manual"] - auc["difference"]).abs()
    if (gap > 1e-3).any():
        row = auc.iloc[int(gap.to_numpy().argmax())]
        raise MammoroiError(
            f"comparison/auc.csv, {row['target']}, {row['set']}: the difference is not the "
            "automatic AUC minus the manual AUC",
            "run `mammoroi compare` again",
        )
