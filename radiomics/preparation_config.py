"""What a preset may ask to be done with pixels and mask before the features: ``preparation``.

::

    preparation:
      spacing_mm: 0.1
      normalise: {method: z-score, within: breast, scale: 100}
      rings_mm: [2, 5]

Each part may be left out; :mod:`.preparation` says what each does. Everything here is part of the
preset's hash.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..cohort.schema import nearest
from ..errors import MammoroiError
from ..imaging.spacing import COARSEST_MM, FINEST_MM, possible

METHODS = ("z-score", "percentile")
REGIONS = ("breast", "image")


@dataclass(frozen=True)
class Normalisation:
    """How grey levels are made comparable between devices.

    Attributes
    ----------
    method : {"z-score", "percentile"}
        ``scale * (x - mean) / SD``, or ``scale * (x - low) / (high - low)`` with two percentiles.
        Nothing is clipped.
    within : {"breast", "image"}
        The pixels of which mean and SD, or the percentiles, are taken.
    scale : float
        Grey levels per SD, or from the low percentile to the high one. ``binWidth`` counts in them.
    percentiles : tuple[float, float]
        Low and high, from 0 to 100; of ``percentile`` only.
    """

    method: Literal["z-score", "percentile"]
    within: Literal["breast", "image"]
    scale: float
    percentiles: tuple[float, float] = (1.0, 99.0)

    def __post_init__(self) -> None:
        for key, value, valid in (
            ("method", self.method, METHODS),
            ("within", self.within, REGIONS),
        ):
            if value not in valid:
                raise MammoroiError(
                    f"preparation: normalise: {key} is {value!r}", nearest(str(value), valid)
                )
        if not is_positive(self.scale):
            raise MammoroiError(
                f"preparation: normalise: scale is {self.scale!r}",
                "state grey levels per SD (such as 100), or from the low percentile to the high "
                "one (such as 1000)",
            )
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise MammoroiError(
                f"preparation: normalise: percentiles are {low:g} and {high:g}",
                "give two numbers from 0 to 100, the smaller first, such as [1, 99]",
            )


@dataclass(frozen=True)
class Preparation:
    """What is done with pixels and mask before the features, in this order.

    Attributes
    ----------
    spacing_mm : float | None
        Mammogram and mask are resampled to it.
    normalise : Normalisation | None
        Of the resampled pixels.
    rings_mm : tuple[float, ...]
        Outer edges, in mm from the ROI, of successive peritumoral rings: 2, 5 are the rings from
        0 to 2 mm and from 2 to 5 mm.
    """

    spacing_mm: float | None = None
    normalise: Normalisation | None = None
    rings_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        spacing = self.spacing_mm
        if spacing is not None and not (is_positive(spacing) and possible(spacing)):
            raise MammoroiError(
                f"preparation: spacing_mm is {spacing!r}",
                f"give mm per pixel from {FINEST_MM} to {COARSEST_MM}, such as 0.1",
            )
        edges = (0.0, *self.rings_mm)
        if not all(is_positive(edge) for edge in self.rings_mm) or any(
            outer <= inner for inner, outer in itertools.pairwise(edges)
        ):
            raise MammoroiError(
                f"preparation: rings_mm is {list(self.rings_mm)}",
                "give the outer edges of the rings in mm, from the innermost on, such as [2, 5]",
            )

    @property
    def rings(self) -> dict[str, tuple[float, float]]:
        """Inner and outer edge of each ring in mm, by the name that its features start with."""
        edges = (0.0, *self.rings_mm)
        return {
            f"ring-{inner:g}-{outer:g}mm": (inner, outer)
            for inner, outer in itertools.pairwise(edges)
        }


def read_preparation(path: Path, content: Any) -> Preparation:
    """Check the keys of a preset's ``preparation``.

    Raises
    ------
    MammoroiError
        When a key is unknown (the nearest is named), one is missing, or a value is impossible.
    """
    keys = _mapping(path, "preparation", content, ("spacing_mm", "normalise", "rings_mm"))
    try:
        rings = keys.get("rings_mm") or ()
        rings = rings if isinstance(rings, list | tuple) else [rings]
        return Preparation(
            spacing_mm=_as_float(keys.get("spacing_mm")),
            normalise=_normalisation(path, keys["normalise"]) if keys.get("normalise") else None,
            rings_mm=tuple(map(_as_float, rings)),
        )
    except MammoroiError as error:
        found = error.found if str(path) in error.found else f"{path}: {error.found}"
        raise MammoroiError(found, error.action) from None


def _normalisation(path: Path, content: Any) -> Normalisation:
    required = ("method", "within", "scale")
    keys = _mapping(path, "preparation: normalise", content, (*required, "percentiles"))
    for key in required:
        if key not in keys:
            raise MammoroiError(
                f"preparation: normalise has no {key}",
                "write it like {method: z-score, within: breast, scale: 100}",
            )
    method, within, scale = keys["method"], keys["within"], _as_float(keys["scale"])
    if "percentiles" not in keys:
        return Normalisation(method, within, scale)
    given = keys["percentiles"]
    if method == "z-score":
        raise MammoroiError(
            "preparation: normalise: percentiles are given for the method z-score",
            "leave percentiles out, or set method to percentile",
        )
    if not isinstance(given, list) or len(given) != 2 or not all(map(_number, given)):
        raise MammoroiError(
            f"preparation: normalise: percentiles is {given!r}", "give two, such as [1, 99]"
        )
    return Normalisation(method, within, scale, (float(given[0]), float(given[1])))


def _mapping(path: Path, name: str, content: Any, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise MammoroiError(f"{path}: {name} is {content!r}", f"give {', '.join(allowed)}")
    refuse_unknown(path, f"key of {name}", content, allowed)
    return content


def refuse_unknown(path: Path, kind: str, found: Iterable[Any], valid: Iterable[str]) -> None:
    """Refuse what is not among the valid names.

    Raises
    ------
    MammoroiError
        Which names the nearest valid one.
    """
    allowed = tuple(valid)
    for key in found:
        if key not in allowed:
            raise MammoroiError(f"{path}: unknown {kind} {key!r}", nearest(str(key), allowed))


def _as_float(value: Any) -> Any:
    """5 and 5.0 are one setting, and so one hash; what is no number is refused later."""
    return float(value) if _number(value) else value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_positive(value: Any) -> bool:
    """Whether a value of a preset is a number above 0."""
    return _number(value) and value > 0
