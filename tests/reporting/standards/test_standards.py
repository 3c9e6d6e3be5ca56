"""Checklists: they say what the files say, and nothing else."""

import re
from pathlib import Path

import pandas as pd
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import write_csv
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.methods import SECTIONS, sections
from mammoroi.reporting.model_card import write_cards
from mammoroi.reporting.standards import (
    ANSWERED,
    CONFIRM,
    FOLDER,
    NOT_APPLICABLE,
    OPEN,
    SHOWN,
    score,
    standards,
    standards_tables,
    write_standards,
)

# What a complete run evidences.
METRICS_SHOWN = set(map(str, (9, 10, 11, 12, 13, 14, 15, 18, 20, 21, 22, 24, 26)))
CLEAR_SHOWN = set(map(str, (15, *range(21, 29), *range(30, 36), *range(37, 42), 44, 46, 47, 48)))
TRIPOD_SHOWN = {"13", "15", "21", "22", "23a", *(f"12{x}" for x in "abceg"), "20a", "20b", "20c"}


def _status(folder: Path, name: str = "metrics") -> dict[str, str]:
    table = standards(folder)[name]
    return dict(zip(table["item"], table["status"], strict=True))


def _shown(folder: Path, name: str = "metrics") -> set[str]:
    return {item for item, status in _status(folder, name).items() if status == SHOWN}


def test_the_lists_are_whole_and_refer_to_what_exists() -> None:
    lists = {name: pd.read_csv(FOLDER / f"{name}.csv", dtype=str, keep_default_na=False)
             for name in ("clear", "metrics", "tripod_ai")}  # fmt: skip
    assert lists["clear"]["item"].tolist() == [str(k) for k in range(1, 59)]
    assert lists["metrics"]["item"].tolist() == [str(k) for k in range(1, 31)]
    tripod = lists["tripod_ai"]["item"]
    assert len(tripod) == tripod.nunique() == 52
    assert list(dict.fromkeys(tripod.str.rstrip("abcdefg"))) == [str(k) for k in range(1, 28)]
    weights = lists["metrics"].set_index("item")["weight"].astype(float)
    assert weights.sum() == pytest.approx(1, abs=1e-9)  # Kocak et al. 2024, Table 1
    assert weights[["3", "18", "27", "30"]].tolist() == [0.0919, 0.0599, 0.0749, 0.0075]
    assert lists["metrics"]["section"].nunique() == 9
    for table in lists.values():
        assert set(table["who"]) == {"software", "assisted", "human"}
        assert (table.loc[table["who"] != "software", "hint"] != "").all()
        assert (table.loc[table["who"] == "software", "evidence"] != "").all()
        named = {key.rstrip("?!") for keys in table["evidence"] for key in keys.split()}
        assert named <= set(FACTS)
    assert {name for names in SECTIONS.values() for name in names} <= set(FACTS)


def test_a_complete_run_shows_what_it_holds_and_names_the_files(complete: Path) -> None:
    filled = standards(complete)
    assert _shown(complete) == METRICS_SHOWN
    assert _shown(complete, "clear") == CLEAR_SHOWN
    assert _shown(complete, "tripod_ai") == TRIPOD_SHOWN
    for table in filled.values():
        for row in table.to_dict("records"):
            files = row["evidence"].split("; ") if row["evidence"] else []
            assert all(list(complete.glob(name)) for name in files), row["item"]
            assert bool(files) == (row["status"] in (SHOWN, CONFIRM)), row["item"]
            if row["who"] == "human":
                assert (row["value"], row["status"]) in (("", OPEN), ("", NOT_APPLICABLE))
    assert [table.name for table in standards_tables(filled)] == ["clear", "metrics", "tripod_ai"]


def test_nothing_is_shown_by_an_empty_folder(tmp_path: Path) -> None:
    for table in standards(tmp_path).values():
        assert not table["status"].isin((SHOWN, CONFIRM, ANSWERED)).any()
        assert (table["value"] == "").all()
    assert score(standards(tmp_path)["metrics"]).lowest == 0
    assert sections(tmp_path) == []
    assert write_cards(tmp_path) == []
    with pytest.raises(MammoroiError, match="no folder"):
        standards(tmp_path / "absent")


