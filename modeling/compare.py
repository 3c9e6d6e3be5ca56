"""The stage `compare`: what changes when other masks take the place of manual ones.

``comparison/auc.csv``: ``target, set (train|test|all), rule, n, n_missed, auc_manual,
auc_automatic, difference (automatic minus manual), lower, upper, p_delong, bootstrap_lower,
bootstrap_upper``. Both AUCs are of risks, on the same patients and folds; those of the training set
are out-of-fold, and so are those of all patients, where the classifiers were validated on all.
``comparison/summary.json`` holds the rules in words, what was declared, counts, and what was left
out. The other tables, of which those without rows are not there: see :mod:`.agreement` (stability
of the features), :mod:`.compare_features` (ICC by Dice, bias), :mod:`.compare_risks`
(non-inferiority, agreement, reclassification, decision curves, calibration),
:mod:`.cross_application` and :mod:`.subgroups_files` (Dice by group).

In a study of manual masks alone only ``summary.json`` and the stability of the features are there,
between two readers and under perturbations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_csv, read_json, write_csv, write_json
from .agreement import SOURCES, UNITS, feature_agreement, stability_table, summarise
from .combat import batches_of
from .compare_classes import compare_classes
from .compare_config import CompareStage
from .compare_features import FEW_IMAGES, feature_bias, icc_by_dice, summarise_bias
from .compare_risks import compare_risks
from .config import ModelingConfig
from .cross_application import cross_rows, crossed_risks
from .discrimination import auc_difference, bootstrap_auc_difference
from .noninferiority import ONE_SIDED_LEVEL, POWER
from .pairs import dice_of, pair_predictions
from .reclassification import CAVEAT
from .repeats import load_perturbed, patients_of
from .subgroups_files import dice_by_group
from .table import (
    ROIS,
    SECOND_READER,
    check_made_alike,
    feature_names,
    has_features,
    load_features,
    missed_images,
)

if TYPE_CHECKING:
    import pandas as pd

_SOME_IMAGES = "One whose lesion was found in some of her images is judged by those. "
RULES = {
    "complete_case": (
        "Patients with a lesion found in every image by the automatic masks, and measured."
    ),
    "intention_to_diagnose": (
        f"All patients whom the manual masks measure. {_SOME_IMAGES}One whose lesion was found in "
        "none, or could not be measured, gets the prevalence of the training patients as risk."
    ),
}
"""Who is counted, in words; see :func:`rules_of`."""
AUC_COLUMNS = [
    "target", "set", "rule", "n", "n_missed", "auc_manual", "auc_automatic", "difference",
    "lower", "upper", "p_delong", "bootstrap_lower", "bootstrap_upper",
]  # fmt: skip


log = logging.getLogger(__name__)


def rules_of(views: str) -> dict[str, str]:
    """Who is counted, in words: of CC and MLO side by side one view alone makes no row."""
    if views != "concat":
        return RULES
    everybody = RULES["intention_to_diagnose"].replace(_SOME_IMAGES, "")
    return RULES | {"intention_to_diagnose": everybody.replace("in none", "in no image of a view")}


def compare(config: CompareStage | ModelingConfig, study: Path) -> Path:
    """Compare manual and automatic ROIs: features, and classifiers by their risks.

    Parameters
    ----------
    config : CompareStage or ModelingConfig
        Bootstrap, seed, views and ICC threshold, and what was declared about the comparison; the
        declarations' defaults where only the former are given.
    study : Path
        A study folder with ``features/`` of manual masks; where automatic ones were drawn, with
        theirs, too, and with ``models/``.

    Returns
    -------
    Path
        ``comparison/``.

    Raises
    ------
    MammoroiError
        When masks were drawn, and there are no features of them, or predictions of the two sources
        rest on different folds.
    """
    stage = config if isinstance(config, CompareStage) else CompareStage(config)
    manual, automatic = ROIS
    if (study / "masks" / "predictions.csv").exists() and not has_features(study, automatic):
        raise MammoroiError(
            "there are no features of automatic masks, so there is nothing to compare",
            "run 'train', 'segment' and 'extract', then 'model'",
        )
    sources = [manual, *(roi for roi in (automatic, SECOND_READER) if has_features(study, roi))]
    tables = {roi: load_features(study, roi) for roi in sources}
    check_made_alike(list(tables.values()))
    images = {roi: table.images for roi, table in tables.items()}
    perturbed = load_perturbed(study, tables[manual])
    found = {
        name: feature_agreement([images[manual], images[roi]], "2,1")
        for name, roi in (("automatic", automatic), ("reader", SECOND_READER))
        if roi in images
    }
    if perturbed:
        found["perturbation"] = feature_agreement([images[manual], *perturbed.values()], "1,1")
    written = stability(feature_names(images[manual]), found, stage.modeling.icc_threshold)
    about: dict[str, Any] = {
        "n_images_manual": len(images[manual]),
        "n_images_both_readers": _both(images, SECOND_READER),
        "perturbations": list(perturbed),
        "icc": {source: UNITS[source] for source in SOURCES if source in found},
        "icc_threshold": stage.modeling.icc_threshold,
    }
    if automatic in images:
        compared, more = compare_sources(stage, study, images)
        written, about = written | compared, more | about
    folder = study / "comparison"
    for earlier in folder.glob("*.csv"):  # a table that has no rows now must not keep those of then
        earlier.unlink()
    for table, frame in written.items():
        write_csv(folder / f"{table}.csv", frame)
    write_json(folder / "summary.json", about)
    return folder


def _both(images: dict[str, pd.DataFrame], roi: str) -> int:
    """Count the images of which the manual masks and another source have features."""
    if roi not in images:
        return 0
    return int(images[ROIS[0]]["image_id"].isin(images[roi]["image_id"]).sum())


def compare_sources(
    stage: CompareStage, study: Path, images: dict[str, pd.DataFrame]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Compare features and classifiers of automatic with those of manual masks.

    Parameters
    ----------
    stage : CompareStage
        The settings.
    study : Path
        The study folder.
    images : dict
        Feature tables by source, a row for each image.

    Returns
    -------
    tuple of dict and dict
        Tables by file name, and entries for ``summary.json``.
    """
    import pandas as pd

    manual, automatic = (images[roi] for roi in ROIS)
    written = compare_features(stage, manual, automatic, dice_of(study))
    n_dice = int(written["icc_dice_summary"].query("group == 'all'")["n_images"].sum())

    missed = missed_images(study)
    patients = read_csv(study / "patients.csv", dtype=str)
    batches = batches_of(patients, study, stage.modeling)
    left_out: dict[str, list[str]] = {}
    parts: dict[str, list[pd.DataFrame]] = {}
    for target in read_json(study / "models" / "targets.json"):
        if set(target["rois"]) != set(ROIS):
            continue
        name = target["target"]
        pairs, left_out[name] = pair_predictions(study / "models" / name)
        for table, part in compare_target(
            study / "models" / name, pairs, set(missed["patient_id"]), images, stage, batches
        ):
            part.insert(0, "target", name)
            parts.setdefault(table, []).append(part)
    written |= {table: pd.concat(found, ignore_index=True) for table, found in parts.items()}
    for line in uncalibrated(written.get("calibration", pd.DataFrame())):
        log.warning("%s", line)
    classes = compare_classes(study, set(missed["patient_id"]), list(RULES), stage.modeling)
    if len(classes):
        written["classes"] = classes
    written.setdefault("auc", pd.DataFrame(columns=AUC_COLUMNS))
    written["subgroups_dice"] = dice_by_group(
        study, stage.modeling.n_bootstrap, stage.modeling.seed
    )
    return written, {
        "rules": rules_of(stage.modeling.views),
        "difference": "AUC with automatic minus AUC with manual ROIs",
        "declared": stage.declared,
        "one_sided_level": ONE_SIDED_LEVEL,
        "power": POWER,
        "net_reclassification": CAVEAT,
        "few_images": FEW_IMAGES,
        "targets": list(left_out),
        "predicted_from_one_source_only": left_out,
        "n_images_automatic": len(automatic),
        "n_images_missed": len(missed),
        "n_patients_with_a_missed_image": int(missed["patient_id"].nunique()),
        "n_patients_without_any_automatic_mask": len(
            set(missed["patient_id"]) - set(automatic["patient_id"])
        ),
        "n_images_both_sources": _both(images, ROIS[1]),
        "n_images_both_sources_with_dice": n_dice,
        "n_bootstrap": stage.modeling.n_bootstrap,
        "seed": stage.modeling.seed,
    }


