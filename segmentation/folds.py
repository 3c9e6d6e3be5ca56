"""Who trains a fold's network, who chooses its best epoch, and whose masks it may draw.

A fold's network draws the masks of the patients in the fold's validation part, so these may
neither train it nor choose its best epoch: the tuning patients are held back from the fold's own
training part. Test patients take no part in any fold; all networks together draw their masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MammoroiError

if TYPE_CHECKING:
    from ..cohort.split import Splits


@dataclass(frozen=True)
class FoldSets:
    """The patients of one fold, by what its network does with them.

    Attributes
    ----------
    training : tuple of str
        Patients from whom the weights are learned.
    tuning : tuple of str
        Patients on whom the best epoch is chosen.
    validation : tuple of str
        Patients whose masks the network draws.
    """

    training: tuple[str, ...]
    tuning: tuple[str, ...]
    validation: tuple[str, ...]


def fold_sets(splits: Splits, fold: int, tuning_fraction: float, seed: int) -> FoldSets:
    """Divide the patients of a fold; at least one tunes and one trains.

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
    count = min(max(1, round(tuning_fraction * len(patients))), len(patients) - 1)
    order = np.random.default_rng([seed, fold]).permutation(patients)
    return FoldSets(
        training=tuple(sorted(order[count:].tolist())),
        tuning=tuple(sorted(order[:count].tolist())),
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
