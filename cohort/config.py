"""Settings of the room `cohort`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import MammoroiError


@dataclass(frozen=True)
class CohortConfig:
    """Which cohort a study uses, and how its patients are divided.

    Attributes
    ----------
    folder : Path
        The cohort folder: `cohort.csv`, `patients.csv` and, optionally, `cohort.json`.
    test_size : float
        Share of the patients in the test set, rounded up to whole patients. 0.3 is the paper's 7:3.
        Ignored where `patients.csv` has a column `split`. 0 has no test set: every patient's masks
        are cross-fitted, for studies of the segmentation alone (classifiers need a test set).
    n_folds : int
        Number of folds into which the training patients are divided.
    seed : int
        Seed of the division; the same seed and patients give the same division.
    stratify : tuple of str
        Columns of `patients.csv` whose values are spread evenly over the test set and the folds;
        where strata get too small, the columns named last give way first. Of the standard columns,
        those that `patients.csv` does not have are ignored.
    """

    folder: Path = Path("cohort")
    test_size: float = 0.3
    n_folds: int = 5
    seed: int = 15
    stratify: tuple[str, ...] = ("sln", "her2")

    def __post_init__(self) -> None:
        if not 0.0 <= self.test_size < 1.0:
            raise MammoroiError(
                f"test_size is {self.test_size}", "choose a share from 0 to below 1, such as 0.3"
            )
        if self.n_folds < 2:
            raise MammoroiError(f"n_folds is {self.n_folds}", "choose at least 2 folds")
        if not 0 <= self.seed < 2**32:  # as scikit-learn takes it
            raise MammoroiError(
                f"seed is {self.seed}", f"choose a whole number from 0 to {2**32 - 1}"
            )
