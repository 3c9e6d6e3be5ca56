"""The door to standard objects: one patient's results as DICOM SEG, SR and secondary capture.

Written to the folder, with names made of the results' own names, which say nothing about the
patient:

========================  ==========================================================================
``<image>_seg.dcm``       the mask, for every mammogram in which a lesion was drawn
``<patient>_sr.dcm``      measurements, risks, flags; ``<patient>_sr-2.dcm`` for a second study
``<image>_sc.dcm``        where asked for: the mammogram with the outline burned in
========================  ==========================================================================

All are unverified, marked as research, and belong to the mammograms' patient and study.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import atomic
from ..imaging.formats import Format, identify
from .object_capture import make_capture
from .object_report import Reported, make_report
from .object_seg import GEOMETRIES, make_segmentation
from .object_source import read_source
from .object_uids import result_uid
from .privacy import values_hidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from .results import ImageResult, PatientResult

logger = logging.getLogger(__name__)


def write_objects(
    patient: PatientResult, folder: Path, *, geometry: str = "none", capture: bool = False
) -> list[Path]:
    """Write the standard objects of one patient.

    Parameters
    ----------
    patient : PatientResult
        The results; images that are not DICOM are left out, and logged.
    folder : Path
        Where to write; files of the same names are replaced.
    geometry : str
        ``none``, or ``nominal`` for viewers that show no mask without positions in space (see
        docs/objects.md).
    capture : bool
        Whether to write secondary captures.

    Returns
    -------
    list of Path
        The files in the order in which they should be stored: SEG, SR, SC. Empty when no image is
        DICOM.

    Raises
    ------
    MammoroiError
        When ``geometry`` is unknown, a mammogram lacks what no result can do without (the
        attributes are named), or the images are of more than one patient. Nothing is written then.
    """
    if geometry not in GEOMETRIES:
        raise MammoroiError(f"geometry is {geometry!r}", f"give one of: {', '.join(GEOMETRIES)}")
    images = [image for image in patient.images if identify(image.file) is Format.DICOM]
    if len(images) < len(patient.images):
        logger.warning(
            "%d of %d images are not DICOM: no standard objects are written for them",
            len(patient.images) - len(images),
            len(patient.images),
        )
    with values_hidden():
        made = _make(patient, images, geometry, capture)
        paths = []
        for name, result in made:
            with atomic(folder / name) as temporary:
                result.save_as(temporary, enforce_file_format=True)
            paths.append(folder / name)
    return paths


def _make(
    patient: PatientResult, images: Sequence[ImageResult], geometry: str, capture: bool
) -> list[tuple[str, Dataset]]:
    """Names and data sets of everything that is to be written."""
    sources = {image.image_id: read_source(image) for image in images}
    if len({str(source.PatientID).strip() for source in sources.values()}) > 1:
        raise MammoroiError(
            f"the mammograms of {patient.patient_id} have more than one Patient ID (0010,0020)",
            "give the images of one patient together, those of another apart",
        )
    names = _file_names(images)
    masks, captures = [], []
    studies: dict[str, list[Reported]] = {}
    for image in sorted(images, key=lambda image: _order(image, sources[image.image_id])):
        source = sources[image.image_id]
        try:
            segmentation = _segmentation(patient, image, source, geometry)
            if capture:
                uid = _uid("sc", patient, [(image, source)], "none")
                captures.append((image, make_capture(patient, image, source, uid)))
        except MammoroiError:
            raise
        except Exception as error:  # noqa: BLE001  its text may quote a header: only its kind is told
            raise _unsuitable(f"image {image.image_id}", error) from None
        if segmentation is not None:
            masks.append((f"{names[image.image_id]}_seg.dcm", segmentation))
        study = str(source.StudyInstanceUID)
        studies.setdefault(study, []).append(Reported(image, source, segmentation))
    reports = []
    for number, (study, reported) in enumerate(sorted(studies.items()), start=1):
        others = [item for name, items in studies.items() if name != study for item in items]
        uid = _uid(
            "sr",
            patient,
            [(item.image, item.source) for item in reported],
            geometry,
            # Risks and flags rest on all of the patient's images.
            [
                *sorted(str(item.source.SOPInstanceUID) for item in others),
                *(flag.text for flag in patient.flags),
                *([] if patient.batch is None else [f"batch {patient.batch}"]),
            ],
        )
        name = f"{_safe(patient.patient_id)}_sr{'' if number == 1 else f'-{number}'}.dcm"
        try:
            reports.append((name, make_report(patient, reported, uid)))
        except Exception as error:  # noqa: BLE001  as above
            raise _unsuitable(f"patient {patient.patient_id}", error) from None
    pictures = [(f"{names[image.image_id]}_sc.dcm", made) for image, made in captures]
    return [*masks, *reports, *pictures]


def _order(image: ImageResult, source: Dataset) -> tuple[str, str, str]:
    """Side, view, UID: the order of the report, whatever the order in which the images came."""
    return image.laterality or "", image.view or "", str(source.SOPInstanceUID)


def _segmentation(
    patient: PatientResult, image: ImageResult, source: Dataset, geometry: str
) -> Dataset | None:
    if not image.found:
        return None
    uid = _uid("seg", patient, [(image, source)], geometry)
    return make_segmentation(patient, image, source, uid, geometry)


def _uid(
    kind: str,
    patient: PatientResult,
    images: Sequence[tuple[ImageResult, Dataset]],
    geometry: str,
    besides: Sequence[str] = (),
) -> str:
    named = [(str(source.SOPInstanceUID), image.spacing_mm) for image, source in images]
    return result_uid(kind, patient.model_sha256, named, geometry=geometry, besides=besides)


def _unsuitable(case: str, error: Exception) -> MammoroiError:
    return MammoroiError(
        f"no standard objects can be made of {case}: its header holds something that they cannot "
        f"({type(error).__name__})",
        "compare its header with the standard (`dciodvfy`), or do without standard objects",
    )


def _file_names(images: Sequence[ImageResult]) -> dict[str, str]:
    """Give each image a file's name of its own: ``L CC`` and ``L_CC`` would have the same."""
    names: dict[str, str] = {}
    for image in images:
        name = _safe(image.image_id)
        while name in names.values():
            name = f"{name}-2"
        names[image.image_id] = name
    return names


def _safe(name: str) -> str:
    """A name that is one file's, whatever it holds."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")
