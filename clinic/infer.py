"""A finished study on new mammograms: masks, features, risks; without one, demonstration masks.

Written to the output folder:

=====================  ===========================================================================
``masks/<image>.png``  0 or 255 on the mammogram's own grid; all zero: no tumour was found
``masks/overlays/``    the outline on the mammogram, one PNG per image
``masks/models.json``  the cards of the networks, with what their users must know
``predictions.csv``    ``image_id, patient_id, view, laterality, file, found, area_mm2,
                       mean_probability, entropy, expected_dice, member_dice, model_sha256``
                       (:mod:`..segmentation.uncertainty`), ``uncertain``: whether the study's
                       flag calls the mask so (empty: the study could not choose one); a row per
                       image with a mask
``features.csv``       ``image_id, patient_id, view, laterality``, then the features: a row per
                       image in which a tumour was found
``risks.csv``          the columns :data:`RISK_COLUMNS`: a row per patient and target; without any
                       tumour found, ``n_images`` is 0 and the rest is empty
``failures.csv``       ``case, stage, error, action``: what could not be processed
=====================  ===========================================================================

An image's name is its file's without the ending. DICOM files with one Patient ID are one patient,
named ``patient-1`` and so on, in the order of the files; a file without Patient ID, and every file
that is not DICOM, is a patient of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cohort.schema import IMAGE_COLUMNS
from ..errors import Failure, MammoroiError
from ..files import read_csv, read_json, write_csv, write_failures

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("image_id", "patient_id", "view", "laterality")
SOURCE = "automatic"
RISK_COLUMNS = (
    "target",
    "positive",
    "patient_id",
    "n_images",
    "score",
    "risk",
    "radscore",
    "above_threshold",
    "threshold",
    "n_filled",
    "n_outside",
)


@dataclass(frozen=True)
class New:
    """One new mammogram whose mask was drawn.

    Attributes
    ----------
    image_id, patient_id : str
        Its name and its patient's, see above.
    view, laterality : str or None
        By the file's attributes.
    file : Path
        The mammogram.
    """

    image_id: str
    patient_id: str
    view: str | None
    laterality: str | None
    file: Path


def infer(
    study: Path | None,
    images: Sequence[Path],
    out: Path,
    *,
    spacing_mm: float | None = None,
    batch: str | None = None,
) -> list[Failure]:
    """Predict masks, features and risks for new mammograms; write them to ``out``.

    Parameters
    ----------
    study : Path or None
        A study folder whose networks are trained; features and risks are added where the study
        has classifiers for automatic masks. None takes the shipped network, which was trained on
        phantoms: masks for trying out, no features, no risks.
    images : sequence of Path
        Mammograms, or folders whose files are all taken.
    out : Path
        Folder for the results.
    spacing_mm : float, optional
        Millimetres per pixel, for files that do not tell.
    batch : str, optional
        The centre or device of all these images: needed where the study's classifiers take
        features harmonised by it, and nowhere else.

    Returns
    -------
    list of Failure
        The images that could not be processed.

    Raises
    ------
    MammoroiError
        When the study has no trained network, there is no image, or ``batch`` is none that its
        classifiers know.
    """
    import pandas as pd

    from ..segmentation.predict import image_name, segment_images
    from ..segmentation.uncertainty import load_flag
    from ..segmentation.weights import demonstration_model

    if study is not None and not (study / "config.json").exists():
        raise MammoroiError(f"{study} is no study folder", "name the folder that a study wrote")
    low, high = next(
        (column.minimum, column.maximum) for column in IMAGE_COLUMNS if column.name == "spacing_mm"
    )
    if spacing_mm is not None and not low <= spacing_mm <= high:
        raise MammoroiError(
            f"spacing_mm is {spacing_mm:g}", f"give millimetres per pixel, {low:g} to {high:g}"
        )
    if study is not None:
        _check_batch(study, batch)
    elif batch is not None:
        raise MammoroiError(f"batch is '{batch}', but there is no study", "leave it out")
    files = expand(images)
    masks = out / "masks"
    networks = demonstration_model() if study is None else study / "segmentation"
    failures = segment_images(networks, files, masks, spacing_mm=spacing_mm)
    failed = {failure.case for failure in failures}
    patients = name_patients([file for file in files if image_name(file) not in failed])
    drawn = read_csv(masks / "predictions.csv", dtype={"image_id": str})
    found = set(drawn.loc[drawn["found"], "image_id"])
    rows: list[dict[str, Any]] = []
    new: list[New] = []
    for file, patient_id in patients.items():
        case, features = _measure(file, patient_id, study, masks, spacing_mm, found)
        if isinstance(features, Failure):
            failures.append(features)
            continue
        new.append(case)
        if features is not None:
            rows.append({key: getattr(case, key) for key in KEYS} | features)
    about = pd.DataFrame([vars(case) for case in new], columns=[*KEYS, "file"])
    measured = drawn.drop(columns=["patient_id", "fold"])
    flag = None if study is None else load_flag(study)
    if flag is not None:
        measured["uncertain"] = [flag.uncertain(value) for value in measured["expected_dice"]]
    write_csv(out / "predictions.csv", about.merge(measured, on="image_id"))
    table = pd.DataFrame(rows, columns=None if rows else list(KEYS))
    write_csv(out / "features.csv", table)
    write_csv(out / "risks.csv", risks(study, table, [case.patient_id for case in new], batch))
    write_failures(out / "failures.csv", failures)
    return failures


def expand(images: Sequence[Path]) -> list[Path]:
    """List the files; a folder stands for everything in it and below, hidden files left out.

    Raises
    ------
    MammoroiError
        When something does not exist, or nothing is left.
    """
    files: list[Path] = []
    for path in images:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.is_file())
            files += [file for file in below if not file.name.startswith(".")]
        elif path.is_file():
            files.append(path)
        else:
            raise MammoroiError(f"{path} does not exist", "name mammograms or folders of them")
    if not files:
        raise MammoroiError("there is no image", "name mammograms or folders that hold some")
    return files


def name_patients(files: Sequence[Path]) -> dict[Path, str]:
    """Give every file a patient's name that says nothing about the patient."""
    from ..imaging.formats import Format, identify

    names: dict[str, str] = {}
    named = {}
    for file in files:
        key = _patient_id(file) if identify(file) is Format.DICOM else ""
        named[file] = names.setdefault(key or file.as_posix(), f"patient-{len(names) + 1}")
    return named


