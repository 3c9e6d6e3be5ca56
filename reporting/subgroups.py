"""The section "For whom it works": what was found in groups of patients, and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .figures_masks import mean_dice
from .results import Results, Target
from .style import COMPARISON, NAME
from .subgroup_words import GROUPING, SETS, dice_found, found_in, in_brief, main_set, name_of, shown
from .tables import Table

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("auc", "calibration_slope", "calibration_intercept", "observed_expected")
NOT_STATED = "fewer than 10 of a class"


def stacked(target: Target) -> pd.DataFrame:
    """The groups of all sources of masks, with leading columns ``target`` and ``roi``."""
    import pandas as pd

    tables = [
        result.subgroups.assign(target=target.name, roi=roi)[
            ["target", "roi", *result.subgroups.columns]
        ]
        for roi, result in target.results.items()
        if not result.subgroups.empty
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def looked_at(results: Results) -> bool:
    """Whether the study holds figures by group; one of an earlier version does not."""
    return "subgroups_dice" in results.paired or any(
        not result.subgroups.empty
        for target in results.targets
        for result in target.results.values()
    )


def findings(target: Target) -> list[str]:
    """What the test found for each source of masks: out of fold, and on the test patients."""
    words = []
    for roi, result in target.results.items():
        groups, tests = result.subgroups, result.heterogeneity
        if groups.empty:
            continue
        part = main_set(groups)
        sentences = [*found_in(groups, tests, part), in_brief(groups, tests, "test")]
        words.append(f"{NAME[roi].capitalize()}, {SETS[part]}: {' '.join(sentences).strip()}")
    return words


def dice_findings(results: Results) -> list[str]:
    """Which groups the masks suit less, for each comparison with the manual masks."""
    table = results.paired.get("subgroups_dice")
    words = []
    for kind, (_, name) in COMPARISON.items():
        rows = None if table is None else table[table["comparison"] == kind]
        if rows is not None and len(rows):
            mean = mean_dice(results, kind)
            sentences = dice_found(rows, None if mean is None else mean.value)
            words.append(f"{name.capitalize()}: {' '.join(sentences)}")
    return words


def subgroups_table(target: Target) -> Table | None:
    """Discrimination and calibration of a target by group, as large a set as there is."""
    frame = stacked(target)
    if frame.empty:
        return None
    part = main_set(frame)
    rows = frame[frame["set"] == part]
    groupings = [*GROUPING, *(name for name in rows["grouping"].unique() if name not in GROUPING)]
    groups = list(dict.fromkeys(rows["group"]))
    rows = rows.assign(
        at=rows["grouping"].map(groupings.index), of=rows["group"].map(groups.index)
    ).sort_values(["at", "of"], kind="stable")
    cells = [
        [
            name_of(row["grouping"]),
            shown(row["group"]),
            str(row["roi"]),
            f"{row['n']:.0f} ({row['n_positive']:.0f})",
            *(_cell(row, name) for name in FIGURES),
        ]
        for _, row in rows.iterrows()
    ]
    return Table(
        f"subgroups_{target.name}",
        f"Discrimination and calibration by group, {SETS[part]}",
        "Estimate (95% confidence interval). A slope below 1 says that the risks are too extreme, "
        "an intercept below 0 or observed to expected (O:E) below 1 that they are too high. Groups "
        "overlap between groupings. The CSV has the other sets as well.",
        frame,
        ["Grouping", "Group", "Masks", "n (positive)", "AUC", "Slope", "Intercept", "O:E"],
        cells,
    )


def _cell(row: pd.Series, name: str) -> str:
    if not row["stated"]:
        return NOT_STATED if name == "auc" else ""
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"])