def uncalibrated(table: pd.DataFrame) -> list[str]:
    """Say of which risks calibration cannot be estimated: a line for each target.

    Parameters
    ----------
    table : DataFrame
        ``calibration.csv``.
    """
    lines: list[str] = []
    columns = ["calibration_intercept", "calibration_slope"]
    if table.empty:
        return lines
    for target, rows in table.groupby("target", sort=False):
        lost = rows[rows[columns].isna().any(axis=1)]
        where = [f"{row['set']} {row['roi']}" for row in lost.to_dict("records")]
        if where:
            lines.append(
                f"{target}: intercept or slope of calibration cannot be estimated "
                f"({', '.join(dict.fromkeys(where))}; {int(lost['n'].min())} patients at fewest): "
                "a class is absent, or the risks separate the classes or are all alike"
            )
    return lines


def stability(
    features: list[str], found: dict[str, pd.DataFrame], threshold: float
) -> dict[str, pd.DataFrame]:
    """Tabulate the ICC of each feature, by source, and their summary; tables by file name."""
    import pandas as pd

    if not found:
        return {}
    table = stability_table(features, found)
    summaries = [summarise(table, source, threshold) for source in SOURCES if source in found]
    return {"stability": table, "icc_summary": pd.concat(summaries, ignore_index=True)}


