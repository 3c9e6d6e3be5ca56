"""The mask of one mammogram as a DICOM Segmentation (BINARY, one segment)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codes import laterality_code
from .object_common import (
    MAKER,
    RESEARCH,
    algorithm_version,
    equipment,
    finish,
    series,
    side_and_view,
)
from .object_uids import derived_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .results import ImageResult, PatientResult

GEOMETRIES = ("none", "nominal")
# Orange of Okabe and Ito (RGB 230, 159, 0), as in the overlays.
_COLOUR_LAB = (72.0, 20.0, 76.0)


def make_segmentation(
    patient: PatientResult, image: ImageResult, source: Dataset, uid: str, geometry: str
) -> Dataset:
    """Make the segmentation of a mammogram in which a lesion was drawn.

    Parameters
    ----------
    patient : PatientResult
        Names the model.
    image : ImageResult
        Mask, (rows, columns) of the mammogram; not empty.
    source : Dataset
        The mammogram's header, by :func:`.object_source.read_source`.
    uid : str
        SOP Instance UID of the result.
    geometry : str
        ``none``: the standard's clean form for a projection, without positions. ``nominal``:
        with Pixel Measures, Plane Orientation and Plane Position as if the detector were the plane
        z = 0 of some space, which viewers and converters ask for.
    """
    import highdicom as hd
    import numpy as np
    from pydicom.sr.codedict import codes

    what = f"Lesion mask {side_and_view(image.laterality, image.view)}".strip()
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=MAKER,
            family=codes.DCM.ArtificialIntelligence,
            version=algorithm_version(patient),
            source=MAKER,
            parameters={"model_sha256": patient.model_sha256},
        ),
        tracking_id="Lesion",
        tracking_uid=tracking_uid(uid),
        anatomic_regions=[codes.SCT.Breast],
        display_color=hd.color.CIELabColor(*_COLOUR_LAB),
    )
    side = laterality_code(image.laterality)
    if side is not None:
        region = segment.AnatomicRegionSequence[0]
        region.AnatomicRegionModifierSequence = [hd.sr.CodedConcept.from_code(side)]
    result: Dataset = hd.seg.Segmentation(
        source_images=[source],
        pixel_array=image.mask.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        sop_instance_uid=uid,
        content_label="LESION",
        content_description=RESEARCH,
        content_creator_name="",
        **series("seg", derived_uid("series", uid), what),
        **equipment(patient),
    )
    # highdicom leaves out what a projection has in place of positions in space.
    result.PatientOrientation = source.PatientOrientation
    result.ContentCreatorName = ""
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = derived_uid("dimensions", uid)
    if geometry == "nominal":
        _add_nominal_geometry(result, image.spacing_mm)
    finish(result, source)
    return result


def tracking_uid(uid: str) -> str:
    """The UID by which segmentation and report speak of the same lesion."""
    return derived_uid("tracking", uid)


def _add_nominal_geometry(result: Dataset, spacing_mm: tuple[float, float]) -> None:
    from highdicom.content import (
        PixelMeasuresSequence,
        PlaneOrientationSequence,
        PlanePositionSequence,
    )

    shared = result.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = PixelMeasuresSequence(
        pixel_spacing=spacing_mm, slice_thickness=1.0, spacing_between_slices=1.0
    )
    shared.PlaneOrientationSequence = PlaneOrientationSequence("PATIENT", [1, 0, 0, 0, 1, 0])
    for frame in result.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence = PlanePositionSequence("PATIENT", [0.0, 0.0, 0.0])
