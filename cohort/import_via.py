"""Regions drawn in the VGG Image Annotator (VIA), as it saves them in a CSV file.

A row per region: ``#filename``, ``file_size``, ``file_attributes``, ``region_count``,
``region_id``, ``region_shape_attributes``, ``region_attributes``, the shape as JSON. An image
without regions may have a row whose shape is ``{}``. Shapes that are read: ``polygon``,
``polyline``, ``circle``, ``ellipse`` (``theta`` is its turn in radians, clockwise as seen) and
``point``.

Source: Dutta and Zisserman 2019, DOI 10.1145/3343031.3350535.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import MammoroiError
from .cohort import records
from .import_common import cell
from .import_outlines import Corners
from .import_tables import read_table

_COLUMNS = ["#filename", "file_size", "region_shape_attributes"]
_CLOSED = 0.1
"""A line whose ends are no farther apart than this share of its length goes around a region."""

_ROUND = np.linspace(0, 2 * np.pi, 360, endpoint=False)


@dataclass
class Annotated:
    """What was drawn on one image.

    Attributes
    ----------
    shapes : list of str
        The regions, in JSON.
    file_size : str or None
        Size in bytes of the file on which they were drawn; None where it was not saved.
    """

    shapes: list[str] = field(default_factory=list)
    file_size: str | None = None


def read_via(path: Path) -> dict[str, Annotated]:
    """Read the regions of all images.

    Returns
    -------
    dict
        Name of the file, without its suffix and without blanks around it, to its regions.

    Raises
    ------
    MammoroiError
        When the file is missing, no table, or lacks a column.
    """
    images: dict[str, Annotated] = {}
    for row in records(read_table(path, _COLUMNS)):
        image = images.setdefault(Path(row["#filename"] or "").stem.strip(), Annotated())
        size = cell(row["file_size"])
        image.file_size = size if size and size.isdecimal() else None  # -1: not known
        shape = cell(row["region_shape_attributes"])
        if shape and shape != "{}":
            image.shapes.append(shape)
    return images


def corners_of(shape: str) -> Corners:
    """Give the corners of a region.

    Parameters
    ----------
    shape : str
        Its shape in JSON.

    Returns
    -------
    ndarray
        (number, 2): row and column in pixels. A circle or an ellipse has 360 corners. A point has
        one; a polyline whose ends do not meet has none, since it encloses nothing.

    Raises
    ------
    MammoroiError
        When the shape is not known, or lacks a number.
    """
    try:
        region = json.loads(shape)
        name = region["name"]
        if name in ("polygon", "polyline"):
            corners = np.array([region["all_points_y"], region["all_points_x"]], dtype=float).T
            if name == "polyline" and not _closed(corners):
                corners = corners[:0]
        elif name == "point":
            corners = np.array([[region["cy"], region["cx"]]], dtype=float)
        elif name in ("circle", "ellipse"):
            radii = ("r", "r") if name == "circle" else ("rx", "ry")
            along, across = (float(region[radius]) for radius in radii)
            turn = float(region.get("theta", 0))
            x, y = along * np.cos(_ROUND), across * np.sin(_ROUND)
            corners = np.stack(
                [
                    float(region["cy"]) + x * np.sin(turn) + y * np.cos(turn),
                    float(region["cx"]) + x * np.cos(turn) - y * np.sin(turn),
                ],
                axis=1,
            )
        else:
            raise MammoroiError(
                f"a region has the shape '{name}', which is no outline that is known here",
                "leave the image out",
            )
    except (AttributeError, KeyError, TypeError, ValueError):
        corners = np.array([np.nan])
    if corners.ndim != 2 or not np.isfinite(corners).all():
        raise MammoroiError(
            "a region cannot be read: its shape is no JSON of the VGG Image Annotator, or lacks a "
            "number",
            "download the table of outlines again",
        )
    return corners


def _closed(corners: Corners) -> bool:
    """Whether the ends of a line meet, nearly."""
    length = np.linalg.norm(np.diff(corners, axis=0), axis=1).sum()
    return len(corners) > 2 and bool(np.linalg.norm(corners[-1] - corners[0]) <= _CLOSED * length)
