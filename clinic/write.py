"""The files of an inference, patient by patient; tables and JSON come last.

=========================  =======================================================================
``masks/<image>.png``      0 or 255 on the mammogram's own grid; all zero: no lesion was found
``masks/overlays/*.png``   the outline on the mammogram
``masks/models.json``      the cards of the networks
``predictions.csv``        see :mod:`.tables`; ``features.csv, risks.csv, classes.csv,
                           results.json`` alike
``failures.csv``           ``case, stage, error, action``: what could not be processed
``pages/<patient>.html``   a page for each patient
``objects/<patient>/``     DICOM objects for the PACS, of images that are DICOM
``card.md``                the model card of the bundle
``inputs.json``            SHA-256 of the images and of the bundle: a folder holds one run
=========================  =======================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cohort.given_spacing import GivenSpacing
from ..errors import Failure, MammoroiError, is_disk_full
from ..files import (
    claim_folder,
    sha256_files,
    write_csv,
    write_failures,
    write_json,
    write_text,
)
from .bundle import Bundle, open_bundle
from .infer import UNMEASURED, Read, new_patients, read_patients
from .results import ImageResult, PatientResult
from .tables import (
    CLASS_COLUMNS,
    KEYS,
    PREDICTION_COLUMNS,
    RISK_COLUMNS,
    class_rows,
    feature_row,
    model_record,
    patient_record,
    prediction_row,
    risk_row,
    table_of,
)

log = logging.getLogger(__name__)

RESULTS = (
    "predictions.csv",
    "features.csv",
    "risks.csv",
    "classes.csv",
    "results.json",
    "failures.csv",
    "card.md",
    "masks/models.json",
    "masks/*.png",
    "masks/overlays/*.png",
    "pages/*.html",
    "objects/*/*.dcm",
)
"""Patterns of the files that an inference may write."""


@dataclass(frozen=True)
class Outputs:
    """What is written besides masks and tables.

    Attributes
    ----------
    objects : bool
        DICOM SEG and SR of images that are DICOM.
    capture : bool
        Secondary captures, too.
    geometry : str
        Of the SEG, see :func:`.objects.write_objects`.
    pages : bool
        A page for each patient.
    """

    objects: bool = True
    capture: bool = False
    geometry: str = "none"
    pages: bool = True

    def __post_init__(self) -> None:
        from .object_seg import GEOMETRIES

        if self.geometry not in GEOMETRIES:
            raise MammoroiError(
                f"geometry is {self.geometry!r}", f"give one of: {', '.join(GEOMETRIES)}"
            )


def process(
    files: Sequence[Path],
    out: Path,
    model: Bundle | Path | None = None,
    *,
    spacing_mm: GivenSpacing | None = None,
    batch: str | None = None,
    outputs: Outputs | None = None,
) -> list[Failure]:
    """Process new mammograms and write everything that came of them.

    Parameters
    ----------
    files : sequence of Path
        Mammograms, or folders whose files are all taken.
    out : Path
        Folder for the files. Those of an earlier run with the same images and the same bundle are
        replaced, also those that are not written again.
    model, spacing_mm, batch
        As for :func:`.infer.infer`.
    outputs : Outputs, optional
        What is written besides masks and tables.

    Returns
    -------
    list of Failure
        What could not be processed or written.

    Raises
    ------
    MammoroiError
        As :func:`.infer.infer`, and when the folder holds results of other images or of another
        bundle.
    OSError
        When the disk is full.
    """
    bundle = model if isinstance(model, Bundle) else open_bundle(model)
    bundle.check_batch(batch)
    patients = new_patients(files, spacing_mm, out)
    images = {image.image_id: image.file for one in patients for image in one.images}
    claim_folder(out, {"images": sha256_files(images), "model": bundle.sha256}, RESULTS)
    read = read_patients(bundle, patients, batch=batch)
    return write_results(read, out, bundle, outputs or Outputs())


def write_results(
    results: Iterable[Read], out: Path, bundle: Bundle, outputs: Outputs
) -> list[Failure]:
    """Write everything that came of some patients.

    Parameters
    ----------
    results : iterable of Read
        As :func:`.infer.read_patients` yields them; each is written before the next is read.
    out : Path
        Folder for the files.
    bundle : Bundle
        What they were made with.
    outputs : Outputs
        What is written besides masks and tables.

    Returns
    -------
    list of Failure
        All failures: of images, and of files that could not be written for one patient.
    """
    for notice in bundle.notices:
        log.warning(notice)
    write_json(out / "masks" / "models.json", [network.card for network in bundle.all_networks])
    write_text(out / "card.md", bundle.card)
    failures: list[Failure] = []
    images: list[dict[str, Any]] = []
    features: list[dict[str, Any]] = []
    risks: list[dict[str, Any]] = []
    classes: list[dict[str, Any]] = []
    patients: list[dict[str, Any]] = []
    for patient, failed in results:
        failures += failed
        if patient is None:
            continue
        for image in patient.images:
            write_image(image, out / "masks", bundle.notices)
            images.append(prediction_row(image, bundle))
            if image.features is not None:
                features.append(feature_row(image))
        failures += _write_patient(patient, failed, out, outputs)
        risks += [risk_row(patient.patient_id, risk) for risk in patient.risks]
        classes += class_rows(patient)
        patients.append(patient_record(patient))
    write_csv(out / "predictions.csv", table_of(images, PREDICTION_COLUMNS))
    write_csv(out / "features.csv", table_of(features, KEYS))
    write_csv(out / "risks.csv", table_of(risks, RISK_COLUMNS))
    if bundle.classes:
        write_csv(out / "classes.csv", table_of(classes, CLASS_COLUMNS))
    write_json(out / "results.json", {"model": model_record(bundle), "patients": patients})
    write_failures(out / "failures.csv", failures)
    return failures


def _write_patient(
    patient: PatientResult, failed: Sequence[Failure], out: Path, outputs: Outputs
) -> list[Failure]:
    """Write a patient's objects and page; what cannot be written is a failure, no end.

    A full disk is the end: half of her objects would be taken for all of them.
    """
    failures = []
    if outputs.objects:
        from .objects import write_objects

        try:
            write_objects(
                patient,
                out / "objects" / patient.patient_id,
                geometry=outputs.geometry,
                capture=outputs.capture,
            )
        except Exception as error:
            if is_disk_full(error):
                raise
            failures.append(Failure.of(patient.patient_id, "infer/objects", error))
    if outputs.pages:
        from .page import write_page

        try:
            # An image that could not be measured is there, with a flag that says so.
            unread = [failure for failure in failed if failure.stage != UNMEASURED]
            write_page(patient, out / "pages" / f"{patient.patient_id}.html", failures=unread)
        except Exception as error:
            if is_disk_full(error):
                raise
            failures.append(Failure.of(patient.patient_id, "infer/page", error))
    return failures


def write_image(image: ImageResult, folder: Path, notices: Iterable[str] = ()) -> None:
    """Write an image's mask and its overlay."""
    from ..imaging.mask import write_mask
    from ..imaging.read import read_display
    from .overlay import draw_outline

    write_mask(folder / f"{image.image_id}.png", image.mask)
    display = read_display(image.file) if image.display is None else image.display
    draw_outline(folder / "overlays" / f"{image.image_id}.png", image, display, notices)
