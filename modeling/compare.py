"""The stage `compare`: what changes when automatic masks take the place of manual ones.

``comparison/auc.csv``: ``target, set (train|test), rule, n, n_missed, auc_manual, auc_automatic,
difference (automatic minus manual), lower, upper, p_delong, bootstrap_lower, bootstrap_upper``.
Both AUCs are of risks, on the same patients and folds; those of the training set are out-of-fold.
``comparison/summary.json`` holds the rules in words, counts, and what was left out. The
stability of the features: see :mod:`.agreement`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_csv, read_json, write_csv, write_json
from .agreement import SOURCES, UNITS, feature_agreement, stability_table, summarise
from .config import ModelingConfig
from .discrimination import auc_difference, bootstrap_auc_difference
from .repeats import load_perturbed
from .table import (
    ROIS,
    SECOND_READER,
    check_same_settings,
    feature_names,
    has_features,
    load_features,
    missed_images,
)

if TYPE_CHECKING:
    import pandas as pd

RULES = {
    "complete_case": "Patients with a lesion found in every image by the automatic masks.",
    "intention_to_diagnose": (
        "All patients. One whose lesion was found in some of her images is judged by those. One "
        "whose lesion was found in none gets the prevalence of the training patients as risk, "
        "since nothing was measured."
    ),
}
AUC_COLUMNS = [
    "target", "set", "rule", "n", "n_missed", "auc_manual", "auc_automatic", "difference",
    "lower", "upper", "p_delong", "bootstrap_lower", "bootstrap_upper",
]  # fmt: skip


def compare(config: ModelingConfig, study: Path) -> Path:
    """Compare manual and automatic ROIs: classifiers by AUC, features by ICC.

    Parameters
    ----------
    config : ModelingConfig
        Bootstrap, seed and ICC threshold.
    study : Path
        A study folder with ``models/`` and ``features/`` of both sources.

    Returns
    -------
    Path
        ``comparison/``.

    Raises
    ------
    MammoroiError
        When there are no features of automatic masks, or predictions of the two sources rest on
        different folds.
    """
    import pandas as pd

    if not has_features(study, ROIS[1]):
        raise MammoroiError(
            "there are no features of automatic masks, so there is nothing to compare",
            "run 'train', 'segment' and 'extract', then 'model'",
        )
    tables = {roi: load_features(study, roi) for roi in ROIS}
    if has_features(study, SECOND_READER):
        tables[SECOND_READER] = load_features(study, SECOND_READER)
    check_same_settings(list(tables.values()))
    manual, automatic = tables[ROIS[0]].images, tables[ROIS[1]].images
    second = tables[SECOND_READER].images if SECOND_READER in tables else None
    folder = study / "comparison"

    found = {"automatic": feature_agreement([manual, automatic], "2,1")}
    if second is not None:
        found["reader"] = feature_agreement([manual, second], "2,1")
    perturbed = load_perturbed(study, tables[ROIS[0]])
    if perturbed:
        found["perturbation"] = feature_agreement([manual, *perturbed.values()], "1,1")
    stability = stability_table(feature_names(manual), found)
    write_csv(folder / "stability.csv", stability)
    summaries = [
        summarise(stability, source, config.icc_threshold) for source in SOURCES if source in found
    ]
    write_csv(folder / "icc_summary.csv", pd.concat(summaries, ignore_index=True))

    missed = missed_images(study)
    rows: list[dict[str, Any]] = []
    left_out: dict[str, list[str]] = {}
    for target in read_json(study / "models" / "targets.json"):
        if set(target["rois"]) != set(ROIS):
            continue
        name = target["target"]
        pairs, only_one = pair_predictions(study / "models" / name)
        left_out[name] = only_one
        rows += compare_target(name, pairs, set(missed["patient_id"]), config)
    write_csv(folder / "auc.csv", pd.DataFrame(rows, columns=AUC_COLUMNS))
    write_json(
        folder / "summary.json",
        {
            "rules": RULES,
            "difference": "AUC with automatic minus AUC with manual ROIs",
            "targets": list(left_out),
            "predicted_from_one_source_only": left_out,
            "n_images_manual": len(manual),
            "n_images_automatic": len(automatic),
            "n_images_missed": len(missed),
            "n_patients_with_a_missed_image": int(missed["patient_id"].nunique()),
            "n_patients_without_any_automatic_mask": len(
                set(missed["patient_id"]) - set(automatic["patient_id"])
            ),
            "n_images_both_sources": int(manual["image_id"].isin(automatic["image_id"]).sum()),
            "n_images_both_readers": 0
            if second is None
            else int(manual["image_id"].isin(second["image_id"]).sum()),
            "perturbations": list(perturbed),
            "icc": {source: UNITS[source] for source in SOURCES if source in found},
            "icc_threshold": config.icc_threshold,
            "n_bootstrap": config.n_bootstrap,
            "seed": config.seed,
        },
    )
    return folder


def pair_predictions(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Join the predictions of both sources for a target.

    Returns
    -------
    pairs : DataFrame
        ``patient_id, set, fold, label, risk_manual, risk_automatic, missed``.
    only_one : list of str
        Patients whom one source only predicts (a failed extraction); they are not compared.

    Raises
    ------
    MammoroiError
        When a patient's set, fold or label differs between the two.
    """
    manual, automatic = (
        read_csv(folder / roi / "predictions.csv", dtype={"patient_id": str, "fold": str})
        for roi in ROIS
    )
    pairs = manual.merge(automatic, on="patient_id", suffixes=("_manual", "_automatic"))
    for column in ("set", "fold", "label"):
        left, right = pairs[f"{column}_manual"], pairs[f"{column}_automatic"]
        different = pairs[(left != right) & ~(left.isna() & right.isna())]
        if len(different):
            raise MammoroiError(
                f"{folder}: patient {different['patient_id'].iloc[0]} has another {column} with "
                "automatic than with manual ROIs",
                "run the stage 'model' again for both",
            )
    only_one = sorted(set(manual["patient_id"]) ^ set(automatic["patient_id"]))
    names = {f"{column}_manual": column for column in ("set", "fold", "label")}
    pairs = pairs.rename(columns=names | {"missed_automatic": "missed"})
    columns = ["patient_id", "set", "fold", "label", "risk_manual", "risk_automatic", "missed"]
    return pairs[columns], only_one


def compare_target(
    target: str, pairs: pd.DataFrame, with_missed_image: set[str], config: ModelingConfig
) -> list[dict[str, Any]]:
    """Compare the AUCs of one target, by set and rule; rows of ``auc.csv``."""
    rows = []
    complete = ~pairs["missed"] & ~pairs["patient_id"].isin(with_missed_image)
    for name, part in pairs.groupby("set", sort=False):
        for rule in RULES:
            chosen = part[complete[part.index]] if rule == "complete_case" else part
            label = chosen["label"].to_numpy()
            risks = chosen["risk_automatic"].to_numpy(), chosen["risk_manual"].to_numpy()
            found = auc_difference(label, *risks)
            lower, upper = bootstrap_auc_difference(
                label, *risks, n=config.n_bootstrap, seed=config.seed
            )
            values = (
                target, name, rule, len(chosen), int(chosen["missed"].sum()),
                found.second, found.first, found.difference, found.lower, found.upper,
                found.p_value, lower, upper,
            )  # fmt: skip
            rows.append(dict(zip(AUC_COLUMNS, values, strict=True)))
    return rows
