"""What the files say about groups of patients: how they were looked at, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .record import Fact, ModelFiles, Record, known, listed
from .subgroup_words import (
    CLUSTERS,
    SETS,
    dice_found,
    differences,
    found_in,
    groups_of,
    in_brief,
    in_text,
    main_set,
)

if TYPE_CHECKING:
    import pandas as pd

DICE = "comparison/subgroups_dice.csv"


def _tables(record: Record, model: ModelFiles) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The groups of a model and the tests of their heterogeneity; None where there are none."""
    groups, tests = (
        record.table(model.file(name)) for name in ("subgroups.csv", "heterogeneity.csv")
    )
    return None if groups is None or tests is None or groups.empty else (groups, tests)


def _by_model(record: Record) -> list[tuple[ModelFiles, pd.DataFrame, pd.DataFrame]]:
    return [
        (model, *tables)
        for model in record.models()
        if (tables := _tables(record, model)) is not None
    ]


def _groupings(table: pd.DataFrame) -> str:
    return listed([in_text(name) for name in dict.fromkeys(table["grouping"])])


def model_by_group(record: Record, model: ModelFiles) -> list[str]:
    """What was found by group for one model: out of fold, and on the test patients."""
    tables = _tables(record, model)
    if tables is None:
        return []
    groups, tests = tables
    part = main_set(groups)
    first = f"{SETS[part].capitalize()}: {' '.join(found_in(groups, tests, part))}"
    return [line for line in (first, in_brief(groups, tests, "test")) if line]


def subgroup_methods(record: Record) -> Fact | None:
    """How groups of patients were looked at."""
    found = _by_model(record)
    text, files = [], []
    if found:
        text.append(
            "AUC, calibration and ratio of observed to expected events were computed by "
            f"{_groupings(found[0][1])}, for groups with at least 10 patients of either class; "
            "differences in AUC were tested by Cochran's Q of the logits with Holm's correction."
        )
        files = [
            model.file(name)
            for model, *_ in found
            for name in ("subgroups.csv", "heterogeneity.csv")
        ]
    dice = record.table(DICE)
    if dice is not None and len(dice):
        before = set(found[0][1]["grouping"]) if found else set()
        more = dice[~dice["grouping"].isin(before)]
        if before and before <= set(dice["grouping"]):
            also = f"these groups and by {_groupings(more)}" if len(more) else "the same groups"
            text.append(f"Dice was computed for {also}.")
        else:
            text.append(f"Dice was computed by {_groupings(dice)}.")
        files.append(DICE)
    return Fact(" ".join(text), tuple(files)) if text else None


def subgroup_findings(record: Record) -> Fact | None:
    """What the test of heterogeneity found in the largest set that no model was fitted to."""
    parts, alike, files = [], [], []
    for model, groups, tests in _by_model(record):
        part = main_set(groups)
        here = tests[tests["set"] == part]
        if here["p_holm"].isna().all():
            continue
        files += [model.file("subgroups.csv"), model.file("heterogeneity.csv")]
        sentences = differences(groups, tests, part)
        if sentences:
            parts.append(f"By group, {model.name}, {SETS[part]}: {' '.join(sentences)}")
        else:
            alike.append(model.name)
    if alike:
        parts.append(f"No difference in AUC between groups is shown for {listed(alike)}.")
    return Fact(" ".join(parts), tuple(files)) if parts else None


def cluster_findings(record: Record) -> Fact | None:
    """AUC by centre and device, in the largest set that no model was fitted to."""
    parts, files = [], []
    for model, groups, _ in _by_model(record):
        part = main_set(groups)
        aucs = groups_of(groups, part, CLUSTERS)
        if aucs:
            parts.append(f"{model.name}, {SETS[part]}: {listed(aucs)}")
            files.append(model.file("subgroups.csv"))
    return Fact(f"AUC by cluster: {'; '.join(parts)}.", tuple(files)) if parts else None


def dice_by_subgroup(record: Record) -> Fact | None:
    """Which groups the automatic masks suit less."""
    table = record.table(DICE)
    if table is None:
        return None
    rows = table[table["comparison"] == "automatic-manual"]
    sentences = dice_found(rows, _mean_dice(record))
    return Fact(f"By group: {' '.join(sentences)}", (DICE,)) if sentences else None


def _mean_dice(record: Record) -> float | None:
    table = record.table("agreement_summary.csv")
    if table is None:
        return None
    rows = table[
        (table["comparison"] == "automatic-manual")
        & (table["group"] == "all")
        & (table["metric"] == "dice")
    ]
    value = float(rows["mean"].iloc[0]) if len(rows) else None
    return value if known(value) else None


FACTS = (subgroup_methods, subgroup_findings, cluster_findings, dice_by_subgroup)
