"""Splits: nobody on two sides, evenly stratified, the same every time."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import Fold, Splits, load_splits, make_splits, write_splits
from mammoroi.errors import MammoroiError


def paper_patients() -> pd.DataFrame:
    """838 patients with the paper's SLN x HER2 counts."""
    counts = {
        ("negative", "zero"): 159,
        ("negative", "low"): 150,
        ("negative", "positive"): 116,
        ("positive", "zero"): 87,
        ("positive", "low"): 147,
        ("positive", "positive"): 179,
    }
    rows = [key for key, n in counts.items() for _ in range(n)]
    table = pd.DataFrame(rows, columns=["sln", "her2"])
    return table.assign(patient_id=[f"P{i:03d}" for i in range(len(table))])


def test_the_paper_s_seven_to_three() -> None:
    splits = make_splits(CohortConfig(), paper_patients())
    assert (len(splits.train), len(splits.test)) == (586, 252)
    assert [len(fold.validation) for fold in splits.folds] == [118, 117, 117, 117, 117]


def test_nobody_is_on_two_sides() -> None:
    patients = paper_patients()
    splits = make_splits(CohortConfig(), patients)
    assert set(splits.train) | set(splits.test) == set(patients["patient_id"])
    assert not set(splits.train) & set(splits.test)
    for fold in splits.folds:
        assert not set(fold.train) & set(fold.validation)
        assert set(fold.train) | set(fold.validation) == set(splits.train)
    for one, other in combinations(splits.folds, 2):
        assert not set(one.validation) & set(other.validation)


def test_every_part_has_the_strata_s_shares() -> None:
    patients = paper_patients().set_index("patient_id")
    splits = make_splits(CohortConfig(), patients.reset_index())
    shares = patients.groupby(["sln", "her2"]).size() / len(patients)
    for part in (splits.train, splits.test, *(fold.validation for fold in splits.folds)):
        found = patients.loc[list(part)].groupby(["sln", "her2"]).size() / len(part)
        assert np.abs(found - shares).max() < 1.5 / len(part) + 1e-9


def test_same_seed_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    patients = paper_patients()
    shuffled = patients.sample(frac=1, random_state=1)
    one = write_splits(tmp_path / "a", make_splits(CohortConfig(), patients))
    other = write_splits(tmp_path / "b", make_splits(CohortConfig(), shuffled))
    assert one.read_bytes() == other.read_bytes()
    assert make_splits(CohortConfig(seed=16), patients).test != load_splits(tmp_path / "a").test


def test_another_seed_makes_other_folds_where_the_test_set_is_given() -> None:
    patients = paper_patients().assign(split="train")
    patients.loc[::4, "split"] = "test"
    one, other = (make_splits(CohortConfig(seed=seed), patients) for seed in (15, 16))
    assert (one.train, one.test) == (other.train, other.test)
    assert one.folds != other.folds


def test_a_stratum_of_as_many_patients_as_there_are_folds_is_divided() -> None:
    patients = paper_patients().iloc[:50].assign(her2="zero")
    patients.loc[patients.index[:5], "her2"] = "low"
    given = patients.assign(split=["train"] * 49 + ["test"])
    splits = make_splits(CohortConfig(n_folds=5), given)
    rare = set(patients["patient_id"][:5])
    assert [len(rare & set(fold.validation)) for fold in splits.folds] == [1] * 5


def test_written_and_read_again(tmp_path: Path) -> None:
    splits = make_splits(CohortConfig(), paper_patients())
    path = write_splits(tmp_path, splits)
    assert load_splits(tmp_path) == splits
    assert list(json.loads(path.read_text())) == [
        *("seed", "test_size", "n_folds", "stratify", "train", "test", "folds")
    ]
    assert splits.fold_of(splits.test[0]) is None
    assert splits.fold_of(splits.folds[3].validation[0]) == 3


@pytest.mark.parametrize("n", range(8, 40))
def test_small_cohorts_with_rare_strata_are_divided(n: int) -> None:
    rng = np.random.default_rng(n)
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(n)],
            "sln": rng.choice(["negative", "positive", None], n, p=[0.6, 0.3, 0.1]),
            "her2": rng.choice(["zero", "low", "positive", None], n, p=[0.6, 0.2, 0.1, 0.1]),
        }
    )
    splits = make_splits(CohortConfig(n_folds=3), patients)
    assert len(splits.test) == int(np.ceil(0.3 * n))
    assert all(fold.validation for fold in splits.folds)


