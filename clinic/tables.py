"""Results as tables and JSON; nothing in them says who a patient is.

``predictions.csv``
    A row for each image that was processed: ``image_id, patient_id, view, laterality, file, found,
    area_mm2, mean_probability, entropy, expected_dice, member_dice`` (:mod:`..segmentation.
    uncertainty`), ``uncertain`` (whether the study's flag calls the mask so), ``spacing_row_mm,
    spacing_column_mm, spacing_source``, ``breast_low, breast_median, breast_high`` (grey levels,
    see :mod:`.ranges`), ``flags`` (codes, a blank between them) and
    ``model_sha256`` (of the bundle).
``features.csv``
    A row for each image in which a lesion was found and measured: ``image_id, patient_id, view,
    laterality``, then the features.
``risks.csv``
    A row for each patient and classifier, the columns :data:`RISK_COLUMNS`; where no risk can be
    given, ``flags`` say why and the risk is empty. ``n_train`` to ``auc_upper`` are of the
    classifier: its training patients, and its AUC on the study's test patients.
``classes.csv``, where the bundle holds a question of three or more classes
    A row for each patient, question and class, the columns :data:`CLASS_COLUMNS`: the probability
    of the class (``risk``; those of a question add up to 1) and whether it is the most probable
    one.
    ``n_test`` to ``macro_auc_upper`` are of the study's test patients.
``results.json``
    All of it but the features, with every flag's sentence: ``model``, ``patients``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .bundle import Bundle
from .results import Flag, ImageResult, PatientResult, Risk

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("breast_low", "breast_median", "breast_high")
KEYS = ("image_id", "patient_id", "view", "laterality")
PREDICTION_COLUMNS = (
    *KEYS, "file", "found", "area_mm2", "mean_probability", "entropy", "expected_dice",
    "member_dice", "uncertain", "spacing_row_mm", "spacing_column_mm", "spacing_source",
    "breast_low", "breast_median", "breast_high", "flags", "model_sha256",
)  # fmt: skip
RISK_COLUMNS = (
    "target", "positive", "patient_id", "n_images", "score", "risk", "lower", "upper", "radscore",
    "above_threshold", "threshold", "n_filled", "n_outside", "n_train", "n_test", "auc",
    "auc_lower", "auc_upper", "flags",
)  # fmt: skip


CLASS_COLUMNS = (
    "task", "class", "patient_id", "risk", "most_probable", "n_test", "macro_auc",
    "macro_auc_lower", "macro_auc_upper", "flags",
)  # fmt: skip


def prediction_row(image: ImageResult, bundle: Bundle) -> dict[str, Any]:
    """Describe one image and its mask."""
    uncertain = None
    if bundle.uncertainty is not None:
        uncertain = bundle.uncertainty.uncertain(image.expected_dice or 0.0)
    return {
        **{key: getattr(image, key) for key in KEYS},
        "file": image.file,
        "found": image.found,
        "area_mm2": image.area_mm2,
        "mean_probability": image.mean_probability,
        "entropy": image.entropy,
        "expected_dice": image.expected_dice or 0.0,
        "member_dice": image.member_dice,
        "uncertain": uncertain,
        "spacing_row_mm": image.spacing_mm[0],
        "spacing_column_mm": image.spacing_mm[1],
        "spacing_source": image.spacing_source,
        **{name: image.numbers.get(name) for name in LEVELS},
        "flags": _codes(image.flags),
        "model_sha256": bundle.sha256,
    }


def feature_row(image: ImageResult) -> dict[str, Any]:
    """Give the features of one image in which a lesion was measured."""
    return {key: getattr(image, key) for key in KEYS} | (image.features or {})


def risk_row(patient_id: str, risk: Risk) -> dict[str, Any]:
    """Describe one risk; of one that was not given the figures are empty."""
    given = risk.risk is not None
    return {
        "patient_id": patient_id,
        **{name: getattr(risk, name) for name in RISK_COLUMNS if hasattr(risk, name)},
        "n_filled": risk.n_filled if given else None,
        "n_outside": risk.n_outside if given else None,
        "n_test": risk.tested.n if risk.tested else None,
        "auc": risk.tested.auc if risk.tested else None,
        "auc_lower": risk.tested.lower if risk.tested else None,
        "auc_upper": risk.tested.upper if risk.tested else None,
        "flags": _codes(risk.flags),
    }


def class_rows(patient: PatientResult) -> list[dict[str, Any]]:
    """Describe a patient's classes; of what was not given the figures are empty."""
    rows = []
    for one in patient.classes:
        tested = one.tested
        about = {
            "task": one.task,
            "patient_id": patient.patient_id,
            "n_test": tested.n if tested else None,
            "macro_auc": tested.auc if tested else None,
            "macro_auc_lower": tested.lower if tested else None,
            "macro_auc_upper": tested.upper if tested else None,
            "flags": _codes(one.flags),
        }
        for number, name in enumerate(one.classes):
            given = one.risks is not None
            risk = one.risks[number] if one.risks is not None else None
            called = name == one.most_probable if given else None
            rows.append(about | {"class": name, "risk": risk, "most_probable": called})
    return rows


def patient_record(patient: PatientResult) -> dict[str, Any]:
    """Give a patient as ``results.json`` has her."""
    return {
        "patient_id": patient.patient_id,
        "flags": patient.flags,
        "risks": patient.risks,
        "classes": patient.classes,
        "images": [_image_record(image) for image in patient.images],
    }


def model_record(bundle: Bundle) -> dict[str, Any]:
    """Give a bundle as ``results.json`` has it."""
    return {"name": bundle.name, "sha256": bundle.sha256, "notices": bundle.notices}


def table_of(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Make a table of rows, with at least these columns."""
    import pandas as pd

    further = dict.fromkeys(name for row in rows for name in row if name not in columns)
    return pd.DataFrame(rows, columns=[*columns, *further])


def _image_record(image: ImageResult) -> dict[str, Any]:
    left_out = ("patient_id", "mask", "features", "display")
    record = {name: value for name, value in vars(image).items() if name not in left_out}
    return {**record, "found": image.found}


def _codes(flags: Sequence[Flag]) -> str | None:
    return " ".join(flag.code for flag in flags) or None
