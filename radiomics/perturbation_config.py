"""What the stage `perturb` can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import MammoroiError
from .config import RadiomicsConfig

DIRECTIONS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


@dataclass(frozen=True)
class Perturbation:
    """One way to change a mask.

    Attributes
    ----------
    name : str
        Names folders and rows: ``grow-0.5mm``, ``noise-0.5mm-1``, ``translate-0.5mm-up``.
    kind : {"grow", "shrink", "noise", "translate"}
        What is done.
    mm : float
        How far; of noise the standard deviation.
    length_mm : float
        Correlation length of noise.
    direction : tuple of int
        Down and right, of a translation.
    """

    name: str
    kind: Literal["grow", "shrink", "noise", "translate"]
    mm: float
    length_mm: float = 0.0
    direction: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class StabilityConfig:
    """How the training patients' manual masks are perturbed, for studies with a single reader.

    Nothing is perturbed unless it is asked for: every perturbation costs as much as the extraction
    of the training patients' manual masks.

    Attributes
    ----------
    growth_mm : tuple of float
        One perturbation for each distance by which the outline is moved outwards.
    shrinkage_mm : tuple of float
        One perturbation for each distance by which it is moved inwards.
    noise_mm : tuple of float
        Standard deviations of a smooth random displacement of the outline.
    noise_repeats : int
        Perturbations for each of them.
    noise_length_mm : float
        Distance along the outline over which the displacement changes (correlation 1/e).
    translation_mm : tuple of float
        Four perturbations for each distance: up, down, left and right.
    seed : int
        Of the noise.
    """

    growth_mm: tuple[float, ...] = ()
    shrinkage_mm: tuple[float, ...] = ()
    noise_mm: tuple[float, ...] = ()
    noise_repeats: int = 3
    noise_length_mm: float = 5.0
    translation_mm: tuple[float, ...] = ()
    seed: int = 15

    def __post_init__(self) -> None:
        for name in ("growth_mm", "shrinkage_mm", "noise_mm", "translation_mm"):
            given = getattr(self, name)
            if not all(math.isfinite(mm) and mm > 0 for mm in given):
                raise MammoroiError(f"stability.{name} is {list(given)}", "give mm such as [0.5]")
            if len(set(given)) < len(given):
                raise MammoroiError(f"stability.{name} names {list(given)}", "name each mm once")
        if self.noise_repeats < 1:
            raise MammoroiError(
                f"stability.noise_repeats is {self.noise_repeats}", "give 1 or more"
            )
        if not self.noise_length_mm > 0:
            raise MammoroiError(
                f"stability.noise_length_mm is {self.noise_length_mm}", "give mm such as 5"
            )
        if self.seed < 0:
            raise MammoroiError(f"stability.seed is {self.seed}", "give 0 or more")

    def perturbations(self) -> tuple[Perturbation, ...]:
        """List them in the order of the tables; none by default."""
        found = [Perturbation(f"grow-{mm:g}mm", "grow", mm) for mm in self.growth_mm]
        found += [Perturbation(f"shrink-{mm:g}mm", "shrink", mm) for mm in self.shrinkage_mm]
        found += [
            Perturbation(f"noise-{mm:g}mm-{n + 1}", "noise", mm, self.noise_length_mm)
            for mm in self.noise_mm
            for n in range(self.noise_repeats)
        ]
        found += [
            Perturbation(f"translate-{mm:g}mm-{name}", "translate", mm, direction=direction)
            for mm in self.translation_mm
            for name, direction in DIRECTIONS.items()
        ]
        return tuple(found)


@dataclass(frozen=True)
class PerturbConfig:
    """The stage's settings: the features as in the stage `extract`, and the perturbations."""

    radiomics: RadiomicsConfig
    stability: StabilityConfig