def compare_features(
    stage: CompareStage, manual: pd.DataFrame, automatic: pd.DataFrame, dice: pd.Series
) -> dict[str, pd.DataFrame]:
    """Compare the features: ICC by Dice, and bias; tables by file name."""
    settings = stage.modeling
    icc_dice, icc_dice_summary = icc_by_dice(
        manual, automatic, dice, stage.declared.dice_cuts, settings.icc_threshold
    )
    bias = feature_bias(*patients_of([manual, automatic], settings.views))
    return {
        "icc_dice": icc_dice,
        "icc_dice_summary": icc_dice_summary,
        "feature_bias": bias,
        "feature_bias_summary": summarise_bias(bias),
    }


def compare_target(
    folder: Path,
    pairs: pd.DataFrame,
    with_missed_image: set[str],
    images: dict[str, pd.DataFrame],
    stage: CompareStage,
    batches: pd.Series | None,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Compare the risks of one target, by set and rule.

    Parameters
    ----------
    folder : Path
        ``models/<target>``.
    pairs : DataFrame
        See :func:`pair_predictions`.
    with_missed_image : set of str
        Patients with an image in which the automatic masks found nothing.
    images : dict
        Feature tables by source, a row for each image.
    stage : CompareStage
        The settings.
    batches : Series or None
        Each patient's centre or device, where features are harmonised.

    Yields
    ------
    tuple of str and DataFrame
        A file's name without ending, and rows for it, from the column ``set`` on.
    """
    import pandas as pd

    settings = stage.modeling
    own = {roi: read_json(folder / roi / "metrics.json")["threshold"] for roi in ROIS}
    complete = ~pairs["missed"] & ~pairs["patient_id"].isin(with_missed_image)
    for name, part in pairs.groupby("set", sort=False):
        crossed = {
            roi: crossed_risks(folder, roi, str(name), images[other], part["patient_id"], batches)
            for roi, other in zip(ROIS, reversed(ROIS), strict=True)
        }
        for rule in RULES:
            chosen = part[complete[part.index]] if rule == "complete_case" else part
            if chosen.empty:
                continue
            found = {
                "auc": pd.DataFrame([_auc_row(chosen, settings)]),
                **compare_risks(
                    chosen,
                    stage.declared.margin_auc,
                    stage.declared.risk_thresholds,
                    own,
                    settings.n_bootstrap,
                    settings.seed,
                ),
                "cross_application": pd.DataFrame(cross_rows(chosen, crossed)),
            }
            for table, rows in found.items():
                rows.insert(0, "set", name)
                rows.insert(1, "rule", rule)
                yield table, rows


def _auc_row(chosen: pd.DataFrame, config: ModelingConfig) -> dict[str, Any]:
    label = chosen["label"].to_numpy()
    risks = chosen["risk_automatic"].to_numpy(), chosen["risk_manual"].to_numpy()
    found = auc_difference(label, *risks)
    lower, upper = bootstrap_auc_difference(label, *risks, n=config.n_bootstrap, seed=config.seed)
    values = (
        len(chosen), int(chosen["missed"].sum()), found.second, found.first, found.difference,
        found.lower, found.upper, found.p_value, lower, upper,
    )  # fmt: skip
    return dict(zip(AUC_COLUMNS[3:], values, strict=True))
