"""PNG, JPEG, TIFF, and slices of NIfTI, NRRD and MetaImage: one grey image each, as an array.

What these files say about size: the print resolution in PNG, JPEG and TIFF is not a measurement
and is not used. The voxel size in the header of a volume is, unless it is exactly 1 x 1, which is
what every writer puts there when it knows nothing, or no mammogram's (outside 0.01 to 2 mm).

How a slice lies: its first axis is the column and its second the row, as SimpleITK, ITK-SNAP
and 3D Slicer write an image whose rows run downwards. Its orientation matrix is not applied: a
projection has no place in the patient, and image and mask then agree with what was written. Where
the two have different ones, or that of a mask mirrors what is no volume, `mammoroi check` warns.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from .formats import Format
from .mammogram import Spacing
from .spacing import possible

if TYPE_CHECKING:
    import SimpleITK as sitk
    from PIL.Image import Image

_DAMAGED = "copy or export it again; it may have been cut short"
_WHITE_IS_ZERO = 0
_PHOTOMETRIC_TAG = 262
_ORIENTATION_TAG = 274


_STATED_BY = {
    Format.NIFTI: "the NIfTI header (pixdim)",
    Format.NRRD: "the NRRD header (space directions)",
    Format.METAIMAGE: "the MetaImage header (ElementSpacing)",
}
_IO = {
    Format.NIFTI: "NiftiImageIO",
    Format.NRRD: "NrrdImageIO",
    Format.METAIMAGE: "MetaImageIO",
}
_HEADER_LINES = 1000
_SEGMENT = "Segment{}_{}"
"""A key of a segment in the header of a .seg.nrrd: its number and what is said of it."""


def _sitk_read(path: Path) -> sitk.Image:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise MammoroiError(f"{path} cannot be decoded", _DAMAGED) from None


def _pixels_elsewhere(path: Path) -> bool:
    """Whether a header of NRRD or MetaImage names another file for the pixels."""
    with path.open("rb") as stream:
        for line in islice(stream, _HEADER_LINES):
            if not line.strip():  # the end of a header of NRRD
                return False
            if re.match(rb"data ?file:", line, re.IGNORECASE):
                return True
            if found := re.match(rb"ElementDataFile\s*=\s*(\S+)", line):
                return found[1] != b"LOCAL"
    return False


def _volume_reader(path: Path, kind: Format) -> sitk.ImageFileReader:
    """Open a volume as what its content says it is."""
    import SimpleITK as sitk

    if kind is not Format.NIFTI and _pixels_elsewhere(path):
        raise MammoroiError(
            f"{path} is a header alone: its pixels are in another file",
            "save both in one file, as .nrrd, .mha or .nii.gz do",
        )
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_IO[kind])
    reader.SetFileName(str(path))
    return reader


def read_volume(path: Path, kind: Format) -> tuple[NDArray[Any], Spacing | None]:
    """Read a volume of one slice: (rows, columns), and its spacing, if it knows one.

    Raises
    ------
    MammoroiError
        When it is damaged, has several slices or several channels, or its pixels lie elsewhere.
    """
    import SimpleITK as sitk

    try:
        image = _volume_reader(path, kind).Execute()
    except RuntimeError:
        raise MammoroiError(f"{path} cannot be decoded", _DAMAGED) from None
    size = image.GetSize()
    if _in_layers(image):
        raise MammoroiError(
            f"{path} holds segments that overlap, "
            f"in {image.GetNumberOfComponentsPerPixel()} layers",
            "export the lesion's segment alone, as a labelmap (3D Slicer: Segmentations, Export to "
            "files, with the mammogram as reference)",
        )
    if any(length != 1 for length in size[2:]) or image.GetNumberOfComponentsPerPixel() != 1:
        shape = " x ".join(str(length) for length in size)
        raise MammoroiError(
            f"{path} is a volume of {shape}, {image.GetNumberOfComponentsPerPixel()} channel(s)",
            "give one slice with one channel; its third axis must have the length 1",
        )
    column_mm, row_mm = image.GetSpacing()[:2]
    array = sitk.GetArrayFromImage(image).reshape(size[1], size[0])
    if (row_mm, column_mm) == (1.0, 1.0) or not possible(row_mm, column_mm):
        return array, None
    return array, Spacing(row_mm, column_mm, _STATED_BY[kind])


def _in_layers(image: sitk.Image) -> bool:
    """Whether an image is a segmentation of 3D Slicer with segments that overlap."""
    keys = image.GetMetaDataKeys()
    return image.GetNumberOfComponentsPerPixel() > 1 and _SEGMENT.format(0, "ID") in keys


def segment_names(path: Path, kind: Format) -> dict[int, str]:
    """The names of the segments of a .seg.nrrd by their labels; empty for other files.

    Raises
    ------
    MammoroiError
        When it is damaged.
    """
    tags = _header(path, kind)
    names: dict[int, str] = {}
    for number in count():
        label = tags.get(_SEGMENT.format(number, "LabelValue"))
        if label is None or not label.isdecimal():
            return names
        names[int(label)] = tags.get(_SEGMENT.format(number, "Name"), "")
    return names


def is_cropped(path: Path, kind: Format) -> bool:
    """Whether a .seg.nrrd holds a part of the image that its segments were drawn on.

    Raises
    ------
    MammoroiError
        When it is damaged.
    """
    offset = _header(path, kind).get("Segmentation_ReferenceImageExtentOffset", "")
    return any(start != "0" for start in offset.split())


def _header(path: Path, kind: Format) -> dict[str, str]:
    """What the header of a volume says beside its geometry."""
    reader = _opened(path, kind)
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def directions(path: Path, kind: Format) -> tuple[float, ...]:
    """The direction cosines of a volume's columns and rows, which are not applied to its pixels.

    Returns
    -------
    tuple of float
        Six: along a row, then down a column, in DICOM's coordinates (left, posterior, superior).

    Raises
    ------
    MammoroiError
        When it is damaged.
    """
    reader = _opened(path, kind)
    cosines = np.array(reader.GetDirection()).reshape([reader.GetDimension()] * 2)
    axes = np.zeros((3, 2))
    axes[: len(cosines)] = cosines[:3, :2]
    return tuple(axes.T.ravel())


def _opened(path: Path, kind: Format) -> sitk.ImageFileReader:
    """Read the header of a volume, not its pixels."""
    reader = _volume_reader(path, kind)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise MammoroiError(f"{path} cannot be decoded", _DAMAGED) from None
    return reader


def _grey(path: Path, array: NDArray[Any], has_alpha: bool) -> NDArray[Any]:
    """Reduce equal colour channels and an opaque alpha channel to one channel."""
    if array.ndim == 2:
        return array
    colour = array[..., :-1] if has_alpha else array
    if has_alpha and (array[..., -1] != array[..., -1].max()).any():
        raise MammoroiError(
            f"{path} is partly transparent", "save it as one grey channel without transparency"
        )
    if (colour != colour[..., :1]).any():
        raise MammoroiError(
            f"{path} is a colour image (its channels differ)",
            "give the grey original, not a screenshot, a colour map or an annotated copy",
        )
    return colour[..., 0]


def _pixels(path: Path, image: Image) -> NDArray[Any]:
    """The pixels of an opened image, at their full depth."""
    coding = str(getattr(image, "tile", ""))
    if "LA;16B" in coding:  # cut down to 8 bits by Pillow, and not read by SimpleITK
        raise MammoroiError(
            f"{path} has 16 bits and a channel of transparency",
            "save it as one grey channel without transparency",
        )
    if image.mode in ("RGB", "RGBA") and "16" in coding:
        # Pillow cuts 16-bit colour down to 8 bits; SimpleITK keeps it.
        import SimpleITK as sitk

        return _grey(path, sitk.GetArrayFromImage(_sitk_read(path)), image.mode == "RGBA")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    array = np.asarray(image)
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:  # Pillow inverts these at 8 bits only
            array = 0xFFFF - array
    return _grey(path, array, image.mode in ("LA", "RGBA", "PA"))


_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.T,
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].T,
    8: lambda array: np.rot90(array),
}
"""By the Orientation of EXIF: how stored pixels are turned to be shown."""


def _turned(pixels: NDArray[Any], image: Image) -> NDArray[Any]:
    """Turn the pixels of a JPEG or PNG file; Pillow has turned those of TIFF itself."""
    if image.format == "TIFF":
        return pixels
    turn = _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    return turn(pixels) if turn else pixels


def lossy_mask(path: Path) -> MammoroiError:
    """The refusal of a mask whose coding is lossy."""
    return MammoroiError(
        f"{path} is a JPEG mask, whose lossy coding moves the lesion's edge",
        "save the mask as PNG, TIFF without JPEG, NIfTI, NRRD, MetaImage or DICOM SEG",
    )


def read_raster(path: Path, *, labels: bool = False) -> NDArray[Any]:
    """Read a PNG, JPEG or TIFF file of one grey image at its own depth, turned as it is shown.

    Parameters
    ----------
    labels : bool
        The image holds labels: a palette image gives its indices, not its colours, and a TIFF
        with JPEG compression is refused.

    Returns
    -------
    NDArray
        (rows, columns): bool, uint8, uint16, int32 or float32.

    Raises
    ------
    MammoroiError
        When it is damaged, has several pages, is colour or partly transparent.
    """
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Not by its path: pixels that Pillow maps from the disk are scrambled where the TIFF is
            # to be shown turned by 90 degrees.
            with path.open("rb") as stream, PIL.Image.open(stream) as image:
                pages = getattr(image, "n_frames", 1)
                if pages != 1:
                    raise MammoroiError(f"{path} holds {pages} pages", "give one image per file")
                if labels and "jpeg" in str(image.info.get("compression", "")):
                    raise lossy_mask(path)
                coloured = image.mode == "P" and not labels
                pixels = _pixels(path, image.convert("RGB") if coloured else image)
                return _turned(pixels, image)
    except PIL.UnidentifiedImageError:
        raise MammoroiError(f"{path} cannot be decoded (its header is damaged)", _DAMAGED) from None
    except (EOFError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise MammoroiError(f"{path} cannot be decoded ({error})", _DAMAGED) from None
    except PIL.Image.DecompressionBombError:
        raise MammoroiError(
            f"{path} claims an implausible number of pixels", "give the mammogram itself"
        ) from None
