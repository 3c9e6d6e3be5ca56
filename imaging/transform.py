"""From stored DICOM values to values that mean attenuation, and to a picture for the eye.

The order is the standard's (PS3.4, N.2): modality transformation; for showing only, the VOI
transformation; then polarity. An image whose small values are bright is inverted by a constant of
its encoding, never by its own maximum, so that equal exposures stay equal.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dicom import intent_of, stored_range

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

_WORD_BITS = 16

_FAR = 1e9
"""Beyond any pixel value: what a window makes of it is the end of its output."""


@dataclass(frozen=True)
class LookupTable:
    """One item of a Modality or VOI LUT Sequence (PS3.3, C.11.1.1).

    pydicom's own functions index a table of 8-bit entries with 8-bit numbers, which wraps.

    Attributes
    ----------
    entries : NDArray[np.float64]
        The output values.
    first : int
        The input value of the first entry; smaller inputs get the first, larger the last entry.
    bits : int
        Bits of one entry.
    """

    entries: NDArray[np.float64]
    first: int
    bits: int

    @classmethod
    def of(cls, dataset: Dataset, item: Dataset) -> LookupTable:
        """Read an item of ``dataset``'s sequence."""
        count, first, bits = (int(value) for value in item.LUTDescriptor)
        count = (count & 0xFFFF) or 1 << 16
        data = item.LUTData
        if isinstance(data, bytes):
            order = ">" if dataset.original_encoding[1] is False else "<"
            data = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else np.uint8)
        return cls(np.asarray(data, np.float64)[:count], first, bits)

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Look values up."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        looked_up: NDArray[np.float64] = self.entries[index.astype(np.intp)]
        return looked_up


def small_is_bright(dataset: Dataset) -> bool:
    """Whether small values mean much attenuation, so that the image is to be inverted.

    MONOCHROME1 or Presentation LUT Shape INVERSE say so. A For Processing image is not made for
    showing: where it states the sign of its relation to the beam's intensity (Pixel Intensity
    Relationship Sign (0028,1041); 1: small values are little intensity), that physical statement
    decides.
    """
    shown_inverted = bool(
        dataset.PhotometricInterpretation == "MONOCHROME1"
        or dataset.get("PresentationLUTShape") == "INVERSE"
    )
    sign = dataset.get("PixelIntensityRelationshipSign")
    if intent_of(dataset) != "processing" or sign not in (1, -1):
        return shown_inverted
    if shown_inverted != (sign == 1):
        logger.warning(
            "a For Processing image is %s but its Pixel Intensity Relationship Sign is %d; "
            "the sign decides its polarity",
            dataset.PhotometricInterpretation,
            sign,
        )
    return bool(sign == 1)


def modality_values(dataset: Dataset, stored: NDArray[np.int32]) -> tuple[NDArray[Any], float]:
    """Apply the Modality LUT Sequence, or else Rescale Slope and Intercept.

    Returns
    -------
    values : NDArray
        (rows, columns).
    mirror : float
        The sum of the smallest and the largest possible value: ``mirror - values`` is the
        inverted image.
    """
    sequence = dataset.get("ModalityLUTSequence")
    if sequence:
        table = LookupTable.of(dataset, sequence[0])
        return table(stored), float((1 << table.bits) - 1)
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    mirror = sum(stored_range(dataset)) * slope + 2 * intercept
    if slope == 1 and intercept == 0:
        return stored, mirror
    return stored * slope + intercept, mirror


def attenuation(dataset: Dataset, stored: NDArray[np.int32]) -> NDArray[np.float32]:
    """Stored values to pixels for computing: no VOI, brighter is more attenuating.

    :func:`bright_padding` is as dark as the darkest other pixel.
    """
    pixels = _polarised(dataset, stored)
    padding = bright_padding(dataset, stored)
    if padding is not None:
        pixels[padding] = pixels[~padding].min()
    return pixels


def _polarised(dataset: Dataset, stored: NDArray[np.int32]) -> NDArray[np.float32]:
    values, mirror = modality_values(dataset, stored)
    return (mirror - values if small_is_bright(dataset) else values).astype(np.float32)


def bright_padding(dataset: Dataset, stored: NDArray[np.int32]) -> NDArray[np.bool_] | None:
    """Padding beside the image that would be brighter than the darkest pixel of the image.

    Padding has the stored values from Pixel Padding Value (0028,0120) to Pixel Padding Range Limit
    (0028,0121), and is no part of the image (PS3.3, C.7.5.1.1.2). The standard wants it black as
    the photometric interpretation has it; such padding is left as it is. It is bright, and would
    be the densest tissue, where a For Processing image is inverted by the sign of its intensity,
    and in files that do not keep to the standard. To these belong files whose image itself has the
    value (saturated calcifications, labels): padding is what is connected with the border.

    Parameters
    ----------
    stored : NDArray[np.int32]
        (rows, columns), the stored values.

    Returns
    -------
    NDArray[np.bool_] | None
        (rows, columns); ``None`` where there is none.
    """
    from scipy.ndimage import label

    try:
        ends = [int(dataset.PixelPaddingValue)] * 2
        if dataset.get("PixelPaddingRangeLimit") is not None:
            ends[1] = int(dataset.PixelPaddingRangeLimit)
    except (AttributeError, TypeError, ValueError):  # none, or not one number
        return None

    def is_dark(least: int, most: int) -> bool:
        shown = _polarised(dataset, np.array([ends, [least, most]], dtype=np.int32))
        return bool(shown[0].max() <= shown[1].min())

    if is_dark(stored.min(), stored.max()):  # most files: no need to look at each pixel
        return None
    padded = (stored >= min(ends)) & (stored <= max(ends))
    image = stored[~padded]
    if image.size in (0, stored.size) or is_dark(image.min(), image.max()):
        return None
    regions, _ = label(padded, np.ones((3, 3)))
    edges = (regions[0], regions[-1], regions[:, 0], regions[:, -1])
    outside = np.zeros(regions.max() + 1, dtype=np.bool_)
    outside[np.concatenate(edges)] = True
    outside[0] = False
    return outside[regions] if outside.any() else None


def _bits_shown(table: LookupTable) -> int:
    """How many bits of a VOI LUT's entries say how bright a pixel is shown.

    Some devices state the 16 bits in which an entry lies, of which it has fewer: taken at their
    word, the picture would be black.
    """
    held = max(1, int(table.entries.max()).bit_length())
    return table.bits if 0 < table.bits < _WORD_BITS else held


def displayed(dataset: Dataset, stored: NDArray[np.int32]) -> NDArray[np.float64] | None:
    """Stored values as the file's first VOI LUT or window shows them, 0 (black) to 1 (white).

    ``None`` when the file states no usable one.
    """
    values, _ = modality_values(dataset, stored)
    sequence = dataset.get("VOILUTSequence")
    if sequence and {"LUTDescriptor", "LUTData"} <= {e.keyword for e in sequence[0]}:
        table = LookupTable.of(dataset, sequence[0])
        shown = table(values)
        black, white = 0.0, float((1 << _bits_shown(table)) - 1)
    else:
        from pydicom.pixels.processing import apply_windowing

        if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
            return None
        try:
            with np.errstate(over="ignore"):
                black, white = apply_windowing(np.array([-_FAR, _FAR]), dataset)
                shown = apply_windowing(values, dataset)
        except (IndexError, TypeError, ValueError) as error:
            logger.warning("the window stated by the file is not usable (%s)", error)
            return None
    scaled = np.clip((shown - black) / (white - black), 0, 1)
    return 1 - scaled if small_is_bright(dataset) else scaled
