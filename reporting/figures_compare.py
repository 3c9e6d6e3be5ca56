"""Figures about manual against automatic masks: AUC and feature values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import wording
from .figures_classifiers import metric
from .results import SETS, Results, everyone
from .style import (
    COLOUR,
    COMPARISON,
    GREY,
    INK,
    MARKER,
    NAME,
    Plot,
    bare,
    labelled,
    legend_below,
    panels,
)

if TYPE_CHECKING:
    import pandas as pd

RULES = {
    "complete_case": "lesion always found",
    "intention_to_diagnose": "everyone",
}
FILL = {"complete_case": INK, "intention_to_diagnose": "white"}
ICC_UNITS = {
    "automatic": "ICC(2,1), {} of all patients",
    "reader2": "ICC(2,1), {} of all patients",
    "perturbed": "ICC(1,1), {} of training patients",
}
_SOURCE_COLUMN = {"automatic": "automatic", "reader2": "reader", "perturbed": "perturbation"}


def draw_auc(results: Results) -> Plot | None:
    """AUC with manual and with automatic masks, and their paired difference."""
    table = _auc_table(results)
    look: dict[str, Any]
    lines = [(target.name, part) for part in ("test", "train") for target in results.targets]
    figure, ((left, right),) = panels(1, 2, 1.3 + 0.46 * len(lines), widths=[1.25, 1])
    for at, (name, part) in enumerate(lines):
        rows = table[(table["target"] == name) & (table["set"] == part)].set_index("quantity")
        for shift, roi in ((-0.14, "manual"), (0.14, "automatic")):
            if f"auc_{roi}" in rows.index:
                row = rows.loc[f"auc_{roi}"]
                left.hlines(at + shift, row["lower"], row["upper"], color=COLOUR[roi], lw=2)
                look = {"color": COLOUR[roi], "ms": 6.5, "label": NAME[roi]}
                left.plot(row["value"], at + shift, MARKER[roi], **look)
        for shift, rule in ((-0.14, "complete_case"), (0.14, "intention_to_diagnose")):
            if f"difference_{rule}" in rows.index:
                row = rows.loc[f"difference_{rule}"]
                right.hlines(at + shift, row["lower"], row["upper"], color=INK, lw=1.4)
                look = {"color": INK, "mfc": FILL[rule], "ms": 5.5, "label": RULES[rule]}
                right.plot(row["value"], at + shift, "D", **look)
    left.axvline(0.5, color=GREY, lw=1, ls=(0, (1, 2)))
    right.axvline(0, color=GREY, lw=1, ls=(0, (1, 2)))
    left.set_yticks(
        range(len(lines)),
        [f"{name}\n{'test' if part == 'test' else 'out of fold'}" for name, part in lines],
        fontsize=9,
    )
    right.set_yticks([])
    for ax in (left, right):
        ax.set_ylim(len(lines) - 0.5, -0.5)
        bare(ax)
        ax.axhline(len(results.targets) - 0.5, color="#d9d9d9", lw=1)
    left.set_title("AUC")
    right.set_title("automatic minus manual")
    left.legend(*labelled(left), loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=2)
    if right.get_legend_handles_labels()[0]:  # nothing was compared
        right.legend(
            *labelled(right), loc="upper center", bbox_to_anchor=(0.5, -0.07), fontsize=8.5
        )
    return Plot(
        "auc_manual_automatic",
        "AUC with manual and with automatic masks",
        "Left, the AUC with its 95% confidence interval (dotted line: chance). Right, the "
        "difference in the same patients: a line that crosses 0 shows no difference, left of 0 "
        "the automatic masks do worse.",
        _auc_words(results),
        figure,
        table,
    )


def _auc_table(results: Results) -> pd.DataFrame:
    """``target, set, quantity, value, lower, upper`` of all AUCs and differences."""
    import pandas as pd

    records: list[dict[str, Any]] = []
    for target in results.targets:
        for part in SETS:
            for roi in target.results:
                auc = metric(target, roi, part, "auc")
                keys = {"target": target.name, "set": part, "quantity": f"auc_{roi}"}
                records.append({**keys, **asdict(auc)})
    for row in results.auc.to_dict("records"):
        part = {"train_out_of_fold": "train"}.get(row["set"], row["set"])
        keys = {"target": row["target"], "set": part, "quantity": f"difference_{row['rule']}"}
        ends = {"lower": row["lower"], "upper": row["upper"]}
        records.append({**keys, "value": row["difference"], **ends})
    return pd.DataFrame(records)


def _auc_words(results: Results) -> str:
    rows = everyone(results.auc).query("set == 'test'")
    parts = [
        f"{row['target']}: {wording.interval(row['difference'], row['lower'], row['upper'], 3)}, "
        f"{wording.p_value(row['p_delong'])}"
        for _, row in rows.iterrows()
    ]
    return f"Differences on the test patients, everyone: {'; '.join(parts)}." if parts else ""


def draw_icc(results: Results) -> Plot | None:
    """ICC per feature family: automatic, second reader's and perturbed against manual masks."""
    import numpy as np

    if results.stability.empty:
        return None
    table, threshold = _long(results.stability), results.icc_threshold
    if table.empty:
        return None
    families = list(dict.fromkeys(table["family"]))
    present = [roi for roi in ICC_UNITS if (table["comparison"] == f"{roi}-manual").any()]
    figure, ((ax,),) = panels(1, 1, 1.2 + (0.15 + 0.2 * len(present)) * len(families))
    scatter = np.random.default_rng(0)
    findings = []
    places = min(0.4, 0.84 / len(present)) * (np.arange(len(present)) - (len(present) - 1) / 2)
    for shift, roi in zip(places, present, strict=True):
        rows = table[table["comparison"] == f"{roi}-manual"]
        groups = [rows.loc[rows["family"] == family, "icc"].to_numpy() for family in families]
        for at, values in enumerate(groups):
            ax.plot(
                values,
                at + shift + scatter.uniform(-0.1, 0.1, len(values)),
                MARKER[roi],
                ms=2.6,
                mew=0,
                color=COLOUR[roi],
                alpha=0.3,
                rasterized=len(table) > 1000,
            )
        ax.boxplot(
            groups,
            positions=[at + shift for at in range(len(families))],
            widths=0.2,
            orientation="horizontal",
            showfliers=False,
            manage_ticks=False,
            boxprops={"color": COLOUR[roi], "linewidth": 1.3},
            medianprops={"color": COLOUR[roi], "linewidth": 2.6},
            whiskerprops={"color": COLOUR[roi]},
            capprops={"color": COLOUR[roi]},
        )
        name = COMPARISON[f"{roi}-manual"][1]
        ax.plot([], [], MARKER[roi], color=COLOUR[roi], label=name)
        n_images = int(rows["n"].max())
        findings.append(
            f"{name} ({ICC_UNITS[roi].format(wording.plural(n_images, 'image'))}), "
            f"{_stability(rows['icc'], len(results.stability), threshold)}"
        )
    ax.axvline(threshold, color=INK, lw=1, ls="--")
    ax.set_yticks(range(len(families)), families)
    ax.set_ylim(len(families) - 0.5, -0.5)
    ax.set_xlim(max(-1.0, min(0.0, float(table["icc"].min())) - 0.03), 1.02)
    ax.set_xlabel(f"ICC over images; dashed line: {threshold:g}")
    bare(ax)
    legend_below(figure, ax)
    return Plot(
        "icc_families",
        "Do features keep their values when the mask comes from elsewhere?",
        "Each dot is one feature: 1 means that all masks give every image the same value, 0 that "
        "they agree no better than by chance. The thick line of each box is the median.",
        f"Here: {'; '.join(findings)}.",
        figure,
        table,
    )


def _stability(known: pd.Series, n_features: int, threshold: float) -> str:
    """Words on all features; one whose ICC cannot be told is not stable, as elsewhere."""
    n_stable = int((known > threshold).sum())
    return wording.stability(float(known.median()), n_stable, n_features, threshold)


def _long(stability: pd.DataFrame) -> pd.DataFrame:
    """A row for each feature and comparison whose ICC can be told."""
    import pandas as pd

    parts = []
    for roi, source in _SOURCE_COLUMN.items():
        names = {
            f"icc_{source}": "icc",
            f"icc_{source}_lower": "lower",
            f"icc_{source}_upper": "upper",
            f"n_{source}": "n",
        }
        part = stability[["feature", "family", "image_type", *names]].rename(columns=names)
        part.insert(0, "comparison", f"{roi}-manual")
        parts.append(part.dropna(subset=["icc"]))
    return pd.concat(parts, ignore_index=True)
