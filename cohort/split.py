"""Which patients train, which validate and which test: one file, shared by all stages.

``splits.json`` in the study folder holds ``seed, test_size, n_folds, stratify, train, test``
(sorted ``patient_id``) and ``folds``, a list of ``{"train": [...], "validation": [...]}`` whose
validation parts divide the training patients. All images of a patient go with the patient.

Strata. A patient's stratum is the combination of the values of the ``stratify`` columns, an empty
cell being a value of its own. A stratum with too few patients to be divided is given up: its
patients are grouped by one column fewer, the last-named going first. Those still too few join the
stratum that agrees with them in the most columns, counted from the first; of several, the largest.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import read_json, write_json
from .config import CohortConfig
from .schema import PATIENT_COLUMNS, nearest

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """One fold: the patients who train its model and those who validate it."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Splits:
    """The division of a study's patients; see the module's docstring.

    Raises
    ------
    MammoroiError
        When a patient is on both sides of the test set or of a fold, or in no fold or two.
    """

    seed: int
    test_size: float
    n_folds: int
    stratify: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]
    folds: tuple[Fold, ...]

    def __post_init__(self) -> None:
        action = "run `mammoroi accept CONFIG` again to write splits.json anew"
        both = sorted(set(self.train) & set(self.test))
        if both:
            raise MammoroiError(f"patients train and test: {', '.join(both[:5])}", action)
        for number, fold in enumerate(self.folds):
            if sorted(fold.train + fold.validation) != sorted(self.train):
                raise MammoroiError(f"fold {number} does not divide the training patients", action)
        validated = sorted(patient for fold in self.folds for patient in fold.validation)
        if validated != sorted(self.train):
            raise MammoroiError("a training patient is validated in no fold or twice", action)

    def fold_of(self, patient_id: str) -> int | None:
        """Give the fold that validates on a training patient; None for everybody else."""
        for number, fold in enumerate(self.folds):
            if patient_id in fold.validation:
                return number
        return None


def load_splits(study: Path) -> Splits:
    """Read ``splits.json`` of a study folder.

    Raises
    ------
    MammoroiError
        When the file is missing, incomplete, or divides the patients wrongly.
    """
    path = Path(study) / "splits.json"
    if not path.is_file():
        raise MammoroiError(
            f"{path} does not exist", "name a study of which `mammoroi accept CONFIG` was run"
        )
    content = read_json(path)
    try:
        folds = tuple(
            Fold(tuple(fold["train"]), tuple(fold["validation"])) for fold in content["folds"]
        )
        return Splits(
            int(content["seed"]),
            float(content["test_size"]),
            int(content["n_folds"]),
            tuple(content["stratify"]),
            tuple(content["train"]),
            tuple(content["test"]),
            folds,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MammoroiError(
            f"{path} is incomplete: {type(error).__name__} {error}", "delete it and run again"
        ) from None


def write_splits(study: Path, splits: Splits) -> Path:
    """Write ``splits.json``; equal splits are equal bytes."""
    return write_json(Path(study) / "splits.json", splits)


def make_splits(config: CohortConfig, patients: pd.DataFrame) -> Splits:
    """Divide patients into training and test set, and the training patients into folds.

    A column ``split`` (``train``/``test`` for every patient) decides the test set where there is
    one; otherwise ``test_size`` of the patients, rounded up, are drawn, stratified; none when it is
    0. The order of the rows has no influence.

    Parameters
    ----------
    config : CohortConfig
        ``test_size, n_folds, seed, stratify``.
    patients : DataFrame
        One row per patient with ``patient_id`` and the ``stratify`` columns.

    Raises
    ------
    MammoroiError
        When a ``stratify`` column is unknown, a patient occurs twice, ``split`` is not filled, or
        there are too few patients.
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    if patients["patient_id"].duplicated().any():
        raise MammoroiError("a patient occurs twice in patients.csv", "keep one row per patient")
    table = patients.set_index("patient_id").sort_index()
    columns = _stratify_columns(config.stratify, [str(column) for column in table.columns])
    smaller = min(config.test_size, 1 - config.test_size)
    if "split" in table:
        train, test = _given(table["split"])
    elif config.test_size and len(table) * smaller < 1:
        raise MammoroiError(
            f"{len(table)} patients cannot be divided with test_size {config.test_size:g}",
            "add patients",
        )
    elif config.test_size == 0:
        train, test = list(table.index), []
    else:
        strata = _strata(table, columns, math.ceil(1 / smaller))
        train, test = train_test_split(
            list(table.index),
            test_size=config.test_size,
            random_state=config.seed,
            stratify=strata,
        )
    train, test = sorted(train), sorted(test)
    if len(train) < config.n_folds:
        raise MammoroiError(
            f"{len(train)} training patients cannot make {config.n_folds} folds",
            "add patients or lower n_folds",
        )
    kfold = StratifiedKFold(config.n_folds, shuffle=True, random_state=config.seed)
    strata = _strata(table.loc[train], columns, config.n_folds)
    folds = tuple(
        Fold(tuple(train[i] for i in training), tuple(train[i] for i in validation))
        for training, validation in kfold.split(train, strata)
    )
    return Splits(
        config.seed,
        config.test_size,
        config.n_folds,
        columns,
        tuple(train),
        tuple(test),
        folds,
    )


def _given(split: pd.Series) -> tuple[list[str], list[str]]:
    """Take the division from the column ``split``."""
    sets = {
        name: [str(patient) for patient in split.index[split == name]] for name in ("train", "test")
    }
    if len(sets["train"]) + len(sets["test"]) < len(split):
        raise MammoroiError(
            "patients.csv has a column 'split' that is not filled for every patient",
            "write train or test for every patient, or remove the column",
        )
    if not sets["test"]:
        raise MammoroiError(
            "the column 'split' of patients.csv names no test patient",
            "write test for some patients, or remove the column to have them drawn",
        )
    return sets["train"], sets["test"]


def _stratify_columns(names: tuple[str, ...], existing: list[str]) -> tuple[str, ...]:
    """Keep the columns that exist; one that is neither there nor standard is a mistake."""
    standard = {column.name for column in PATIENT_COLUMNS}
    for name in names:
        if name not in existing:
            if name not in standard:
                raise MammoroiError(
                    f"stratify names '{name}', which patients.csv does not have",
                    nearest(name, existing, "it has"),
                )
            log.warning("splits are not stratified by %s: patients.csv has no such column", name)
    return tuple(name for name in names if name in existing)


def _strata(table: pd.DataFrame, columns: tuple[str, ...], minimum: int) -> list[str]:
    """Name every patient's stratum, so that each has ``minimum`` patients where possible."""
    values = table[list(columns)].astype("string").fillna("").to_numpy()
    keys = dict(zip(table.index, map(tuple, values), strict=True))
    strata: dict[str, tuple[str, ...]] = {}
    for depth in range(len(columns), 0, -1):
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for patient, key in keys.items():
            if patient not in strata:
                groups[key[:depth]].append(patient)
        for key, members in groups.items():
            if len(members) >= minimum:
                strata.update(dict.fromkeys(members, key))
    sizes = Counter(strata.values())
    for patient, key in keys.items():
        if patient not in strata:
            alike = {stratum: _agreement(stratum, key) for stratum in sizes}
            strata[patient] = max(sizes, key=lambda s: (alike[s], sizes[s]), default=())
    return ["|".join(strata[patient]) for patient in keys]


def _agreement(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Count how many values are equal before the first that differs."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