def _patient_id(file: Path) -> str:
    import pydicom

    dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["PatientID"])
    return str(dataset.get("PatientID") or "").strip()


def _measure(
    file: Path,
    patient_id: str,
    study: Path | None,
    masks: Path,
    spacing_mm: float | None,
    found: set[str],
) -> tuple[New, dict[str, float] | Failure | None]:
    """Describe one image and extract its features; None without a tumour or classifiers."""
    from ..imaging.mask import read_mask
    from ..imaging.read import read_mammogram
    from ..radiomics.extract import extract_case
    from ..segmentation.predict import image_name

    image_id = image_name(file)
    mammogram = read_mammogram(file, spacing_mm=spacing_mm)
    case = New(image_id, patient_id, mammogram.view, mammogram.laterality, file)
    if study is None or image_id not in found or not _has_classifiers(study):
        return case, None
    preset = read_json(study / "config.json")["radiomics"]["preset"]
    mask = read_mask(masks / f"{image_id}.png", mammogram.pixels.shape)
    try:
        return case, extract_case(mammogram, mask, preset)
    except Exception as error:  # noqa: BLE001  the boundary of one case: recorded, not hidden
        return case, Failure.of(image_id, "infer/radiomics", error)


def _has_classifiers(study: Path) -> bool:
    return (study / "models" / "targets.json").exists()


def _check_batch(study: Path, batch: str | None) -> None:
    """Refuse a centre or device that the study's classifiers need and do not know."""
    from ..modeling.persist import known_batches

    files = sorted((study / "models").glob(f"*/{SOURCE}/model.json"))
    by = str(read_json(study / "config.json")["modeling"].get("harmonise_by", "centre"))
    known = sorted({name for file in files for name in known_batches(read_json(file))})
    if known and batch not in known:
        found = "none was given" if batch is None else f"'{batch}' is none that they know"
        raise MammoroiError(
            f"the classifiers of {study} take features harmonised by {by}, and {found}",
            f"give --batch with one of: {', '.join(known)}; for any other {by}, fit the study "
            "again with patients of it, or with harmonise: none",
        )
    if batch is not None and not known:
        raise MammoroiError(
            f"batch is '{batch}', but the classifiers of {study} take features as they are",
            "leave it out",
        )


def risks(
    study: Path | None, features: pd.DataFrame, patients: Sequence[str], batch: str | None = None
) -> pd.DataFrame:
    """Apply the study's classifiers for automatic masks; one row per patient and target."""
    import pandas as pd

    from ..modeling.persist import predict_risk

    everyone = pd.DataFrame({"patient_id": pd.Series(list(dict.fromkeys(patients)), dtype=str)})
    batches = pd.Series(batch, index=list(everyone["patient_id"]), dtype=object)
    parts = []
    if study is None or not _has_classifiers(study):
        return pd.DataFrame(columns=list(RISK_COLUMNS))
    for target in read_json(study / "models" / "targets.json"):
        folder = study / "models" / target["target"] / SOURCE
        if SOURCE not in target["rois"]:
            continue
        if len(features):
            predicted = predict_risk(folder, features, batches).rename(
                columns={"positive": "above_threshold"}
            )
        else:
            predicted = pd.DataFrame({"patient_id": pd.Series(dtype=str)})
        part = everyone.merge(predicted, on="patient_id", how="left")
        part.insert(0, "target", target["target"])
        part.insert(1, "positive", target["positive"])
        part["threshold"] = read_json(folder / "model.json")["threshold"]
        parts.append(part.reindex(columns=list(RISK_COLUMNS)))
    if not parts:
        return pd.DataFrame(columns=list(RISK_COLUMNS))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(n_images=table["n_images"].fillna(0).astype(int))
