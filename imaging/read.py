"""The one door through which a mammogram comes in, whatever file it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from .dicom import intent_of, open_mammogram, stored_range, stored_values
from .formats import VOLUMES, Format, identify
from .mammogram import Mammogram, Spacing
from .raster import read_raster, read_volume
from .spacing import agreed_spacing, dicom_spacing, manifest_spacing
from .transform import attenuation, bright_padding, displayed
from .view import laterality_of, view_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STRETCH = (0.5, 99.5)
"""Percentiles shown as black and white where the file does not say how to show itself."""

_MOST_VALUES = 1 << 16
"""As many pixel values as can be shown by way of a table."""


def read_mammogram(
    path: Path | str, *, spacing_mm: float | None = None, spacing_source: str = "measured"
) -> Mammogram:
    """Read a mammogram for computing: DICOM, PNG, JPEG, TIFF, NIfTI, NRRD or MetaImage.

    Parameters
    ----------
    path : Path | str
        The file; its kind is told by its content.
    spacing_mm : float | None
        The manifest's value in mm per pixel; used when the file states none. ``None`` or NaN
        when the manifest is silent.
    spacing_source : str
        ``"measured"`` or ``"estimated"``: how the manifest's value came about. With
        :data:`.spacing.GIVEN` it is the user's for all files, and a file's own is used instead.

    Raises
    ------
    MammoroiError
        When the file is missing, damaged or no single grey mammogram, or when its spacing differs
        from the manifest's by more than 1 %.
    """
    path = Path(path)
    manifest = manifest_spacing(spacing_mm, spacing_source)
    kind = identify(path)
    if kind is Format.DICOM:
        dataset = open_mammogram(path)
        return _of_dicom(path, dataset, stored_values(path, dataset), manifest)
    return _of_plain(path, *_plain_image(path, kind), manifest)


def read_both(
    path: Path | str, *, spacing_mm: float | None = None, spacing_source: str = "measured"
) -> tuple[Mammogram, NDArray[np.uint8]]:
    """Read a mammogram for computing and for showing, decoding it once.

    Returns
    -------
    mammogram : Mammogram
        As :func:`read_mammogram` gives it.
    display : NDArray[np.uint8]
        As :func:`read_display` gives it.

    Raises
    ------
    MammoroiError
        As :func:`read_mammogram`.
    """
    path = Path(path)
    manifest = manifest_spacing(spacing_mm, spacing_source)
    kind = identify(path)
    if kind is Format.DICOM:
        dataset = open_mammogram(path)
        stored = stored_values(path, dataset)
        mammogram = _of_dicom(path, dataset, stored, manifest)
        return mammogram, _shown(dataset, stored, mammogram.pixels)
    array, stated = _plain_image(path, kind)
    return _of_plain(path, array, stated, manifest), _shown_plain(array)


def _of_dicom(
    path: Path, dataset: Dataset, stored: NDArray[np.int32], manifest: Spacing | None
) -> Mammogram:
    return Mammogram(
        pixels=attenuation(dataset, stored),
        spacing=agreed_spacing(path, dicom_spacing(dataset), manifest),
        laterality=laterality_of(dataset),
        view=view_of(dataset),
        intent=intent_of(dataset),
        bits_stored=int(dataset.BitsStored),
        source=path,
        implant=str(dataset.get("BreastImplantPresent") or "").strip().upper() == "YES",
    )


def _of_plain(
    path: Path, array: NDArray[np.generic], stated: Spacing | None, manifest: Spacing | None
) -> Mammogram:
    return Mammogram(
        pixels=array.astype(np.float32),
        spacing=agreed_spacing(path, stated, manifest),
        laterality=None,
        view=None,
        intent=None,
        bits_stored=8 * array.itemsize if np.issubdtype(array.dtype, np.integer) else None,
        source=path,
    )


def _plain_image(path: Path, kind: Format) -> tuple[NDArray[np.generic], Spacing | None]:
    """A file that is not DICOM: its array and the spacing it states."""
    array, stated = read_volume(path, kind) if kind in VOLUMES else (read_raster(path), None)
    if array.dtype == bool:
        raise MammoroiError(
            f"{path} has one bit per pixel", "give the mammogram; this looks like a mask"
        )
    if not np.isfinite(array).all():
        raise MammoroiError(
            f"{path} holds values that are not numbers (NaN or infinite)",
            "export it again; pixels without a value should be 0",
        )
    return array, stated


def read_display(path: Path | str) -> NDArray[np.uint8]:
    """Read a mammogram for showing: (rows, columns), 0 (black) to 255 (white).

    DICOM is shown by its own VOI LUT or window (the first); an 8-bit picture as it is; anything
    else is stretched between its 0.5th and 99.5th percentile. Never compute with the result.

    Raises
    ------
    MammoroiError
        As :func:`read_mammogram`.
    """
    path = Path(path)
    kind = identify(path)
    if kind is Format.DICOM:
        dataset = open_mammogram(path)
        return _shown(dataset, stored_values(path, dataset), None)
    return _shown_plain(_plain_image(path, kind)[0])


def _shown(
    dataset: Dataset, stored: NDArray[np.int32], pixels: NDArray[np.float32] | None
) -> NDArray[np.uint8]:
    """By the file's own window, else stretched; ``pixels`` where they are known already.

    A window looks at single values, of which there are far fewer than pixels: each is shown once.
    Bright padding is black.
    """
    lowest, highest = stored_range(dataset)
    few = highest - lowest < _MOST_VALUES
    values = np.arange(lowest, highest + 1, dtype=np.int32)[None] if few else stored
    shown = displayed(dataset, values)
    if shown is not None:
        grey = _grey(shown[0])[stored - lowest] if few else _grey(shown)
        padding = bright_padding(dataset, stored)
        if padding is not None:
            grey[padding] = 0
        return grey
    return _grey(_stretched(attenuation(dataset, stored) if pixels is None else pixels))


def _shown_plain(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array.astype(np.uint8)
    return _grey(_stretched(array.astype(np.float32)))


def _grey(shown: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(shown * 255).astype(np.uint8)


def _stretched(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    low, high = np.percentile(pixels[::4, ::4], _STRETCH)  # a sixteenth of the pixels is enough
    scaled: NDArray[np.float64] = (pixels.astype(np.float64) - low) / max(high - low, 1e-12)
    return scaled.clip(0, 1)
