"""A frozen model on a second cohort that has outcomes: external validation.

Nothing is fitted to the second cohort but the recalibrations, which are reported as such. Written:

======================  ==========================================================================
``predictions.csv``     as an inference has them (:mod:`.tables`), ``features.csv`` alike
``risks.csv``           the same with ``label`` (1, 0, or empty where the outcome is not known)
``flow.csv``            ``level, target, what, n``: ``in = used + excluded + failed`` of images and
                        of patients; of each target, how many of the used patients have an outcome,
                        and how many of these a risk
``agreement.csv``       a row for each image with a manual mask: ``image_id, patient_id, view`` and
                        the measures of :class:`..segmentation.metrics.Similarity`
``agreement_summary.csv``  ``metric, n, mean, mean_lower, mean_upper, median, median_lower,
                        median_upper``
``performance.csv``     ``target, patients``, the columns of :func:`..modeling.metrics.measure` and
                        the AUC of the study's test patients (:func:`.tested.study_columns`);
                        ``patients`` is ``with a risk``, or ``all``: those without one get the
                        prevalence of the training, since nothing was measured
``classes*.csv``        of questions of three or more classes, see :mod:`.validate_classes`
``recalibration.csv``   ``target`` and the columns of :mod:`..modeling.recalibration`
``curves/*.csv``        ROC, calibration and decision curve of each target, with a risk
``drift.csv``           see :mod:`.drift`; ``kinds.csv``: ``kind, value, n_training, n``
``excluded.csv``        lines of ``cohort.csv`` that cannot be used, and why; ``failures.csv``:
                        images that could not be processed, targets that could not be evaluated
``report.html``         all of it on a page; ``figures/`` its figures
``inputs.json``         SHA-256 of both tables of the cohort and of the bundle: a folder holds one
                        run
======================  ==========================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Failure, MammoroiError
from ..files import claim_folder, sha256_files, write_csv, write_failures
from ..modeling.metrics import calibration_table, measure, roc_table
from ..modeling.netbenefit import decision_curve
from ..modeling.recalibration import recalibration_table
from ..modeling.targets import Target, classes_of, labels_of, no_class
from .bundle import Bundle, Classifier
from .drift import drift_table
from .infer import read_patients
from .results import ImageResult, PatientResult
from .second_cohort import Reference, SecondCohort, read_cohort
from .tables import (
    KEYS,
    PREDICTION_COLUMNS,
    RISK_COLUMNS,
    class_rows,
    feature_row,
    prediction_row,
    risk_row,
    table_of,
)
from .tested import study_columns
from .validate_classes import class_tables

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

RESULTS = (
    *("predictions.csv", "risks.csv", "features.csv", "flow.csv", "agreement.csv"),
    *("agreement_summary.csv", "performance.csv", "recalibration.csv", "drift.csv", "kinds.csv"),
    *("classes.csv", "classes_performance.csv"),
    *("excluded.csv", "failures.csv", "curves/*.csv", "figures/*.*", "report.html"),
)
"""Patterns of the files that a validation may write."""
TOLERANCE_MM = 2.0
SUMMARISED = ("dice", "iou", "surface_dice", "hd95_mm", "assd_mm", "area_ratio", "found")
N_BOOTSTRAP = 1000
SEED = 15
_SHOWN_WORDS = 4


@dataclass
class _Gathered:
    """Rows of the tables, as patients come."""

    images: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[dict[str, float]] = field(default_factory=list)
    features: list[dict[str, Any]] = field(default_factory=list)
    risks: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    agreement: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    n_failed: int = 0
    patients: list[str] = field(default_factory=list)


def validate(bundle: Bundle, cohort: Path, out: Path, *, batch: str | None = None) -> list[Failure]:
    """Try a frozen model on a second cohort and write what came of it.

    Parameters
    ----------
    bundle : Bundle
        See :func:`.bundle.open_bundle`.
    cohort : Path
        Folder with ``cohort.csv`` and ``patients.csv``; masks and outcomes as far as there are.
    out : Path
        Folder for the files.
    batch : str, optional
        The centre or device of all these images, where the classifiers need it.

    Returns
    -------
    list of Failure
        Excluded lines, images that could not be processed, targets that could not be evaluated.

    Raises
    ------
    MammoroiError
        When the cohort cannot be read, no image of it could be processed, or the folder holds
        results of another cohort or of another bundle.
    """
    from .validation_page import write_page

    second = read_cohort(cohort)
    bundle.check_batch(batch)
    tables_read = sha256_files({name: cohort / name for name in ("cohort.csv", "patients.csv")})
    claim_folder(out, {**tables_read, "model": bundle.sha256}, RESULTS)
    gathered = _Gathered()
    for result, failures in read_patients(bundle, second.patients, batch=batch):
        gathered.failures += failures
        gathered.n_failed += sum(failure.stage == "infer/segment" for failure in failures)
        if result is not None:
            _gather(gathered, result, second.references, bundle)
    if not gathered.images:
        first = gathered.failures[0]
        raise MammoroiError(
            f"no image of {cohort} could be processed; first: {first.error}", first.action
        )
    second = _without_strange_outcomes(bundle, second, gathered)
    labels = _labels(bundle, second, gathered)
    tables = _tables(bundle, second, gathered, labels)
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", table)
    write_failures(out / "excluded.csv", second.excluded)
    write_failures(out / "failures.csv", gathered.failures)
    write_page(bundle, second, gathered.failures, tables, out)
    return [*second.excluded, *gathered.failures]


def _gather(
    gathered: _Gathered, patient: PatientResult, references: dict[str, Reference], bundle: Bundle
) -> None:
    gathered.patients.append(patient.patient_id)
    for image in patient.images:
        gathered.images.append(prediction_row(image, bundle))
        gathered.numbers.append(image.numbers)
        if image.features is not None:
            gathered.features.append(feature_row(image))
        reference = references.get(image.image_id)
        if reference is not None:
            try:
                gathered.agreement.append(_agreement(image, reference))
            except Exception as error:  # noqa: BLE001  the boundary of one case
                gathered.failures.append(Failure.of(image.image_id, "validate/agree", error))
    gathered.risks += [risk_row(patient.patient_id, risk) for risk in patient.risks]
    gathered.classes += class_rows(patient)


def _agreement(image: ImageResult, reference: Reference) -> dict[str, Any]:
    from ..imaging.mask import read_mask
    from ..segmentation.metrics import similarity

    rows, columns = image.mask.shape
    manual = read_mask(reference.mask, (rows, columns), reference.label)
    measures = similarity(image.mask, manual, image.spacing_mm, TOLERANCE_MM)
    keys = {name: getattr(image, name) for name in ("image_id", "patient_id", "view")}
    return keys | asdict(measures)


def _without_strange_outcomes(
    bundle: Bundle, second: SecondCohort, gathered: _Gathered
) -> SecondCohort:
    """Empty the cells that hold no class of their question, each a failure.

    Where no cell of a column holds one, the column is another's, or coded otherwise: it is left to
    :func:`_labels`, which says so once.
    """
    outcomes, seen = second.outcomes.copy(), set()
    for one in bundle.classifiers:
        target = target_of(one)
        if target.label in seen or target.label not in outcomes:
            continue
        seen.add(target.label)
        values, known = _cells(target, outcomes)
        if not known.any():
            continue
        strange = values[~known]
        for case, value in zip(outcomes["patient_id"][strange.index], strange, strict=True):
            error = no_class(target, str(case), value, frozen=True)
            gathered.failures.append(Failure.of(str(case), "validate/outcome", error))
        outcomes.loc[strange.index, target.label] = None
    return replace(second, outcomes=outcomes)


def _labels(bundle: Bundle, second: SecondCohort, gathered: _Gathered) -> dict[str, pd.Series]:
    """Outcomes by target; a target without any is a failure, and the others go on."""
    labels = {}
    for one in bundle.classifiers:
        target = target_of(one)
        try:
            _refuse_other_words(target, second.outcomes)
            found = labels_of(target, classes_of(target, second.outcomes))
            if not found.reindex(gathered.patients).notna().any():
                raise MammoroiError(
                    f"no patient has a value in column '{target.label}'", "fill it, or do without"
                )
            labels[one.target] = found
        except MammoroiError as error:
            gathered.failures.append(Failure.of(one.target, "validate/outcome", error))
    return labels


def _refuse_other_words(target: Target, outcomes: pd.DataFrame) -> None:
    """Refuse a column whose cells are all written in other words than the model's."""
    if target.label not in outcomes:
        return
    values, known = _cells(target, outcomes)
    if len(values) and not known.any():
        shown = ", ".join(f"'{value}'" for value in values.unique()[:_SHOWN_WORDS])
        raise MammoroiError(
            f"no cell of column '{target.label}' is a class of the model, but {shown}",
            f"write them as the model does: {', '.join((target.positive, *target.negative))}",
        )


