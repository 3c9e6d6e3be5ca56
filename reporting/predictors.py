"""Radiomics beside clinical variables: the table, the figure, and what radiomics adds in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .results import SETS, RoiResult, Target
from .style import COLOUR, GREY, MARKER, NAME, SET_NAME, Plot, bare, legend_below, panels
from .tables import Table, blank_repeats
from .tables_paired import ALL_SETS
from .wording import Estimate

if TYPE_CHECKING:
    import pandas as pd

PREDICTORS = {
    "radiomics": "radiomics",
    "preoperative": "clinical, preoperative",
    "radiomics+preoperative": "radiomics + preoperative",
    "clinical": "clinical, all",
    "radiomics+clinical": "radiomics + clinical, all",
}
AGAINST = {
    "radiomics+preoperative": "preoperative clinical variables",
    "radiomics+clinical": "clinical variables",
}


def stacked(target: Target) -> pd.DataFrame:
    """The tables of all sources of masks, with leading columns ``target`` and ``roi``."""
    import pandas as pd

    tables = [
        result.predictors.assign(target=target.name, roi=roi)[
            ["target", "roi", *result.predictors.columns]
        ]
        for roi, result in target.results.items()
    ]
    return pd.concat(tables, ignore_index=True)


def predictors_table(targets: list[Target]) -> Table | None:
    """AUC, increments, Brier score and calibration slope of each set of predictors of a task."""
    import pandas as pd

    frames = [stacked(target) for target in targets if not _empty(target)]
    if not frames:
        return None
    frame = pd.concat(frames, ignore_index=True)
    frame["order"] = frame["predictor"].map(list(PREDICTORS).index)
    frame["part"] = frame["set"].map(list(ALL_SETS).index)
    frame["source"] = frame["roi"].map(list(NAME).index)
    frame["question"] = frame["target"].map([target.name for target in targets].index)
    keys = ["question", "part", "source", "order"]
    frame = frame.sort_values(keys, kind="stable").drop(columns=keys)
    cells = [
        [
            str(row["target"]),
            ALL_SETS[row["set"]],
            str(row["roi"]),
            PREDICTORS[row["predictor"]],
            f"{row['n']:.0f} ({row['n_positive']:.0f})",
            _interval(row, "auc"),
            _interval(row, "over_radiomics", 3),
            _interval(row, "over_clinical", 3),
            _p(row["over_clinical_p"]),
            wording.number(row["brier"], 3),
            _interval(row, "calibration_slope"),
        ]
        for _, row in frame.iterrows()
    ]
    blank_repeats(cells, 3)
    return Table(
        f"predictors_{targets[0].task}",
        f"Radiomics and clinical variables, {targets[0].title}",
        "Estimate (95% confidence interval), DeLong. Over radiomics = AUC minus that of radiomics "
        "alone; over clinical = AUC of both together minus that of the clinical variables in it, "
        "which is what radiomics adds. Every model was fitted without the patients it predicts. "
        + _imputed(targets),
        frame,
        [
            "Target",
            "Patients",
            "Masks",
            "Predictors",
            "n (positive)",
            "AUC",
            "Over radiomics",
            "Over clinical",
            "P",
            "Brier score",
            "Calibration slope",
        ],
        cells,
    )


def skipped(targets: list[Target]) -> str:
    """Say why there are no clinical predictors; empty where there are, or none were asked for."""
    reasons = {
        str(result.about_predictors["skipped"])
        for target in targets
        for result in target.results.values()
        if result.about_predictors.get("skipped")
    }
    if not reasons:
        return ""
    return f"What radiomics adds to clinical variables is not shown: {'; '.join(sorted(reasons))}."


def draw_predictors(target: Target) -> Plot | None:
    """AUCs of all sets of predictors, manual and automatic masks side by side."""
    if _empty(target):
        return None
    table = stacked(target)
    names = [name for name in PREDICTORS if (table["predictor"] == name).any()]
    figure, (axes,) = panels(1, 2, 1.6 + 0.5 * len(names), sharey=True)
    for ax, part in zip(axes, SETS, strict=True):
        ax.axvline(0.5, color=GREY, lw=1, ls=(0, (1, 2)))
        for shift, roi in zip((-0.16, 0.16), target.results, strict=False):
            rows = table[(table["set"] == part) & (table["roi"] == roi)].set_index("predictor")
            for at, name in enumerate(names):
                if name not in rows.index:
                    continue
                row = rows.loc[name]
                ax.hlines(at + shift, row["auc_lower"], row["auc_upper"], color=COLOUR[roi], lw=1.8)
                ax.plot(
                    *(row["auc"], at + shift),
                    MARKER[roi],
                    color=COLOUR[roi],
                    ms=6,
                    label=NAME[roi],
                )
        ax.set_yticks(range(len(names)), [PREDICTORS[name] for name in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel("AUC")
        ax.set_title(SET_NAME[part])
        bare(ax)
    legend_below(figure, axes[0])
    return Plot(
        f"predictor_auc_{target.name}",
        "What radiomics adds to clinical variables",
        "Dots with 95% confidence intervals; the dotted line is tossing a coin. Preoperative "
        "variables are known before surgery, the others from the specimen as well, so that a "
        "decision before surgery cannot rest on them. Compare radiomics + preoperative with "
        "preoperative alone: intervals of two dots may overlap although the difference is clear, "
        "which is why it has its own interval here.",
        "\n".join(increments(target)),
        figure,
        table,
    )


def increments(target: Target) -> list[str]:
    """What radiomics adds, for each source of masks: on the test patients and out of fold."""
    return [
        sentence for roi, result in target.results.items() for sentence in _increments(roi, result)
    ]


def _increments(roi: str, result: RoiResult) -> list[str]:
    rows = {(row["set"], row["predictor"]): row for _, row in result.predictors.iterrows()}
    words = []
    for together, against in AGAINST.items():
        if ("test", together) not in rows:
            continue
        row, out_of_fold = rows["test", together], rows["train", together]
        delta = Estimate(*(float(row[f"over_clinical{end}"]) for end in ("", "_lower", "_upper")))
        shown = _interval(row, "over_clinical", 3)
        tested = (
            f"is {shown} in AUC on the test patients: {_verdict(delta)}"
            if shown
            else "could not be computed on the test patients: both classes must be present"
        )
        words.append(
            f"{NAME[roi].capitalize()}: the increment of radiomics over the {against} {tested}; "
            f"out of fold {_interval(out_of_fold, 'over_clinical', 3) or wording.DASH}."
        )
    return words


def _verdict(delta: Estimate) -> str:
    if not delta.known:
        return "not known"
    if delta.lower > 0:
        return "radiomics adds to them, the interval excludes 0"
    if delta.upper < 0:
        return "radiomics makes them worse, the interval excludes 0"
    return "no increment is shown, the interval includes 0"


def _imputed(targets: list[Target]) -> str:
    """Which variables there are, and how many values were missing."""
    about = next(
        result.about_predictors
        for target in targets
        for result in target.results.values()
        if result.about_predictors.get("variables")
    )
    variables = about["variables"]
    before = [one["name"] for one in variables if one["preoperative"]]
    after = [one["name"] for one in variables if not one["preoperative"]]
    parts = [f"Preoperative: {', '.join(before) or 'none'}."]
    if after:
        parts.append(f"From the specimen: {', '.join(after)}.")
    gaps = [
        f"{one['name']} {one['missing_train']} and {one['missing_test']}"
        for one in variables
        if one["missing_train"] or one["missing_test"]
    ]
    if gaps:
        parts.append(
            "Missing values became the median or the most frequent level of the training patients "
            "of each fit, with a column that says so (missing in training and test patients: "
            f"{', '.join(gaps)})."
        )
    else:
        parts.append("No value was missing.")
    if about["left_out"]:
        left = [f"{name} ({why})" for name, why in about["left_out"].items()]
        parts.append(f"Left out: {'; '.join(left)}.")
    return " ".join(parts)


def _empty(target: Target) -> bool:
    return all(result.predictors.empty for result in target.results.values())


def _p(value: float) -> str:
    if value != value:
        return ""
    return wording.p_value(value).removeprefix("P ").removeprefix("= ").replace(" ", "\u00a0")


def _interval(row: pd.Series, name: str, digits: int = 2) -> str:
    if row[name] != row[name]:
        return ""
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"], digits)