def test_other_estimators_count_as_simple_models(copied: Path) -> None:
    row = {"test_auc": 0.7, "test_auc_lower": 0.6, "test_auc_upper": 0.8}
    rows = [{"estimator": name, **row} for name in ("svm", "elastic-net")]
    write_csv(copied / "models/sln/manual/comparators.csv", pd.DataFrame(rows))
    assert _shown(copied) - METRICS_SHOWN == {"25"}


def test_metrics_is_a_range_of_the_published_weights(copied: Path) -> None:
    """Item 17 does not apply: the others' weights are scaled by 1 / 0.98."""
    weights = pd.read_csv(FOLDER / "metrics.csv", dtype={"item": str}).set_index("item")["weight"]
    found = score(standards(copied)["metrics"])
    assert found.shown == pytest.approx(weights[sorted(METRICS_SHOWN)].sum() / 0.98, abs=1e-12)
    assert found.unsupported == pytest.approx(weights["25"] / 0.98, abs=1e-12)
    assert found.highest == pytest.approx(1 - found.unsupported, abs=1e-12)

    answers = [("2", "yes, see the text"), ("4", "no"), ("25", "yes"), ("14", "No: few readers")]
    _answer(copied, [("metrics", *one) for one in answers])
    judged = score(standards(copied)["metrics"])
    assert judged.answered == pytest.approx(weights[["2", "25"]].sum() / 0.98)
    assert judged.shown == pytest.approx(found.shown - weights["14"] / 0.98)
    assert judged.remaining == pytest.approx(found.remaining - weights[["2", "4"]].sum() / 0.98)
    assert f"{judged.lowest:.1%}" in str(judged)

    everything = [("metrics", item, "yes") for item in weights.index if item != "17"]
    _answer(copied, everything)
    assert score(standards(copied)["metrics"]).lowest == pytest.approx(1)


def _answer(folder: Path, rows: list[tuple[str, str, str]]) -> None:
    table = pd.DataFrame(rows, columns=["standard", "item", "answer"])
    write_csv(folder / "standards_answers.csv", table)


def test_answers_survive_another_run(copied: Path) -> None:
    write_standards(copied)
    given = pd.read_csv(copied / "standards/to_answer.csv", dtype=str)
    assert given["answer"].isna().all()
    given.loc[(given["standard"] == "clear") & (given["item"] == "8"), "answer"] = "Committee 12/3."
    write_csv(copied / "standards_answers.csv", given)
    for _ in range(2):
        write_standards(copied)
        row = pd.read_csv(copied / "standards/clear.csv", dtype=str).set_index("item").loc["8"]
        assert (row["status"], row["answer"]) == (ANSWERED, "Committee 12/3.")
    assert len(pd.read_csv(copied / "standards/to_answer.csv")) == len(given) - 1


@pytest.mark.parametrize("answer", ["n/a", "N/A: a phantom", "NA", "n.a.", "Not applicable: none"])
def test_what_does_not_apply_is_no_no(copied: Path, answer: str) -> None:
    """Its weight is left out of the score; as a no it would be counted against the study."""
    _answer(copied, [("metrics", "2", answer), ("clear", "8", answer)])
    filled = standards(copied)
    for name, item in (("metrics", "2"), ("clear", "8")):
        assert filled[name].set_index("item").loc[item, "status"] == NOT_APPLICABLE
    _answer(copied, [("metrics", "2", "no")])
    assert score(filled["metrics"]).unsupported < score(standards(copied)["metrics"]).unsupported


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("clear", "59", "x")], "item 59 of 'clear', which does not exist"),
        ([("rqs", "1", "x")], "item 1 of 'rqs'"),
        ([("clear", "8", "x"), ("clear", "8", "y")], "clear 8 twice"),
        ([("metrics", "4", "perhaps")], "metrics 4 with 'perhaps'"),
        ([("metrics", "4", "nothing is known")], "metrics 4 with 'nothing is known'"),
    ],
)
def test_answers_that_fit_nothing_are_refused(
    copied: Path, rows: list[tuple[str, str, str]], message: str
) -> None:
    _answer(copied, rows)
    with pytest.raises(MammoroiError, match=re.escape(message)):
        standards(copied)