def _cells(target: Target, outcomes: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The filled cells of a question's column, and whether each is one of its classes."""
    values = outcomes[target.label].dropna().astype(str).str.strip()
    return values, values.isin((target.positive, *target.negative))


def _truths(
    bundle: Bundle, second: SecondCohort, labels: dict[str, pd.Series]
) -> dict[str, pd.Series]:
    """Each patient's class by question; where a target has no outcome, :func:`_labels` says so."""
    classifiers = {one.target: one for one in bundle.classifiers}
    return {
        one.task: classes_of(target_of(classifiers[one.targets[0]]), second.outcomes)
        for one in bundle.classes
        if set(one.targets) <= labels.keys()
    }


def target_of(classifier: Classifier) -> Target:
    """The question that a classifier answers."""
    about = classifier.model.about
    negative = str(about["negative"])
    rest = classifier.title.endswith(f": {classifier.positive} against the rest")
    return Target(
        name=classifier.target,
        task=classifier.target,
        title=classifier.title,
        label=str(about["label"]),
        positive=classifier.positive,
        negative=tuple(negative.split(" or ")) if rest else (negative,),
    )


def _tables(
    bundle: Bundle, second: SecondCohort, gathered: _Gathered, labels: dict[str, pd.Series]
) -> dict[str, pd.DataFrame]:
    import pandas as pd

    risks = table_of(gathered.risks, RISK_COLUMNS)
    risks["label"] = [
        labels[target].get(patient, np.nan) if target in labels else np.nan
        for target, patient in zip(risks["target"], risks["patient_id"], strict=True)
    ]
    tables = {
        "predictions": table_of(gathered.images, PREDICTION_COLUMNS),
        "features": table_of(gathered.features, KEYS),
        "risks": risks,
        "flow": _flow(second, gathered, risks),
    }
    if gathered.agreement:
        tables["agreement"] = pd.DataFrame(gathered.agreement)
        tables["agreement_summary"] = _summary(tables["agreement"])
    performance, recalibrations = [], []
    for one in bundle.classifiers:
        rows = risks[(risks["target"] == one.target) & risks["label"].notna()]
        performance += _performance(one, rows)
        given = rows[rows["risk"].notna()]
        y, risk = given["label"].to_numpy(dtype=int), given["risk"].to_numpy(dtype=float)
        if len(np.unique(y)) < 2:
            continue
        found = recalibration_table(y, risk)
        found.insert(0, "target", one.target)
        recalibrations.append(found)
        tables[f"curves/{one.target}_roc"] = roc_table(y, risk)
        tables[f"curves/{one.target}_calibration"] = calibration_table(y, risk)
        tables[f"curves/{one.target}_decision"] = decision_curve(y, risk)
    truths = _truths(bundle, second, labels)
    tables |= class_tables(bundle.classes, gathered.classes, truths, N_BOOTSTRAP, SEED)
    tables["performance"] = pd.DataFrame(performance)
    tables["recalibration"] = (
        pd.concat(recalibrations, ignore_index=True) if recalibrations else pd.DataFrame()
    )
    per_patient = len(gathered.images) / len(gathered.patients)
    tables["drift"] = drift_table(bundle.ranges, gathered.numbers, gathered.features, per_patient)
    tables["kinds"] = _kinds(bundle, gathered)
    return {name: table for name, table in tables.items() if len(table.columns)}


def _performance(one: Classifier, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Measures over the patients with a risk, and over all of them with an outcome."""
    found = []
    given = rows[rows["risk"].notna()]
    sets = [("with a risk", given)]
    if len(given) < len(rows):
        prevalence = float(one.model.about["prevalence"])
        sets.append(("all", rows.assign(risk=rows["risk"].astype(float).fillna(prevalence))))
    for name, table in sets:
        if not len(table):
            continue
        missed = ~table.index.isin(given.index)
        y, risk = table["label"].to_numpy(dtype=int), table["risk"].to_numpy(dtype=float)
        measured = measure(y, risk, one.threshold, missed, N_BOOTSTRAP, SEED)
        found.append(
            {"target": one.target, "patients": name, **measured, **study_columns(one.tested)}
        )
    return found


def _summary(agreement: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from ..segmentation.bootstrap import mean_and_median

    rows = []
    for metric in SUMMARISED:
        known = agreement[agreement[metric].notna()]
        mean, median = mean_and_median(
            known[metric].to_numpy(dtype=float),
            known["patient_id"].to_numpy(dtype=object),
            N_BOOTSTRAP,
            SEED,
        )
        row: dict[str, Any] = {"metric": metric, "n": len(known)}
        for name, estimate in (("mean", mean), ("median", median)):
            value, lower, upper = vars(estimate).values()
            row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
        rows.append(row)
    return pd.DataFrame(rows)


def _flow(second: SecondCohort, gathered: _Gathered, risks: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    n_failed_patients = len(second.patients) - len(gathered.patients)
    found = sum(row["found"] for row in gathered.images)
    rows: list[tuple[str, str, str, int]] = [
        ("images", "", "in", second.n_images),
        ("images", "", "excluded", len(second.excluded)),
        ("images", "", "failed", gathered.n_failed),
        ("images", "", "used", len(gathered.images)),
        ("images", "", "used, a lesion was found", found),
        ("images", "", "used, no lesion was found", len(gathered.images) - found),
        ("patients", "", "in", second.n_patients),
        ("patients", "", "excluded", second.n_patients - len(second.patients)),
        ("patients", "", "failed", n_failed_patients),
        ("patients", "", "used", len(gathered.patients)),
    ]
    for target, table in risks.groupby("target", sort=False):
        known = table[table["label"].notna()]
        rows += [
            ("patients", str(target), "used, outcome not known", len(table) - len(known)),
            ("patients", str(target), "used, with an outcome", len(known)),
            (
                "patients",
                str(target),
                "with an outcome and a risk",
                int(known["risk"].notna().sum()),
            ),
            ("patients", str(target), "with an outcome, no risk", int(known["risk"].isna().sum())),
        ]
    return pd.DataFrame(rows, columns=["level", "target", "what", "n"])


def _kinds(bundle: Bundle, gathered: _Gathered) -> pd.DataFrame:
    """Views here and in training, and how many images each flag was raised for."""
    import pandas as pd

    here: Sequence[str] = [str(row["view"] or "unknown") for row in gathered.images]
    trained = bundle.ranges.kinds.get("view", {})
    rows: list[tuple[str, str, int | None, int]] = [
        ("view", name, int(trained.get(name, 0)), here.count(name))
        for name in sorted({*trained, *here})
    ]
    codes = [code for row in gathered.images for code in (row["flags"] or "").split()]
    rows += [("flag", code, None, codes.count(code)) for code in sorted(set(codes))]
    return pd.DataFrame(rows, columns=["kind", "value", "n_training", "n"])
