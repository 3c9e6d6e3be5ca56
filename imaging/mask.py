"""Masks of lesions on the mammogram's grid: pictures, volumes or DICOM SEG in, PNG out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..files import atomic
from .dicom import decoded_pixels, open_dicom
from .formats import VOLUMES, Format, identify
from .raster import (
    directions,
    is_cropped,
    lossy_mask,
    read_raster,
    read_volume,
    segment_names,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .mammogram import Mammogram

_SHOWN_LABELS = 12
_MASK_VALUES = 8
"""An image with so few grey values is taken for a mask."""
_STEP = 97
_SAME_DIRECTION = 0.01
_PLAIN = (1, 0, 0, 0, 1, 0)
"""Directions of rows and columns that ITK gives an image whose file tells none."""
_UNTOLD = (-1, 0, 0, 0, -1, 0)
"""Those of a NIfTI file with the identity as its matrix, which writers put there who know none."""


def read_mask(
    path: Path | str, shape: tuple[int, int], label: int | None = None
) -> NDArray[np.bool_]:
    """Read a mask and check that it lies on the mammogram's grid.

    Parameters
    ----------
    path : Path | str
        PNG, TIFF, NIfTI, NRRD, MetaImage or DICOM SEG. A palette PNG is read by its indices.
    shape : tuple[int, int]
        (rows, columns) of the mammogram.
    label : int | None
        The value (in DICOM SEG: the segment number) that is the lesion; ``None`` takes every
        non-zero pixel (every segment).

    Returns
    -------
    NDArray[np.bool_]
        (rows, columns), true inside the lesion; all false when the mask is empty and no label
        is asked for.

    Raises
    ------
    MammoroiError
        When the file is missing or damaged, of a lossy kind, on another grid, holds fractions, or
        lacks the label.
    """
    path = Path(path)
    if label is not None and label <= 0:
        raise MammoroiError(
            f"the label {label} is asked of {path}", "0 is the background: declare a label above 0"
        )
    kind = identify(path)
    if kind is Format.JPEG:
        raise lossy_mask(path)
    if kind is Format.DICOM:
        return _read_segmentation(path, shape, label)
    labels = _labels(path, kind)
    if kind is Format.NRRD and labels.shape != tuple(shape) and is_cropped(path, kind):
        raise MammoroiError(
            f"{path} is cropped to its segments: {labels.shape[0]} rows x {labels.shape[1]} "
            f"columns, its mammogram {shape[0]} x {shape[1]}",
            "save it whole (3D Slicer: no 'crop to minimum extent'), or export a labelmap with the "
            "mammogram as reference",
        )
    _check_grid(path, labels.shape, shape)
    if np.issubdtype(labels.dtype, np.floating) and (labels != np.rint(labels)).any():
        raise MammoroiError(
            f"{path} holds fractions ({labels.min():.4g} to {labels.max():.4g}), not labels",
            "save the mask with whole numbers; threshold a probability map first",
        )
    if label is None:
        return np.asarray(labels != 0)
    inside = np.asarray(labels == label)
    if not inside.any():
        raise _missing_label(path, label, values_in(path))
    return inside


def values_in(path: Path) -> list[str]:
    """List the values other than 0 in a mask file, with the names of its segments where it has any.

    A DICOM SEG has the numbers of its segments, whether any pixel is theirs or not.

    Raises
    ------
    MammoroiError
        As :func:`read_mask`.
    """
    kind = identify(path)
    if kind is Format.DICOM:
        return _named(_segments(open_dicom(path, pixels=False)))
    labels = _labels(path, kind)
    names = segment_names(path, kind) if kind is Format.NRRD else {}
    values = np.unique(labels[labels != 0]).tolist()
    return _named({value: names.get(value, "") for value in values})


def _named(segments: dict[Any, str]) -> list[str]:
    """Values, each with the name of its segment in brackets where it has one."""
    return [f"{value:g}{f' ({name})' * bool(name)}" for value, name in segments.items()]


def _segments(dataset: Dataset) -> dict[int, str]:
    """The segments of a DICOM SEG: number to label."""
    return {
        int(item.SegmentNumber): str(item.get("SegmentLabel", ""))
        for item in dataset.get("SegmentSequence", ())
    }


def _labels(path: Path, kind: Format) -> NDArray[Any]:
    """The values of a mask file that is no DICOM SEG, (rows, columns)."""
    return read_volume(path, kind)[0] if kind in VOLUMES else read_raster(path, labels=True)


def _check_grid(path: Path, found: tuple[int, ...], shape: tuple[int, int]) -> None:
    if tuple(found) == tuple(shape):
        return
    hint = "draw the mask on this mammogram, or give the mammogram that it was drawn on"
    if tuple(found) == tuple(shape)[::-1]:
        hint = "rows and columns are exchanged: transpose it; a volume's first axis is columns"
    raise MammoroiError(
        f"{path} has {found[0]} rows x {found[1]} columns, its mammogram {shape[0]} x {shape[1]}",
        hint,
    )


def _missing_label(path: Path, label: int, found: list[str]) -> MammoroiError:
    shown = ", ".join(found[:_SHOWN_LABELS]) + (", ..." if len(found) > _SHOWN_LABELS else "")
    return MammoroiError(
        f"{path} has no label {label}; it has {shown or 'none: it is empty'}",
        "correct mask_label in cohort.csv, or leave it empty to take every non-zero pixel",
    )


def _segment_of(dataset: Dataset, frame: int) -> int:
    """The segment number of a frame (0-based), from its own or the shared functional groups."""
    for groups in (
        dataset.PerFrameFunctionalGroupsSequence[frame],
        *dataset.get("SharedFunctionalGroupsSequence", ()),
    ):
        for item in groups.get("SegmentIdentificationSequence") or ():
            return int(item.ReferencedSegmentNumber)
    raise KeyError("ReferencedSegmentNumber")


def _source_images(dataset: Dataset) -> set[str]:
    """SOP Instance UIDs of the images from which the frames were derived."""
    return {
        str(source.ReferencedSOPInstanceUID)
        for groups in dataset.get("PerFrameFunctionalGroupsSequence", ())
        for derivation in groups.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    }


def drawn_on_another(mask: Path, image: Path) -> bool:
    """Whether a DICOM SEG names another image as its source than a DICOM mammogram.

    False where one of them is no DICOM file or does not say. Images of one device have one grid, so
    that the mask of another breast can fit a mammogram; only this tells.
    """
    if not identify(mask) is identify(image) is Format.DICOM:
        return False
    sources = _source_images(open_dicom(mask, pixels=False))
    own = open_dicom(image, pixels=False).get("SOPInstanceUID")
    return bool(sources and own) and str(own) not in sources


def turned_against(mask: Path, image: Path) -> bool:
    """Whether a mask's header gives its rows or columns another direction than the mammogram's.

    Both are read as their pixels are stored (:mod:`.raster`): where one program has mirrored rows
    or columns and noted it in the header, and the other has not, the mask is mirrored on the
    mammogram, and has its shape all the same. Where the mammogram is no volume
    (:data:`.formats.VOLUMES`), the directions are held against those that ITK gives it. False where
    the mask is none.
    """
    kinds = identify(mask), identify(image)
    if kinds[0] not in VOLUMES:
        return False
    drawn = directions(mask, kinds[0])
    if kinds[1] in VOLUMES:
        return not np.allclose(drawn, directions(image, kinds[1]), atol=_SAME_DIRECTION)
    plain = [_PLAIN, _UNTOLD] if kinds[0] is Format.NIFTI else [_PLAIN]
    return not any(np.allclose(drawn, each, atol=_SAME_DIRECTION) for each in plain)


def _read_segmentation(path: Path, shape: tuple[int, int], label: int | None) -> NDArray[np.bool_]:
    """A DICOM Segmentation of one mammogram; a fractional one is cut at one half."""
    dataset = open_dicom(path)
    if dataset.get("Modality") != "SEG":
        raise MammoroiError(
            f"{path} is a DICOM object of modality {dataset.get('Modality')}, not a segmentation",
            "give a DICOM SEG, PNG, TIFF, NIfTI, NRRD or MetaImage mask",
        )
    if len(_source_images(dataset)) > 1:
        raise MammoroiError(
            f"{path} segments {len(_source_images(dataset))} images",
            "export one segmentation object per mammogram",
        )
    frames = decoded_pixels(path, dataset)
    frames = frames[np.newaxis] if frames.ndim == 2 else frames
    _check_grid(path, frames.shape[1:], shape)
    segments = _segments(dataset)
    if label is not None and label not in segments:
        raise _missing_label(path, label, _named(segments))
    if dataset.SegmentationType == "LABELMAP":
        background = dataset.get("PixelPaddingValue", 0)
        outlined = (frames != 0) & (frames != background)
        chosen = outlined if label is None else frames == label
        return np.asarray(chosen.any(axis=0))
    threshold = 0.5
    if dataset.SegmentationType == "FRACTIONAL":
        threshold = int(dataset.MaximumFractionalValue) / 2
    try:
        wanted = [label is None or _segment_of(dataset, i) == label for i in range(len(frames))]
    except (AttributeError, KeyError, IndexError):
        raise MammoroiError(
            f"{path} does not say which frame belongs to which segment",
            "export the segmentation again",
        ) from None
    return np.asarray((frames[np.array(wanted)] >= threshold).any(axis=0))


def refuse_mask(mammogram: Mammogram) -> None:
    """Refuse what was given as a mammogram and is in all likelihood a mask, by its grey values.

    Raises
    ------
    MammoroiError
        When it has two to eight different grey values.
    """
    pixels = mammogram.pixels
    if len(np.unique(pixels.ravel()[::_STEP])) > _MASK_VALUES:  # nearly always: no need to sort all
        return
    values = np.unique(pixels)
    if 2 <= len(values) <= _MASK_VALUES:
        listed = ", ".join(f"{value:g}" for value in values)
        raise MammoroiError(
            f"{mammogram.source} holds no other grey values than {listed}: it is probably a mask",
            "name the mammograms alone, file by file or as a folder without masks; images that a "
            "cohort.csv lists with their masks are for `mammoroi validate`",
        )


def write_mask(path: Path | str, mask: NDArray[Any]) -> Path:
    """Write a mask as an 8-bit grey PNG, 0 outside and 255 inside, and return its path.

    Parameters
    ----------
    mask : NDArray
        (rows, columns), boolean.

    Raises
    ------
    MammoroiError
        When the array is not two-dimensional and boolean.
    """
    import PIL.Image

    path = Path(path)
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise MammoroiError(
            f"the mask for {path} is a {mask.dtype} array of shape {mask.shape}",
            "pass a boolean array of rows x columns",
        )
    with atomic(path) as temporary:
        PIL.Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(temporary, format="PNG")
    return path
