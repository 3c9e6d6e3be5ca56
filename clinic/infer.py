"""A bundle on new mammograms: masks, features, risks with intervals, and flags where doubt is due.

::

    from mammoroi.clinic.infer import infer
    patients, failures = infer(["new-mammograms"], "model.mroi")

:mod:`.write` makes files of the results. An image's name is its file's without the ending, after
those of its folders where it repeats (:func:`mammoroi.segmentation.new_mammograms.image_names`).
DICOM files with one Patient ID are one patient, named ``patient-1`` and so on, in the order of the
files (:func:`.patients.group`); every file that is not DICOM is a patient of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cohort.given_spacing import GivenSpacing, check_given
from ..errors import Failure, MammoroiError
from ..imaging.spacing import GIVEN
from ..progress import with_bar
from .bundle import Bundle, open_bundle
from .class_risks import class_risks
from .flags import Seen, image_flags, patient_flags
from .patients import NewImage, NewPatient, expand, group
from .ranges import numbers_of
from .results import Flag, ImageResult, PatientResult
from .risks import index_images, risks_of

if TYPE_CHECKING:
    import torch

    from ..imaging.mammogram import Mammogram
    from ..segmentation.predict import Drawn

UNMEASURED = "infer/radiomics"
"""Stage of a failure of an image that has its result all the same, but no features."""


class Inference(NamedTuple):
    """What came of all files.

    Attributes
    ----------
    patients : list of PatientResult
        Those with at least one image that could be processed.
    failures : list of Failure
        Images that could not be processed, or whose lesion could not be measured.
    """

    patients: list[PatientResult]
    failures: list[Failure]


class Read(NamedTuple):
    """What came of one patient's files; the result is None when none could be processed."""

    patient: PatientResult | None
    failures: list[Failure]


def infer(
    images: Sequence[Path | str],
    model: Bundle | Path | str | None = None,
    *,
    spacing_mm: GivenSpacing | None = None,
    batch: str | None = None,
) -> Inference:
    """Process new mammograms.

    Masks are kept in memory, a byte for each pixel: for many patients iterate over
    :func:`read_patients`.

    Parameters
    ----------
    images : sequence of Path or str
        Mammograms, or folders whose files are all taken.
    model : Bundle, Path or str, optional
        A bundle, its file, or the folder of a finished study; without it the shipped one, which
        was trained on phantoms.
    spacing_mm : float or mapping, optional
        Millimetres per pixel, for files that do not tell, or those of each
        (:mod:`mammoroi.cohort.given_spacing`).
    batch : str, optional
        The centre or device of all these images: needed where the classifiers take features
        harmonised by it, and nowhere else.

    Raises
    ------
    MammoroiError
        When the model cannot be used, there is no image, or an option cannot be meant.
    """
    bundle = model if isinstance(model, Bundle) else open_bundle(model)
    patients = new_patients([Path(image) for image in images], spacing_mm)
    found = Inference([], [])
    for result, failures in read_patients(bundle, patients, batch=batch):
        found.failures.extend(failures)
        if result is not None:
            bare = [replace(image, display=None) for image in result.images]
            found.patients.append(replace(result, images=tuple(bare)))
    return found


def new_patients(
    images: Sequence[Path], spacing_mm: GivenSpacing | None = None, out: Path | None = None
) -> list[NewPatient]:
    """List the patients of files and folders; ``out`` as for :func:`.patients.expand`.

    Raises
    ------
    MammoroiError
        When there is no image, two get the same name, or the spacing cannot be meant.
    """
    files = expand(images, out)
    check_given(files, spacing_mm)
    return group(files, spacing_mm)


def read_patients(
    bundle: Bundle, patients: Sequence[NewPatient], *, batch: str | None = None
) -> Iterator[Read]:
    """Process patients one after the other; memory holds one of them.

    Parameters
    ----------
    bundle : Bundle
        See :func:`.bundle.open_bundle`.
    patients : sequence of NewPatient
        See :func:`new_patients`.
    batch : str, optional
        As for :func:`infer`.

    Raises
    ------
    MammoroiError
        When the classifiers need a batch and do not know this one.
    """
    from ..segmentation.config import SegmentationConfig
    from ..segmentation.probability import on_device
    from ..segmentation.trainer import choose_device

    bundle.check_batch(batch)
    device = choose_device(SegmentationConfig())
    numbered = 0
    with ExitStack() as stack:
        stack.enter_context(on_device(bundle.all_networks, device))
        for patient in with_bar(patients, "Reading patients", len(patients)):
            name = patient.patient_id or f"patient-{numbered + 1}"
            read = _read_patient(bundle, patient, name, batch, device)
            numbered += read.patient is not None
            yield read


