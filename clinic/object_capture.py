"""The mammogram with the lesion's outline burned in, as a DICOM Secondary Capture.

For workstations that show neither SEG nor SR. The picture is made smaller, has the mammogram's own
display window burned in and no pixel spacing: nothing can be measured on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..imaging.read import read_display
from .codes import ascii_text
from .object_common import RESEARCH, finish, series, side_and_view
from .object_source import moment_of
from .object_uids import derived_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .results import ImageResult, PatientResult

LONGEST_SIDE = 2048
_OUTLINE = (230, 159, 0)
_INK = (255, 255, 255)


def make_capture(patient: PatientResult, image: ImageResult, source: Dataset, uid: str) -> Dataset:
    """Make the secondary capture of a mammogram, also of one in which nothing was found."""
    import highdicom as hd
    from pydicom.uid import ExplicitVRLittleEndian

    pixels = draw(read_display(image.file), image.mask, captions(patient, image))
    what = f"Lesion outline {side_and_view(image.laterality, image.view)}".strip()
    result: Any = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        # Its list of directions lacks those of oblique views: the true ones are set below.
        patient_orientation=("A", "F"),
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **series("sc", derived_uid("series", uid), what),
    )
    result.copy_patient_and_study_information(source)
    result.PatientOrientation = source.PatientOrientation
    result.Laterality = image.laterality or ""
    result.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    result.DateOfSecondaryCapture, result.TimeOfSecondaryCapture = moment_of(source)
    # Our words name nobody; what the mammogram itself has burned in stays.
    if source.get("BurnedInAnnotation") in ("YES", "NO"):
        result.BurnedInAnnotation = source.BurnedInAnnotation
    finish(result, source)
    made: Dataset = result
    return made


def captions(patient: PatientResult, image: ImageResult) -> list[str]:
    """What is written on the picture."""
    found = f"lesion outlined, {image.area_mm2:.0f} mm2" if image.found else "no lesion found"
    lines = [
        f"{RESEARCH.upper()}. NOT FOR DIAGNOSIS.",
        f"mammoroi, model {patient.model_name} {patient.model_sha256[:12]}: {found}",
        *patient.notices,
        *(flag.text for flag in image.flags),
    ]
    return [ascii_text(line) for line in lines]


def draw(shown: NDArray[np.uint8], mask: NDArray[np.bool_], lines: list[str]) -> NDArray[np.uint8]:
    """Draw outline and text.

    Parameters
    ----------
    shown : uint8 (rows, columns)
        The mammogram for showing.
    mask : bool (rows, columns)
        Empty for none found.
    lines : list of str
        Written below the picture, on black, so that they hide nothing.

    Returns
    -------
    uint8 (rows + text, columns, 3)
        RGB; the picture's longest side is at most :data:`LONGEST_SIDE`.
    """
    from PIL import Image, ImageDraw
    from scipy import ndimage

    step = max(1.0, max(shown.shape) / LONGEST_SIDE)
    size = (round(shown.shape[1] / step), round(shown.shape[0] / step))
    picture = Image.fromarray(shown).resize(size, Image.Resampling.BOX).convert("RGB")
    small = Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).resize(
        size, Image.Resampling.BOX
    )
    inside = np.asarray(small) > 0
    width = max(1, round(max(size) / 700))
    outline = ndimage.binary_dilation(inside, iterations=width) & ~inside
    pixels = np.array(picture)
    pixels[outline] = _OUTLINE
    font = _font(max(12, size[1] // 60))
    wrapped = [part for line in lines for part in _wrap(line, font, size[0] - 16)]
    height = int(sum(font.getbbox("Ag")[3] + 4 for _ in wrapped)) + 12
    canvas = Image.new("RGB", (size[0], size[1] + height))
    canvas.paste(Image.fromarray(pixels), (0, 0))
    pen = ImageDraw.Draw(canvas)
    y = size[1] + 6
    for line in wrapped:
        pen.text((8, y), line, fill=_INK, font=font)
        y += int(font.getbbox("Ag")[3]) + 4
    return np.array(canvas)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _wrap(line: str, font: Any, width: int) -> list[str]:
    """Break a line between words so that each part is at most ``width`` pixels wide."""
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and font.getlength(longer) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts
