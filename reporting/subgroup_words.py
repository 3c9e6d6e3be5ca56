"""For whom it works, in words: from the tables of groups, for the page, the cards and the lists.

Tables as the stages `model` and `compare` write them: ``subgroups.csv``, ``heterogeneity.csv``,
``subgroups_dice.csv``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .record import listed

if TYPE_CHECKING:
    import pandas as pd

GROUPING = {
    "age": "age (years)",
    "size": "lesion size",
    "ethnicity": "ethnicity",
    "breast_density": "breast density",
    "centre": "centre",
    "view": "view",
    "device": "device",
}
SETS = {
    "all": "all patients, out of fold",
    "train": "training patients, out of fold",
    "test": "test patients",
}
NOT_KNOWN = "not known"
ALPHA = 0.05
CLUSTERS = ("centre", "device")


def main_set(table: pd.DataFrame) -> str:
    """The largest set whose patients no model was fitted to: ``all``, else ``train``."""
    return "all" if (table["set"] == "all").any() else "train"


def name_of(grouping: str) -> str:
    """``lesion size``; a grouping without a name of its own keeps that of its column."""
    return GROUPING.get(grouping, grouping.replace("_", " "))


def in_text(grouping: str) -> str:
    """The same within a sentence, without the unit."""
    return name_of(grouping).removesuffix(" (years)")


def shown(group: str) -> str:
    """A group as the page writes it: ``extremely dense``."""
    return str(group).replace("_", " ")


def found_in(performance: pd.DataFrame, tests: pd.DataFrame, part: str) -> list[str]:
    """What the test of heterogeneity found in one set, and how far it can be trusted.

    Parameters
    ----------
    performance, tests : DataFrame
        ``subgroups.csv`` and ``heterogeneity.csv`` of one model.
    part : str
        The set.

    Returns
    -------
    list of str
        Sentences; the groups that are too small to be computed are named last.
    """
    rows = performance[performance["set"] == part]
    tested = tests[tests["set"] == part]
    if rows.empty:
        return []
    alike = tested[tested["p_holm"] >= ALPHA]
    sentences = differences(performance, tests, part)
    if len(alike):
        names = listed([in_text(name) for name in alike["grouping"]])
        least = wording.p_value(alike["p_holm"].min())
        smallest = _smallest(rows[rows["grouping"].isin(alike["grouping"])])
        sentences.append(
            f"No difference in AUC is shown by {names} (smallest adjusted {least}); that does not "
            f"show that there is none: the smallest group compared has {smallest} in its rarer "
            "class."
        )
    untested = tested.loc[tested["p_holm"].isna(), "grouping"]
    if len(untested):
        names = listed([in_text(name) for name in untested])
        sentences.append(
            f"By {names} nothing could be tested: fewer than two groups are large enough and have "
            "an AUC below 1."
        )
    return [*sentences, *small_groups(rows)]


def differences(performance: pd.DataFrame, tests: pd.DataFrame, part: str) -> list[str]:
    """A sentence for each grouping in which the AUC differs; see :func:`found_in`."""
    rows = performance[performance["set"] == part]
    tested = tests[(tests["set"] == part) & tests["p_holm"].notna()]
    sentences = []
    for _, test in tested[tested["p_holm"] < ALPHA].iterrows():
        aucs = [
            f"{shown(row['group'])} {_figure(row, 'auc')}"
            for _, row in rows[rows["grouping"] == test["grouping"]].iterrows()
            if row["auc"] == row["auc"] and row["group"] != NOT_KNOWN
        ]
        sentences.append(
            f"The AUC differs by {in_text(test['grouping'])} ({wording.p_value(test['p_holm'])}, "
            f"adjusted for {wording.plural(len(tested), 'grouping')} by Holm): {listed(aucs)}."
        )
    return sentences


def in_brief(performance: pd.DataFrame, tests: pd.DataFrame, part: str) -> str:
    """One sentence on a second set; empty where it has no patients."""
    tested = tests[tests["set"] == part]
    if tested.empty:
        return ""
    found = differences(performance, tests, part)
    if found:
        return f"{SETS[part].capitalize()}: {' '.join(found)}"
    if tested["p_holm"].isna().all():
        return f"{SETS[part].capitalize()}: too few to compare any groups."
    return f"{SETS[part].capitalize()}: no difference in AUC is shown."


def small_groups(rows: pd.DataFrame) -> list[str]:
    """A sentence that names the groups with too few of a class, if there are any."""
    few = rows[~rows["stated"].astype(bool) & (rows["group"] != NOT_KNOWN)]
    if few.empty:
        return []
    names = [
        f"{_group(row)} ({row['n_positive']:.0f} of {row['n']:.0f} positive)"
        for _, row in few.iterrows()
    ]
    return [f"Not computed, with fewer than 10 patients of a class: {listed(names)}."]


def groups_of(performance: pd.DataFrame, part: str, groupings: tuple[str, ...]) -> list[str]:
    """``centre north 0.81 (0.72 to 0.89)`` for each group of some groupings with an AUC."""
    rows = performance[(performance["set"] == part) & performance["grouping"].isin(groupings)]
    return [
        f"{_group(row)} {_figure(row, 'auc')}"
        for _, row in rows.iterrows()
        if row["auc"] == row["auc"]
    ]


def dice_found(table: pd.DataFrame, overall: float | None) -> list[str]:
    """Say which groups the masks of one comparison suit less; no test is made.

    Parameters
    ----------
    table : DataFrame
        Rows of ``subgroups_dice.csv`` of one comparison.
    overall : float or None
        Mean Dice of all images; None where it is not known.
    """
    stated = table[table["dice"].notna()]
    sentences = []
    if len(stated):
        ordered = stated.sort_values("dice")
        worst, best = ordered.iloc[0], ordered.iloc[-1]
        sentences.append(
            f"Mean Dice lies between {_figure(worst, 'dice')} for {_group(worst)} and "
            f"{_figure(best, 'dice')} for {_group(best)}."
        )
    if overall is not None:
        below = stated[stated["dice_upper"] < overall]
        if len(below):
            sentences.append(
                f"Wholly below the mean of all images ({wording.number(overall)}) lies the "
                f"interval of {listed([_group(row) for _, row in below.iterrows()])}: among "
                f"{len(stated)} groups a reason to look, no finding."
            )
        elif len(stated):
            sentences.append(
                f"No group's interval lies wholly below the mean of all images "
                f"({wording.number(overall)})."
            )
    few = table[~table["stated"].astype(bool)]
    if len(few):
        names = [f"{_group(row)} ({row['n_images']:.0f})" for _, row in few.iterrows()]
        sentences.append(f"Not computed, with fewer than 10 images: {listed(names)}.")
    return sentences


def _group(row: pd.Series) -> str:
    return f"{in_text(row['grouping'])} {shown(row['group'])}"


def _smallest(rows: pd.DataFrame) -> str:
    """``11 patients``: the fewest in the rarer class of a group that has an AUC."""
    known = rows[rows["auc"].notna() & (rows["group"] != NOT_KNOWN)]
    rarer = known["n_positive"].clip(upper=known["n"] - known["n_positive"])
    return wording.plural(int(rarer.min()), "patient")


def _figure(row: pd.Series, name: str) -> str:
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"])