def _read_patient(
    bundle: Bundle, patient: NewPatient, patient_id: str, batch: str | None, device: torch.device
) -> Read:
    images: list[ImageResult] = []
    failures: list[Failure] = []
    n_failed = 0
    known: dict[str, str] = {}
    for new in patient.images:
        try:
            _refuse_repeated(new, known)
            image, failure = _read_image(bundle, new, patient_id, device)
        except Exception as error:  # noqa: BLE001  the boundary of one case: recorded, not hidden
            failures.append(_nameless(Failure.of(new.image_id, "infer/segment", error), new))
            n_failed += 1
            continue
        known[new.sop_uid] = new.image_id
        images.append(image)
        failures += [_nameless(failure, new)] if failure else []
    if not images:
        return Read(None, failures)
    used = index_images(images)
    risks = risks_of(bundle, patient_id, used, batch)
    result = PatientResult(
        patient_id=patient_id,
        images=tuple(images),
        risks=risks,
        flags=tuple(patient_flags(images, used, n_failed, patient.n_studies)),
        model_name=bundle.name,
        model_sha256=bundle.sha256,
        notices=bundle.notices,
        batch=batch,
        classes=class_risks(bundle.classes, risks),
    )
    return Read(result, failures)


def _nameless(failure: Failure, new: NewImage) -> Failure:
    """Say the image's name in place of its file: pages are sent, and folders name patients."""
    return replace(failure, error=failure.error.replace(str(new.file), new.image_id))


def _refuse_repeated(new: NewImage, known: Mapping[str, str]) -> None:
    """Refuse an image that was read already: it would count twice in the patient's risks."""
    if new.sop_uid and new.sop_uid in known:
        raise MammoroiError(
            f"{new.file} is the image {known[new.sop_uid]} again (the same SOP Instance UID)",
            "leave one of the two out",
        )


def _read_image(
    bundle: Bundle, new: NewImage, patient_id: str, device: torch.device
) -> tuple[ImageResult, Failure | None]:
    """Draw and measure one image; a failure says why nothing could be measured in the mask."""
    from ..imaging.mask import refuse_mask
    from ..imaging.read import read_both
    from ..segmentation.predict import draw
    from ..segmentation.prepare import working_array

    mammogram, display = read_both(
        new.file, spacing_mm=new.spacing_mm, spacing_source=new.spacing_source
    )
    refuse_mask(mammogram)
    spacing = mammogram.require_spacing()
    network = bundle.networks[0]
    array, mapping, limits = working_array(mammogram, network.working_spacing_mm)
    second = bundle.outline
    outlining = second.of_mammogram(mammogram, mapping, limits) if second else None
    inference = network.card["inference"]
    drawn = draw(list(bundle.networks), array, mapping, inference, device, outlining)
    numbers = numbers_of(array, mapping, limits)
    if drawn.mask.any():
        numbers["lesion_area_mm2"] = drawn.area_mm2
        numbers["expected_dice"] = drawn.uncertainty.expected_dice
    seen = Seen(
        numbers=numbers,
        intent=mammogram.intent,
        view=mammogram.view or new.view,
        found=bool(drawn.mask.any()),
        expected_dice=drawn.uncertainty.expected_dice,
        n_regions=drawn.n_regions,
        n_drawn=_count(drawn.mask),
        spacing_given=spacing.source == GIVEN,
        implant=mammogram.implant,
    )
    flags = image_flags(seen, bundle.ranges, bundle.uncertainty)
    features, failure = _measure(bundle, mammogram, drawn, new.image_id)
    if failure is not None:
        flags.append(Flag("no-features", f"The lesion could not be measured: {failure.error}."))
    image = ImageResult(
        image_id=new.image_id,
        patient_id=patient_id,
        file=new.file,
        view=mammogram.view or new.view,
        laterality=mammogram.laterality or new.laterality,
        spacing_mm=(spacing.row_mm, spacing.column_mm),
        spacing_source=spacing.source,
        mask=drawn.mask,
        area_mm2=drawn.area_mm2,
        mean_probability=drawn.mean_probability,
        expected_dice=drawn.uncertainty.expected_dice if seen.found else None,
        features=features,
        flags=tuple(flags),
        entropy=drawn.uncertainty.entropy,
        member_dice=drawn.uncertainty.member_dice,
        display=display,
        numbers=numbers,
    )
    return image, failure


def _measure(
    bundle: Bundle, mammogram: Mammogram, drawn: Drawn, image_id: str
) -> tuple[dict[str, float] | None, Failure | None]:
    """Extract the features; nothing without a mask or classifiers."""
    from ..radiomics.extract import extract_case

    if bundle.preset is None or not drawn.mask.any():
        return None, None
    try:
        features = extract_case(mammogram, drawn.mask, bundle.preset)
        _refuse_missing(features, bundle)
        return features, None
    except Exception as error:  # noqa: BLE001  the boundary of one case: recorded, not hidden
        return None, Failure.of(image_id, UNMEASURED, error)


def _refuse_missing(features: Mapping[str, float], bundle: Bundle) -> None:
    """Refuse features that lack one that a classifier takes: pyradiomics leaves filters out."""
    taken = {
        name.rpartition("@")[0] or name
        for one in bundle.classifiers
        for name in one.model.features()
    }
    missing = sorted(taken - set(features))
    if missing:
        raise MammoroiError(
            f"{len(missing)} of {len(taken)} features did not come out, such as {missing[0]}",
            "the image is too small for a filter of the preset: leave it out",
        )


def _count(mask: NDArray[np.bool_]) -> int:
    from scipy.ndimage import label

    from ..segmentation.mapping import bounding_box

    box = bounding_box(mask)
    if box is None:
        return 0
    top, bottom, left, right = box
    return int(label(mask[top:bottom, left:right], np.ones((3, 3)))[1])
