"""Who trains a fold's networks, who chooses their best epoch, and whose masks they may draw.

A fold's networks draw the masks of the patients in the fold's validation part, so these may
neither train them nor choose their best epoch: the tuning patients are held back from the fold's
own training part. All networks of a fold have the same patients and differ in their seed alone.
Test patients take no part in any fold; all networks together draw their masks.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MammoroiError

if TYPE_CHECKING:
    from ..cohort.split import Splits


@dataclass(frozen=True, order=True)
class NetworkName:
    """Which network of a study, in the order in which they are drawn with.

    Attributes
    ----------
    fold : int
        Its fold, counted from 0.
    number : int
        Which of the fold's networks, counted from 1.
    """

    fold: int
    number: int = 1

    def __str__(self) -> str:
        return f"fold {self.fold}" + (f", network {self.number}" if self.number > 1 else "")

    @property
    def folder(self) -> str:
        """``fold-K`` of a fold's first network, ``fold-K-network-N`` of a further one."""
        return f"fold-{self.fold}" + (f"-network-{self.number}" if self.number > 1 else "")

    @property
    def lock(self) -> str:
        """The hidden file that its training holds."""
        return f".{self.folder}.lock"

    def seed(self, seed: int) -> int:
        """Give the seed of its fold's networks of this number: for the first the study's own."""
        if self.number == 1:
            return seed
        # Far from those of the other folds, which are the study's plus the fold.
        return int(np.random.SeedSequence([seed, self.number]).generate_state(1)[0]) // 2

    @classmethod
    def of(cls, folder: str) -> NetworkName | None:
        """Read a folder's name; None where it is no network's."""
        parts = re.fullmatch(r"fold-([0-9]+)(?:-network-([0-9]+))?", folder)
        if parts is None:
            return None
        name = cls(int(parts[1]), int(parts[2] or 1))
        return name if name.folder == folder else None


def network_names(folds: int, networks_per_fold: int) -> list[NetworkName]:
    """List the networks that a study is to have, in order."""
    numbers = range(1, networks_per_fold + 1)
    return [NetworkName(fold, number) for fold in range(folds) for number in numbers]


@dataclass(frozen=True)
class FoldSets:
    """The patients of one fold, by what its networks do with them.

    Attributes
    ----------
    training : tuple of str
        Patients from whom the weights are learned.
    tuning : tuple of str
        Patients on whom the best epoch is chosen.
    validation : tuple of str
        Patients whose masks the networks draw.
    """

    training: tuple[str, ...]
    tuning: tuple[str, ...]
    validation: tuple[str, ...]


def fold_sets(
    splits: Splits,
    fold: int,
    tuning_fraction: float,
    seed: int,
    ready: Set[str] | None = None,
) -> FoldSets:
    """Divide the patients of a fold; at least one tunes and one trains.

    Parameters
    ----------
    ready : set of str, optional
        Patients of whom there is an image with a mask: only they tune. None is everybody.

    Raises
    ------
    MammoroiError
        When the fold has fewer than two training patients.
    """
    patients = sorted(splits.folds[fold].train)
    if len(patients) < 2:
        raise MammoroiError(
            f"fold {fold} has {len(patients)} training patients",
            "lower cohort.n_folds or add patients",
        )
    order = np.random.default_rng([seed, fold]).permutation(patients).tolist()
    able = [patient for patient in order if ready is None or patient in ready]
    tuning = able[: min(max(1, round(tuning_fraction * len(patients))), len(able) - 1)]
    return FoldSets(
        training=tuple(sorted(set(patients) - set(tuning))),
        tuning=tuple(sorted(tuning)),
        validation=tuple(splits.folds[fold].validation),
    )


def drawing_folds(splits: Splits, patient_id: str) -> tuple[int, ...]:
    """Folds whose networks may draw a patient's masks: none of them has seen the patient.

    Raises
    ------
    MammoroiError
        When the patient is neither a training nor a test patient.
    """
    fold = splits.fold_of(patient_id)
    if fold is not None:
        return (fold,)
    if patient_id in splits.test:
        return tuple(range(len(splits.folds)))
    raise MammoroiError(f"patient {patient_id} is not in splits.json", "run the cohort stage again")
