"""What is declared about the comparison of manual and automatic ROIs before it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from ..errors import MammoroiError
from .config import ModelingConfig


@dataclass(frozen=True)
class CompareConfig:
    """Declarations: to be written down, with their reasons, before any result is seen.

    Attributes
    ----------
    margin_auc : float
        Automatic ROIs are non-inferior when their AUC is shown to fall short of that of manual
        ROIs by less than this.
    risk_thresholds : tuple of float
        Risks, rising, at which what is done about a patient changes; they cut the risks into the
        categories of the reclassification table. Empty: each classifier's own threshold, that was
        fixed on the training patients.
    dice_cuts : tuple of float
        Dice, rising, at which the lesions are parted into strata.
    """

    margin_auc: float = 0.05
    risk_thresholds: tuple[float, ...] = ()
    dice_cuts: tuple[float, ...] = (0.5, 0.7, 0.85)

    def __post_init__(self) -> None:
        if not 0 < self.margin_auc < 0.5:
            raise MammoroiError(f"margin_auc is {self.margin_auc}", "choose a value such as 0.05")
        for name, example in (("risk_thresholds", "[0.1, 0.3]"), ("dice_cuts", "[0.5, 0.7, 0.85]")):
            cuts = getattr(self, name)
            inside = all(0 < cut < 1 for cut in cuts)
            if not inside or any(low >= high for low, high in pairwise(cuts)):
                raise MammoroiError(
                    f"{name} is {list(cuts)}", f"give rising values between 0 and 1, as {example}"
                )


@dataclass(frozen=True)
class CompareStage:
    """The settings of the stage `compare`: those of the classifiers, and what was declared."""

    modeling: ModelingConfig
    declared: CompareConfig = field(default_factory=CompareConfig)
