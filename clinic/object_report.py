"""What was measured and judged, as a DICOM Comprehensive SR by TID 1500, one for each study.

A measurement group for each mammogram (TID 1410 where a lesion was drawn, pointing at its segment;
else TID 1501 that says that none was found), one for each classifier, and one for what concerns
the patient as a whole. Flags and notices are comments of the group that they belong to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from .codes import ascii_text, feature_code, laterality_code, own, private, scheme_item, unit_code
from .object_common import MAKER, RESEARCH, algorithm_version, finish, series, side_and_view
from .object_seg import tracking_uid
from .object_uids import derived_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

    from .results import ClassRisks, Flag, ImageResult, PatientResult, Risk

REPORTED_CLASSES = ("shape", "shape2D", "contour", "firstorder")
"""Feature classes that are reported, of the pixels as they were read and of the mask itself."""


@dataclass(frozen=True)
class Reported:
    """One mammogram of the report: its result, its header, and its segmentation if there is one."""

    image: ImageResult
    source: Dataset
    segmentation: Dataset | None


def make_report(patient: PatientResult, reported: Sequence[Reported], uid: str) -> Dataset:
    """Make the report of the mammograms of one study.

    Parameters
    ----------
    patient : PatientResult
        Risks, flags and notices; they rest on all of the patient's mammograms, also those of
        another study.
    reported : sequence of Reported
        At least one; all of one study.
    uid : str
        SOP Instance UID of the report.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    sources = [item.source for item in reported]
    groups: list[Any] = [_image_group(patient, item) for item in reported]
    groups += [_risk_group(patient, risk, uid, sources) for risk in patient.risks]
    groups += [_class_group(patient, one, uid, sources) for one in patient.classes]
    groups.append(_patient_group(patient, uid, sources))
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", patient.model_sha256),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=ascii_text(patient.model_name),
        serial_number=patient.model_sha256,
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device)
        ),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    result: Dataset = hd.sr.ComprehensiveSR(
        evidence=[*sources, *(item.segmentation for item in reported if item.segmentation)],
        content=content,
        sop_instance_uid=uid,
        is_complete=False,
        is_final=False,
        is_verified=False,
        coding_schemes=[scheme_item()],
        **series("sr", derived_uid("series", uid), "Lesion measurements, risks"),
    )
    finish(result, min(sources, key=lambda source: str(source.SOPInstanceUID)))
    return result


def reported_features(features: dict[str, float] | None) -> dict[str, float]:
    """Those features of an image that are reported: finite ones of :data:`REPORTED_CLASSES`."""
    return {
        name: float(value)
        for name, value in (features or {}).items()
        if name.startswith(tuple(f"original_{group}_" for group in REPORTED_CLASSES))
        and math.isfinite(value)
    }


def _image_group(patient: PatientResult, item: Reported) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    image, source = item.image, item.source
    site = hd.sr.FindingSite(codes.SCT.Breast, laterality_code(image.laterality))
    group: Any
    if item.segmentation is None:
        group = hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=derived_uid("tracking", "image", str(source.SOPInstanceUID)),
                identifier=ascii_text(f"Image {side_and_view(image.laterality, image.view)}"),
            ),
            finding_sites=[site],
            algorithm_id=_algorithm(patient),
            qualitative_evaluations=[
                hd.sr.QualitativeEvaluation(own("DETECTION"), own("NO-LESION"))
            ],
            source_images=[_source_of_group(source)],
        )
    else:
        segmentation = item.segmentation
        reference = hd.sr.ReferencedSegmentationFrame(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            frame_number=1,
            segment_number=1,
            source_image=hd.sr.SourceImageForSegmentation(
                source.SOPClassUID, source.SOPInstanceUID
            ),
        )
        # TID 1410 names the frame; frame and segment together are not allowed (PS3.3, C.17.3).
        del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
        group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=tracking_uid(str(segmentation.SOPInstanceUID)), identifier="Lesion"
            ),
            referenced_segment=reference,
            finding_type=codes.SCT.Lesion,
            finding_sites=[site],
            algorithm_id=_algorithm(patient),
            measurements=_measurements(patient, image),
        )
    _comment(group, [*_flag_lines(image.flags), f"Pixel spacing: {image.spacing_source}"])
    return group


def _measurements(patient: PatientResult, image: ImageResult) -> list[Any]:
    from pydicom.sr.codedict import codes

    from ..radiomics.dictionary import describe

    measured = [_number(patient, codes.SCT.Area, image.area_mm2, unit_code("mm^2"))]
    if image.mean_probability is not None:
        measured.append(_number(patient, own("MASK-PROB"), image.mean_probability))
    if image.expected_dice is not None:
        measured.append(_number(patient, own("EXPECTED-DICE"), image.expected_dice))
    for name, value in reported_features(image.features).items():
        try:
            unit = unit_code(describe(name).unit or "1")
        except MammoroiError:
            unit = None
        measured.append(_number(patient, feature_code(name), value, unit, name))
    return measured


