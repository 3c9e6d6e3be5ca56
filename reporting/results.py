"""What a finished study found, as the report shows it: tables, read by :mod:`.read_results`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SETS = {"train": "train_out_of_fold", "test": "test"}
METRIC_SETS = {**SETS, "all": "all_out_of_fold"}
"""The last only where the study predicted all patients out of fold."""


def everyone(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of a table of ``comparison`` that count a patient with a missed lesion, too."""
    return table[table["rule"] == "intention_to_diagnose"]


@dataclass(frozen=True)
class RoiResult:
    """What the modelling stage wrote for one target and one source of masks.

    ``metrics`` holds ``train_out_of_fold``, ``train_apparent``, ``test`` and ``threshold``;
    ``funnel`` the number of features left after each step of the selection, in order;
    ``icc_source`` what the first step rests on (``reader2``, ``perturbation`` or, when it was left
    out, nothing), and ``icc_patients`` on how many training patients.
    ``subgroups`` and ``heterogeneity`` come back empty from a study of an earlier version;
    ``predictors``, ``predictors_decision``, ``nomogram`` and ``about_predictors`` come back empty
    from a study without clinical predictors; the last says why there are none, where that was
    written. ``recipe``, ``claim`` (:mod:`..modeling.literal`), ``stability`` (Nogueira's index over
    the refits) come back empty, and ``n_refits`` is 0, where a study of an earlier version lacks
    them. ``centres`` and ``centres_summary`` come back
    empty where no centre was held out.
    """

    roi: str
    predictions: pd.DataFrame
    metrics: dict[str, Any]
    selection: pd.DataFrame
    funnel: dict[str, int]
    icc_source: str | None
    icc_patients: int
    lasso_path: pd.DataFrame
    lasso_coefficients: pd.DataFrame
    roc: pd.DataFrame
    calibration: pd.DataFrame
    decision: pd.DataFrame
    predictors: pd.DataFrame
    predictors_decision: pd.DataFrame
    nomogram: pd.DataFrame
    about_predictors: dict[str, Any]
    recipe: dict[str, Any]
    claim: dict[str, Any]
    stability: dict[str, Any]
    n_refits: int
    subgroups: pd.DataFrame
    heterogeneity: pd.DataFrame
    centres: pd.DataFrame
    centres_summary: pd.DataFrame


@dataclass(frozen=True)
class Target:
    """A yes-or-no question to the classifiers, with its results per source of masks."""

    name: str
    task: str
    title: str
    label: str
    positive: str
    negative: str
    results: dict[str, RoiResult]

    @property
    def heading(self) -> str:
        """The target in words: ``"HER2: low against zero or positive"``."""
        return f"{self.title}: {self.positive} against {self.negative}"


@dataclass(frozen=True)
class FeatureSet:
    """One feature table: how many images it holds, and its provenance as it was written."""

    roi: str
    n_images: int
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """All results of one study, as tables.

    ``paired`` holds the tables of ``comparison/`` that a study of an earlier version lacks.
    ``targets`` is empty in a study of the masks alone, and there only; so are ``features``,
    ``missed``, ``auc``, ``stability`` and ``paired`` then. ``masks`` is empty in a study of manual
    masks alone, and there only; so is all that is measured of automatic masks then. ``agreement``
    and ``stability`` then hold what two readers' masks have in common, if there are two. A feature
    counted as stable has an ICC above ``icc_threshold``.
    """

    folder: Path
    cohort: dict[str, Any]
    images: pd.DataFrame
    patients: pd.DataFrame
    splits: dict[str, Any]
    excluded: pd.DataFrame
    failures: dict[str, pd.DataFrame]
    masks: pd.DataFrame
    agreement: pd.DataFrame
    agreement_summary: pd.DataFrame
    overlays: pd.DataFrame
    histories: dict[str, pd.DataFrame]
    features: dict[str, FeatureSet]
    missed: pd.DataFrame
    targets: list[Target]
    auc: pd.DataFrame
    stability: pd.DataFrame
    icc_threshold: float
    paired: dict[str, pd.DataFrame]
    run: dict[str, Any]

    @property
    def synthetic(self) -> bool:
        """Whether the cohort says that its mammograms are phantoms."""
        return bool(self.cohort.get("synthetic", False))

    @property
    def classifiers(self) -> bool:
        """Whether the study is of classifiers, too, not of the masks alone."""
        return bool(self.targets)

    @property
    def automatic(self) -> bool:
        """Whether the study has automatic masks, not manual ones alone."""
        return not self.masks.empty

    @property
    def read_twice(self) -> bool:
        """Whether masks of a second reader were compared."""
        return bool((self.agreement["comparison"] == "reader2-manual").any())

    @property
    def masks_compared(self) -> bool:
        """Whether any masks were compared with the manual ones."""
        return self.automatic or self.read_twice

    @property
    def failed(self) -> pd.DataFrame:
        """All failures of all stages: ``case, stage, error, action``."""
        import pandas as pd

        return pd.concat(list(self.failures.values()), ignore_index=True)

    @property
    def name(self) -> str:
        """The name of the cohort, or the folder's name."""
        return str(self.cohort.get("name") or self.folder.name)
