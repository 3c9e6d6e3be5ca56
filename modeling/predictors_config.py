"""The settings of the stage `model` as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from .clinical_config import ClinicalConfig
from .config import ModelingConfig


@dataclass(frozen=True)
class ModelStage:
    """The settings of the stage `model`: the classifiers, and which clinical variables there are.

    Of ``clinical`` the variables alone count (:func:`.predictors.clinical_of`).
    """

    modeling: ModelingConfig
    clinical: ClinicalConfig = field(default_factory=ClinicalConfig)