def _risk_group(patient: PatientResult, risk: Risk, uid: str, sources: Sequence[Dataset]) -> Any:
    import highdicom as hd

    numbers = {
        "PROBABILITY": risk.risk,
        "INTERVAL-LOW": risk.lower,
        "INTERVAL-HIGH": risk.upper,
        "THRESHOLD": risk.threshold,
        "IMAGES": risk.n_images,
        "TRAIN-PATIENTS": risk.n_train,
    }
    if risk.tested is not None:
        numbers |= {
            "AUC": risk.tested.auc,
            "AUC-LOW": risk.tested.lower,
            "AUC-HIGH": risk.tested.upper,
            "TEST-PATIENTS": risk.tested.n,
        }
    answer = {True: "POSITIVE", False: "NEGATIVE", None: "NONE"}[risk.above_threshold]
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=derived_uid("tracking", "risk", risk.target, uid),
            identifier=ascii_text(risk.target),
        ),
        finding_type=private(risk.target, f"{risk.title}: {risk.positive}"),
        algorithm_id=_algorithm(patient, risk.target),
        measurements=[
            _number(patient, own(code), value, feature=risk.target)
            for code, value in numbers.items()
            if value is not None and math.isfinite(value)
        ],
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(own("ANSWER"), own(answer))],
        source_images=[_source_of_group(source) for source in sources],
    )
    _comment(group, _flag_lines(risk.flags))
    return group


def _class_group(
    patient: PatientResult, classes: ClassRisks, uid: str, sources: Sequence[Dataset]
) -> Any:
    """The probabilities of all classes of a question, which add up to 1."""
    import highdicom as hd

    measured = [
        (private(f"P {classes.task} {name}", f"Probability of {name}"), risk)
        for name, risk in zip(classes.classes, classes.risks or (), strict=bool(classes.risks))
    ]
    if classes.tested is not None:
        measured += [
            (own("MACRO-AUC"), classes.tested.auc),
            (own("MACRO-AUC-LOW"), classes.tested.lower),
            (own("MACRO-AUC-HIGH"), classes.tested.upper),
            (own("TEST-PATIENTS"), classes.tested.n),
        ]
    called = classes.most_probable
    answer = own("NONE") if called is None else private(f"is {classes.task} {called}", called)
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=derived_uid("tracking", "classes", classes.task, uid),
            identifier=ascii_text(f"{classes.task}, all classes"),
        ),
        finding_type=private(f"{classes.task} classes", f"{classes.title}: all classes"),
        algorithm_id=_algorithm(patient, classes.task),
        measurements=[
            _number(patient, code, value, feature=classes.task) for code, value in measured
        ],
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(own("MOST-PROBABLE"), answer)],
        source_images=[_source_of_group(source) for source in sources],
    )
    _comment(group, _flag_lines(classes.flags))
    return group


def _patient_group(patient: PatientResult, uid: str, sources: Sequence[Dataset]) -> Any:
    import highdicom as hd

    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=derived_uid("tracking", "patient", uid), identifier="Patient"
        ),
        finding_type=own("PATIENT"),
        algorithm_id=_algorithm(patient),
        source_images=[_source_of_group(source) for source in sources],
    )
    notices = [f"{RESEARCH}. Not for diagnosis.", *patient.notices]
    _comment(group, [*notices, *_flag_lines(patient.flags)])
    return group


def _number(
    patient: PatientResult,
    name: Code,
    value: float,
    unit: Code | None = None,
    feature: str | None = None,
) -> Any:
    import highdicom as hd

    return hd.sr.Measurement(
        name=name,
        value=value,
        unit=unit or unit_code("1"),
        algorithm_id=_algorithm(patient, feature),
    )


def _algorithm(patient: PatientResult, part: str | None = None) -> Any:
    import highdicom as hd

    parameters = [f"model_sha256 {patient.model_sha256}"]
    if part is not None:
        parameters.insert(0, ascii_text(part))
    return hd.sr.AlgorithmIdentification(
        name=MAKER, version=algorithm_version(patient), parameters=parameters
    )


def _source_of_group(source: Dataset) -> Any:
    import highdicom as hd

    return hd.sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)


def _flag_lines(flags: Sequence[Flag]) -> list[str]:
    return [f"{flag.code}: {flag.text}" for flag in flags]


def _comment(group: Any, lines: Sequence[str]) -> None:
    """Add lines to a measurement group as comments (both templates may be extended)."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    for line in lines:
        comment = hd.sr.TextContentItem(
            name=codes.DCM.Comment,
            value=ascii_text(line),
            relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
        )
        group[0].ContentSequence.append(comment)
