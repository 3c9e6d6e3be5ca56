"""Figures about the masks: Dice, Dice by group, training history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..segmentation.bootstrap import mean_and_median
from ..segmentation.folds import NetworkName
from . import wording
from .facts_data import boxed
from .results import Results
from .style import COLOUR, COMPARISON, MARKER, Plot, bare, legend_below, panels
from .wording import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

BOOTSTRAP_SAMPLES = 2000
"""Of patients, for the difference between the automatic masks and a second reader's."""


def summary(results: Results, comparison: str, group: str = "all") -> pd.Series | None:
    """The row of ``agreement_summary.csv`` for Dice, or ``None`` when there is none."""
    table = results.agreement_summary
    rows = table[
        (table["comparison"] == comparison)
        & (table["group"] == group)
        & (table["metric"] == "dice")
    ]
    return None if rows.empty else rows.iloc[0]


def mean_dice(results: Results, comparison: str) -> Estimate | None:
    """Mean Dice of a comparison with its interval, or ``None`` when it was not made."""
    row = summary(results, comparison)
    return None if row is None else mean_of(row)


def mean_of(row: pd.Series) -> Estimate:
    """The mean in a row of ``agreement_summary.csv``."""
    return Estimate(row["mean"], row["mean_lower"], row["mean_upper"])


def beside_reader2(results: Results) -> tuple[Estimate, int]:
    """Mean Dice of the automatic masks minus a second reader's, on the images that have both.

    Resampled are the patients, as for all intervals of ``agreement_summary.csv``; the number is
    that of the images.
    """
    dice = results.agreement.pivot_table("dice", ["image_id", "patient_id"], "comparison")
    both = dice.reindex(columns=["automatic-manual", "reader2-manual"]).dropna()
    difference = (both["automatic-manual"] - both["reader2-manual"]).to_numpy(float)
    patients = both.index.get_level_values("patient_id").to_numpy(object)
    mean, _ = mean_and_median(difference, patients, BOOTSTRAP_SAMPLES, seed=0)
    return Estimate(mean.value, mean.lower, mean.upper), len(both)


