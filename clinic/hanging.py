"""Where each mammogram hangs: right breast on the left, left breast on the right, CC above MLO.

So do mammograms hang everywhere: as if the patient stood before the reader, chest wall to chest
wall. Where only one side was imaged, or no side is stated, pictures hang in pairs as they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .results import ImageResult

SIDES = {"R": "right", "L": "left"}
_ORDER = ("CC", "MLO", "ML", "LM", "LMO")


@dataclass(frozen=True)
class Place:
    """One place of the wall.

    Attributes
    ----------
    image : int or None
        Which of the images; None for a place that stays empty.
    wall : str
        Where the chest wall belongs: ``right``, ``left``, or ``""`` where it is not known.
    missing : str
        What is missing, in words, for an empty place.
    """

    image: int | None
    wall: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Row:
    """One row of one or two places; ``name`` is what it shows, for readers."""

    name: str
    places: tuple[Place, ...]


def hang(images: Sequence[ImageResult]) -> tuple[Row, ...]:
    """Hang the images in rows; every image hangs once."""
    order = sorted(range(len(images)), key=lambda at: (_rank(images[at].view), at))
    sided = [at for at in order if images[at].laterality in SIDES]
    rows: list[Row] = []
    if len({images[at].laterality for at in sided}) == len(SIDES):
        for view in dict.fromkeys(images[at].view for at in sided):
            name = view or "View not stated"
            right, left = (
                [at for at in sided if (images[at].view, images[at].laterality) == (view, side)]
                for side in SIDES
            )
            for number in range(max(len(right), len(left))):
                pair = (_place(right, number, "R", view), _place(left, number, "L", view))
                rows.append(Row(name if number == 0 else f"{name} {number + 1}", pair))
    else:
        sided = []
    others = [at for at in order if at not in sided]
    for first in range(0, len(others), 2):
        both = others[first : first + 2]
        names = list(dict.fromkeys(images[at].view or "view not stated" for at in both))
        name = " and ".join(names)
        used = sum(row.name.split(", ")[0] == name for row in rows)
        name = f"{name}, {used + 1}" if used else name
        rows.append(Row(name[0].upper() + name[1:], tuple(Place(at) for at in both)))
    return tuple(rows)


def _rank(view: str | None) -> tuple[int, str]:
    """CC before MLO before others, plain views before those with modifiers, unknown ones last."""
    if view is None:
        return len(_ORDER) + 1, ""
    plain = view.split("+")[0]
    return (_ORDER.index(plain) if plain in _ORDER else len(_ORDER)), view


def _place(found: Sequence[int], number: int, side: str, view: str | None) -> Place:
    wall = "right" if side == "R" else "left"
    if number < len(found):
        return Place(found[number], wall)
    named = f"{view} view" if view else "picture without a stated view"
    return Place(None, wall, f"No {'further ' if number else ''}{SIDES[side]} {named} is here")