def test_a_rare_value_of_the_last_column_gives_way_and_the_first_stays_even() -> None:
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{i:02d}" for i in range(40)],
            "sln": ["negative", "positive"] * 20,
            "her2": ["positive"] + ["low"] * 39,
        }
    )
    splits = make_splits(CohortConfig(n_folds=2), patients)
    positive = set(patients.loc[patients["sln"] == "positive", "patient_id"])
    assert len(positive & set(splits.test)) == 6
    assert {len(positive & set(fold.validation)) for fold in splits.folds} == {7}


def test_a_given_split_is_kept() -> None:
    patients = paper_patients().assign(split="train")
    patients.loc[::4, "split"] = "test"
    splits = make_splits(CohortConfig(), patients)
    assert list(splits.test) == patients["patient_id"][::4].tolist()


def test_patients_of_whom_nothing_else_is_known_are_divided() -> None:
    patients = pd.DataFrame({"patient_id": [str(number) for number in range(20)]})
    splits = make_splits(CohortConfig(n_folds=2), patients)
    assert len(splits.test) == 6
    assert sorted([*splits.train, *splits.test]) == sorted(patients["patient_id"])


def test_absent_standard_columns_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    splits = make_splits(CohortConfig(), paper_patients().drop(columns="her2"))
    assert splits.stratify == ("sln",)
    assert "not stratified by her2" in caplog.text


@pytest.mark.parametrize(
    ("change", "config", "found"),
    [
        ({}, CohortConfig(stratify=("sln", "birads6")), "stratify names 'birads6'"),
        ({"patient_id": "P1"}, CohortConfig(), "occurs twice"),
        ({"split": None}, CohortConfig(), "not filled"),
        ({"split": "train"}, CohortConfig(), "no test patient"),
    ],
)
def test_what_cannot_be_divided(
    change: dict[str, str | None], config: CohortConfig, found: str
) -> None:
    with pytest.raises(MammoroiError, match=found):
        make_splits(config, paper_patients().assign(**change))


@pytest.mark.parametrize(("n", "found"), [(2, "cannot be divided"), (5, "cannot make 5 folds")])
def test_too_few_patients(n: int, found: str) -> None:
    with pytest.raises(MammoroiError, match=found):
        make_splits(CohortConfig(), paper_patients().head(n))


@pytest.mark.parametrize(
    ("train", "test", "folds"),
    [
        (("1", "2"), ("2",), (Fold(("1",), ("2",)), Fold(("2",), ("1",)))),
        (("1", "2"), ("3",), (Fold(("1", "3"), ("2",)), Fold(("2",), ("1",)))),
        (("1", "2"), ("3",), (Fold(("1",), ("2",)), Fold(("1",), ("2",)))),
        (("1", "2"), ("3",), (Fold(("1", "2"), ("2",)), Fold(("2",), ("1",)))),
    ],
    ids=["train and test", "test patient in a fold", "validated twice", "train and validation"],
)
def test_leaky_splits_are_refused(
    train: tuple[str, ...], test: tuple[str, ...], folds: tuple[Fold, ...]
) -> None:
    with pytest.raises(MammoroiError):
        Splits(15, 0.3, 2, (), train, test, folds)


def test_incomplete_file(tmp_path: Path) -> None:
    (tmp_path / "splits.json").write_text('{"seed": 15}')
    with pytest.raises(MammoroiError, match="incomplete"):
        load_splits(tmp_path)


def test_without_test_set_everybody_is_cross_fitted() -> None:
    patients = pd.DataFrame({"patient_id": [f"p{number}" for number in range(11)]})
    splits = make_splits(CohortConfig(test_size=0, n_folds=3, stratify=()), patients)
    assert splits.test == ()
    assert sorted(splits.train) == sorted(patients["patient_id"])


@pytest.mark.parametrize(
    "wrong",
    [{"test_size": -0.1}, {"test_size": 1.0}, {"n_folds": 1}, {"seed": -1}, {"seed": 2**32}],
)
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(MammoroiError):
        CohortConfig(**wrong)  # type: ignore[arg-type]