def draw_dice(results: Results) -> Plot | None:
    """Every image's Dice as a dot, with box and median, per comparison; nothing without any."""
    import numpy as np

    table = results.agreement[["image_id", "comparison", "dice"]].dropna()
    if table.empty:
        return None
    kinds = [kind for kind in reversed(COMPARISON) if (table["comparison"] == kind).any()]
    figure, ((ax,),) = panels(1, 1, 0.9 + 1.1 * max(1, len(kinds)))
    scatter = np.random.default_rng(0)
    findings = []
    for at, kind in enumerate(kinds):
        roi, name = COMPARISON[kind]
        dice = table.loc[table["comparison"] == kind, "dice"].to_numpy()
        ax.plot(
            dice,
            at + scatter.uniform(0.06, 0.36, len(dice)),
            MARKER[roi],
            ms=3.2,
            mew=0,
            color=COLOUR[roi],
            alpha=0.55,
        )
        ax.boxplot(
            [dice],
            positions=[at - 0.14],
            orientation="horizontal",
            widths=0.22,
            showfliers=False,
            manage_ticks=False,
            patch_artist=True,
            boxprops={"facecolor": "white", "edgecolor": COLOUR[roi], "linewidth": 1.4},
            medianprops={"color": COLOUR[roi], "linewidth": 2.6},
            whiskerprops={"color": COLOUR[roi]},
            capprops={"color": COLOUR[roi]},
        )
        median = float(np.median(dice))
        ax.annotate(
            f"median {median:.2f}",
            (median, at - 0.27),
            ha="center",
            va="top",
            fontsize=9.5,
            color=COLOUR[roi],
        )
        findings.append(f"{name}, median {median:.2f} over {len(dice)} images")
    ax.set_yticks(
        range(len(kinds)), [COMPARISON[kind][1].replace(" against", "\nagainst") for kind in kinds]
    )
    ax.set_ylim(-0.55, len(kinds) - 0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("Dice (0 = no overlap, 1 = the same mask)")
    bare(ax)
    return Plot(
        "dice_distribution",
        "How well the masks overlap",
        "Each dot is one image; the box holds the middle half of the images, its thick line is "
        "the median. Further right is better."
        + (" A missed lesion counts as 0." if "automatic-manual" in kinds else ""),
        f"Here: {'; '.join(findings)}.",
        figure,
        table,
    )


def draw_dice_groups(results: Results) -> Plot | None:
    """Mean Dice with interval by size, view, breast density and set."""
    import pandas as pd

    table = results.agreement_summary
    table = table[(table["metric"] == "dice") & table["group"].str.contains("=", regex=False)]
    table = table[["comparison", "group", "n", "mean", "mean_lower", "mean_upper"]]
    if table.empty:
        return None
    groups = sorted(dict.fromkeys(table["group"]), key=_place(table["group"]))
    kinds = [kind for kind in COMPARISON if (table["comparison"] == kind).any()]
    figure, ((ax,),) = panels(1, 1, 1.2 + 0.42 * len(groups))
    for shift, kind in zip((-0.13, 0.13), kinds, strict=False):
        roi, name = COMPARISON[kind]
        rows = table[table["comparison"] == kind].set_index("group").reindex(groups)
        at = pd.Series(range(len(groups)), index=groups, dtype=float) + shift
        ax.hlines(at, rows["mean_lower"], rows["mean_upper"], color=COLOUR[roi], lw=2)
        ax.plot(rows["mean"], at, MARKER[roi], color=COLOUR[roi], ms=7, label=name)
        for y, n in zip(at, rows["n"], strict=True):
            if pd.notna(n):
                ax.text(
                    1.01,
                    y,
                    f"n = {n:.0f}",
                    va="center",
                    fontsize=8.5,
                    color=COLOUR[roi],
                    transform=ax.get_yaxis_transform(),
                )
    ax.set_yticks(range(len(groups)), [_group_name(group) for group in groups])
    ax.set_ylim(len(groups) - 0.5, -0.5)
    # A group of few patients has a mean and no interval.
    low = float(table[["mean", "mean_lower"]].min().min())
    ax.set_xlim(max(-0.02, min(0.5, low - 0.02)), 1.02)
    ax.set_xlabel("mean Dice, 95% confidence interval")
    bare(ax)
    legend_below(figure, ax)
    automatic = table[table["comparison"] == "automatic-manual"].dropna(subset=["mean_lower"])
    finding = ""
    if len(set(automatic["mean"])) > 1:
        low, high = (automatic.loc[automatic["mean"].agg(f)] for f in ("idxmin", "idxmax"))
        finding = (
            f"Automatic masks are lowest for {_group_name(low['group'])} ({low['mean']:.2f}, "
            f"n = {low['n']}) and highest for {_group_name(high['group'])} ({high['mean']:.2f}, "
            f"n = {high['n']})."
        )
    return Plot(
        "dice_groups",
        "Overlap by size, view, density and set",
        "Each mark is the mean of a group of images and its line the 95% confidence interval; "
        "groups whose lines overlap widely cannot be told apart. Without a line: fewer than 5 "
        "patients.",
        finding,
        figure,
        table,
    )


_ASCENDING = ("<10mm", "10-20mm", ">20mm", "fatty", "scattered", "heterogeneous")
"""Levels that are not in their order where they are sorted as text; any other comes after them."""


def _place(groups: pd.Series) -> Callable[[str], tuple[int, int]]:
    """The place of a group in the figure: columns as in the table, their levels ascending."""
    columns = list(dict.fromkeys(group.partition("=")[0] for group in groups))

    def place(group: str) -> tuple[int, int]:
        column, _, level = group.partition("=")
        known = level in _ASCENDING
        return columns.index(column), _ASCENDING.index(level) if known else len(_ASCENDING)

    return place


def _group_name(group: str) -> str:
    column, _, level = group.partition("=")
    return f"{column.replace('_', ' ')}: {level.replace('_', ' ')}"


def draw_history(results: Results) -> Plot | None:
    """Loss and Dice over the epochs, one line per network."""
    import matplotlib as mpl
    import pandas as pd

    if not results.histories:
        return None
    table = pd.concat(
        [history.assign(fold=fold) for fold, history in results.histories.items()],
        ignore_index=True,
    )
    table = table[["fold", "epoch", "train_loss", "tuning_loss", "tuning_dice"]]
    figure, ((loss, dice),) = panels(1, 2, 3.4)
    shades = mpl.colormaps["magma"]
    for at, (fold, history) in enumerate(results.histories.items()):
        line: dict[str, Any] = {
            "color": shades(0.15 + 0.6 * at / len(results.histories)),
            "lw": 1.6,
        }
        label = str(NetworkName.of(fold) or fold)
        loss.plot(history["epoch"], history["train_loss"], ls=":", **line)
        loss.plot(history["epoch"], history["tuning_loss"], **line)
        dice.plot(history["epoch"], history["tuning_dice"], label=label, **line)
    loss.set_title("loss")
    dice.set_title("Dice")
    for ax in (loss, dice):
        ax.set_xlabel("epoch")
        ax.locator_params(axis="x", integer=True)
    dice.set_ylim(0, 1)
    legend_below(figure, dice)
    best = [float(history["tuning_dice"].max()) for history in results.histories.values()]
    several = any("-network-" in fold for fold in results.histories)
    what, each = ("network", "") if several else ("fold", " (one network each)")
    finding = f"Best held-out Dice per {what}: {', '.join(wording.number(x) for x in best)}."
    return Plot(
        "training_history",
        "Training of the network",
        f"One line per {what}{each}; solid on images held back from training, dotted on "
        "the training images. A solid Dice line that falls again would mean learning by heart.",
        finding,
        figure,
        table,
    )


def lesions_missed(results: Results) -> tuple[int, int]:
    """How many images had nothing outlined, of how many segmented."""
    found = results.masks["found"].astype(bool)
    return int((~found).sum()), len(found)


def boxes(results: Results) -> tuple[int, int]:
    """How many of the images whose masks were compared have a box for a manual mask, of all."""
    images, agreement = results.images, results.agreement
    compared = agreement.loc[agreement["comparison"] == "automatic-manual", "image_id"]
    return boxed(images[images["image_id"].isin(compared)]), len(compared)


def lesions_beside(results: Results) -> tuple[int, int]:
    """How many automatic masks hold something and share no pixel with the manual one, of all."""
    masks, agreement = results.masks, results.agreement
    drawn = masks.loc[masks["found"].astype(bool), "image_id"]
    compared = agreement[agreement["comparison"] == "automatic-manual"]
    # Of a box (mask_kind) there is no Dice, but whether anything in it was outlined.
    nothing_shared = (compared["dice"] == 0) | compared["found"].eq(False)
    apart = compared["image_id"].isin(drawn) & nothing_shared
    return int(apart.sum()), len(masks)
