"""What the published order of steps would have claimed on the same patients, beside the truth.

The claim comes from :mod:`..modeling.literal`; the truth are this study's own models, each
patient predicted by models that were fitted without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .performance import measured
from .results import RoiResult, Target
from .style import COLOUR, INK, MARKER, NAME, Plot, bare, panels
from .tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.figure import Figure

MEASURES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
}
PAPER = "Zhao et al., Front Oncol 2025;15:1578458"
COLUMNS = (
    *("target", "task", "roi", "measure", "n_features_claimed", "claimed", "claimed_refit"),
    *("patients", "true", "true_lower", "true_upper", "difference", "test", "test_lower"),
    "test_upper",
)


def claims(targets: list[Target]) -> pd.DataFrame:
    """One row for each target, source of masks and measure; empty without claims.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`COLUMNS`. ``claimed`` is the text's test result, ``claimed_refit`` that of
        the same test rows with the SVM fitted to 99 % of all rows; ``true`` is out of fold over
        all patients (``patients`` = ``all``) or, where these were not predicted, over the training
        patients (``train``); ``difference`` is ``claimed`` minus ``true``; ``test`` the test set
        that was kept apart.
    """
    import pandas as pd

    rows = [
        row
        for target in targets
        for roi, result in target.results.items()
        if result.claim
        for row in _rows(target, roi, result)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(target: Target, roi: str, result: RoiResult) -> Iterator[dict[str, object]]:
    sets = measured(result)
    part = "all" if "all" in sets else "train"
    for name in MEASURES:
        true = {f"true{end}": sets[part].get(name + end) for end in ("", "_lower", "_upper")}
        test = {f"test{end}": sets["test"].get(name + end) for end in ("", "_lower", "_upper")}
        claimed = result.claim["test"][name]
        yield {
            "target": target.name,
            "task": target.task,
            "roi": roi,
            "measure": name,
            "n_features_claimed": result.claim["n_features"],
            "claimed": claimed,
            "claimed_refit": result.claim["test_refit"][name],
            "patients": part,
            "difference": None if true["true"] is None else claimed - true["true"],
            **true,
            **test,
        }


def claim_sentences(targets: list[Target]) -> list[str]:
    """What the order of steps would have claimed, what is true, and the difference, in words."""
    frame = claims(targets)
    rows = frame[frame["measure"] == "auc"].dropna(subset=["difference"])
    if rows.empty:
        return []
    roi = "manual" if (rows["roi"] == "manual").any() else str(rows["roi"].iloc[0])
    rows = rows[rows["roi"] == roi]
    several = "" if len(rows) == 1 else f" in the {len(rows)} questions of this study"
    who = "all patients" if (rows["patients"] == "all").all() else "the training patients"
    return [
        f"With the steps in the order of {PAPER} (features chosen and synthetic patients made "
        "before the test patients are set apart), the same data would have claimed a test AUC of "
        f"{_span(rows['claimed'])}{several}, and {_span(rows['claimed_refit'])} with the "
        "classifier fitted to 99% of the patients, as the text of that paper also has it.",
        f"With this study's recipe and every step inside the training folds {who}, out of fold, "
        f"give {_span(rows['true'])} ({NAME[roi]}). {_meaning(rows['difference'])} It mixes two "
        "things: the order of the steps and the recipe (features, classifier, weights). What the "
        "order alone buys, the leakage audit tells.",
    ]


def _meaning(differences: pd.Series) -> str:
    """What claimed minus true says, by its signs."""
    start = f"The claim less this, {_span(differences)},"
    if (differences.round(2) > 0).all():
        return f"{start} is what such a claim would have promised too much."
    if (differences.round(2) <= 0).all():
        return (
            f"{start} is not above zero: the claim would have been no higher here, which does not "
            "make its order of steps sound."
        )
    sign = "has either sign" if (differences.round(2) < 0).any() else "is not above zero in all"
    return f"{start} {sign}: the claim would have been too high in some questions only."


def _span(values: pd.Series) -> str:
    low, high = wording.number(values.min()), wording.number(values.max())
    return low if low == high else f"{low} to {high}"


def claims_table(targets: list[Target]) -> Table | None:
    """The claim, the truth and the difference for the targets of one task."""
    frame = claims(targets)
    if frame.empty:
        return None
    cells = []
    before = ("", "")
    for _, row in frame.iterrows():
        now = (str(row["target"]), str(row["roi"]))
        same = now == before
        cells.append(
            [
                "" if same or now[0] == before[0] else now[0],
                "" if same else now[1],
                MEASURES[row["measure"]],
                wording.number(row["claimed"]),
                wording.number(row["claimed_refit"]),
                wording.interval(row["true"], row["true_lower"], row["true_upper"]),
                wording.number(row["difference"]),
                wording.interval(row["test"], row["test_lower"], row["test_upper"]),
            ]
        )
        before = now
    features = "; ".join(
        f"{target}, {NAME[str(roi)]} {part['n_features_claimed'].iloc[0]}"
        for (target, roi), part in frame.groupby(["target", "roi"], sort=False)
    )
    everybody = (frame["patients"] == "all").all()
    recipes = {
        result.recipe.get("name") for target in targets for result in target.results.values()
    }
    named = f" (recipe {recipes.pop()})" if len(recipes) == 1 and None not in recipes else ""
    return Table(
        f"claims_{targets[0].task}",
        f"What the published order of steps would have claimed, {targets[0].title}",
        f"Claimed: ICC filter, SMOTE, z-score, t-test and LASSO on all patients, then the division "
        f"7:3 and an SVM with class weights, in the order of {PAPER}; fitted to 99%: the same test "
        f"rows, the SVM fitted to 99% of all rows. Features so selected: {features}. Inside the "
        f"folds: the models of this report{named}, "
        f"{'all' if everybody else 'training'} patients out of fold (95% confidence interval). "
        "Difference: claimed minus inside the folds; it mixes what the order of the steps buys "
        "with what differs between the two recipes. Sensitivity, specificity and accuracy are at "
        "each classifier's own threshold, so that one of the former may be smaller where the other "
        "is larger.",
        frame,
        [
            "Target",
            "Masks",
            "Measure",
            "Claimed",
            "Claimed, fitted to 99%",
            "Inside the folds",
            "Difference",
            "Test set kept apart",
        ],
        cells,
    )


def draw_claims(targets: list[Target]) -> Plot | None:
    """Claim and truth of all targets, one panel for each measure."""
    table = claims(targets)
    if table.empty:
        return None
    groups = list(table[["target", "roi"]].drop_duplicates().itertuples(index=False, name=None))
    figure, grid = panels(2, 2, 1.5 + 0.5 * len(groups), sharey=True)
    for ax, name in zip([ax for row in grid for ax in row], MEASURES, strict=True):
        rows = table[table["measure"] == name].set_index(["target", "roi"])
        for at, key in enumerate(groups):
            row, colour = rows.loc[key], COLOUR[key[1]]
            ax.hlines(at, row["true_lower"], row["true_upper"], color=colour, lw=2)
            ax.plot(row["true"], at, MARKER[key[1]], color=colour, ms=6)
            ax.plot(row["claimed"], at, "D", mfc="white", color=INK, ms=6)
            ax.plot(row["claimed_refit"], at, "x", color=INK, ms=6)
        if name == "auc":
            ax.axvline(0.5, color=INK, lw=0.8, ls=(0, (1, 2)))
        ax.set_title(MEASURES[name])
        ax.set_xlim(-0.02, 1.02)
        ax.set_yticks(range(len(groups)), [f"{target}, {roi}" for target, roi in groups])
        ax.set_ylim(len(groups) - 0.5, -0.5)
        bare(ax)
    _legend(figure, [key[1] for key in groups])
    return Plot(
        "claims",
        "Claim and truth",
        "Open diamonds: what would have been claimed on the test patients; crosses: with the "
        "classifier fitted to 99% of the patients. Coloured: the same patients with every step "
        "inside the training folds, with 95% confidence intervals. What lies between comes from "
        "the order of the steps and from the recipe.",
        "\n".join(claim_sentences(targets)),
        figure,
        table,
    )


def _legend(figure: Figure, rois: list[str]) -> None:
    from matplotlib.lines import Line2D

    def mark(marker: str, colour: str, label: str, face: str = "") -> Line2D:
        return Line2D(
            [], [], marker=marker, color=colour, mfc=face or colour, ls="", ms=6, label=label
        )

    handles = [
        mark("D", INK, "claimed", "white"),
        mark("x", INK, "claimed, fitted to 99%"),
        *(
            mark(MARKER[roi], COLOUR[roi], f"inside the folds, {NAME[roi]}")
            for roi in dict.fromkeys(rois)
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
