"""A mammogram as an exported network takes it (see :mod:`.export` and docs/export.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cohort.schema import check_spacing
from ..files import atomic, read_json
from ..imaging.spacing import GIVEN
from .mapping import Mapping, padded_size
from .prepare import working_array


def prepared_image(
    image: Path | str, exported: Path | str, *, spacing_mm: float | None = None
) -> tuple[NDArray[np.float32], Mapping]:
    """Do with a mammogram what ``preparation.json`` asks for before the network.

    Parameters
    ----------
    image : Path or str
        A file that :func:`mammoroi.imaging.read.read_mammogram` reads.
    exported : Path or str
        Folder that :func:`.export.export` wrote.
    spacing_mm : float, optional
        Pixel size, for files that do not say it themselves.

    Returns
    -------
    array : float32 (1, 1, rows, columns), 0..1
        Padded at the bottom and on the right.
    mapping : Mapping
        The way back: ``mapping.to_original`` takes the first ``working_rows`` rows and
        ``working_columns`` columns of what the network gives.

    Raises
    ------
    MammoroiError
        When the folder has no ``preparation.json``, or the mammogram cannot be read, has no
        spacing or one that cannot be meant.
    """
    from ..imaging.read import read_mammogram

    check_spacing(spacing_mm)
    about = read_json(Path(exported) / "preparation.json")
    mammogram = read_mammogram(Path(image), spacing_mm=spacing_mm, spacing_source=GIVEN)
    array, mapping, _ = working_array(mammogram, float(about["working_spacing_mm"]))
    multiple = int(about["input"]["rows_and_columns_are_multiples_of"])
    sides = [
        max(int(least), padded_size(size, multiple))
        for least, size in zip(about["canvas"], array.shape, strict=True)
    ]
    padded = np.zeros((1, 1, *sides), np.float32)
    padded[0, 0, : array.shape[0], : array.shape[1]] = array
    return padded, mapping


def write_prepared(
    image: Path | str, exported: Path | str, out: Path | str, *, spacing_mm: float | None = None
) -> Mapping:
    """Write the array of :func:`prepared_image` without its first two axes as an .npy file.

    Parameters
    ----------
    image, exported, spacing_mm
        As for :func:`prepared_image`.
    out : Path or str
        The file to write, such as ``prepared.npy``.

    Returns
    -------
    Mapping
        The way back.

    Raises
    ------
    MammoroiError
        As :func:`prepared_image`.
    """
    array, mapping = prepared_image(image, exported, spacing_mm=spacing_mm)
    with atomic(Path(out)) as temporary, temporary.open("wb") as stream:
        np.save(stream, array[0, 0])
    return mapping
