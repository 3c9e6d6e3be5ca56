"""Figures about features: the funnel of the selection, and the features that it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .figures_lasso import nothing
from .record import span
from .results import Results, Target
from .style import COLOUR, GREY, MARKER, NAME, PALE, Plot, bare, labelled, panels

if TYPE_CHECKING:
    import pandas as pd

SHOWN_FEATURES = 15
STEPS = {
    "extracted": "extracted",
    "stable": "stable (ICC)",
    "complete": "no gaps",
    "t_test": "t-test",
    "lasso": "LASSO",
}


def draw_funnel(results: Results) -> Plot:
    """How many features are left after each step, per target and source of masks."""
    import pandas as pd

    table = pd.DataFrame(
        [
            {"target": target.name, "roi": roi, "step": step, "n_features": n}
            for target in results.targets
            for roi, result in target.results.items()
            for step, n in result.funnel.items()
        ],
        columns=["target", "roi", "step", "n_features"],
    )
    steps = list(dict.fromkeys(table["step"]))
    columns = min(2, len(results.targets))
    lines = -(-len(results.targets) // columns)
    figure, grid = panels(lines, columns, 0.6 + lines * (0.7 + 0.45 * len(steps)))
    cells = [ax for row in grid for ax in row]
    for ax in cells[len(results.targets) :]:
        ax.set_visible(False)
    for ax, target in zip(cells, results.targets, strict=False):
        for shift, roi in zip((-0.2, 0.2), target.results, strict=False):
            rows = table[(table["target"] == target.name) & (table["roi"] == roi)]
            at = [steps.index(step) + shift for step in rows["step"]]
            ax.barh(at, rows["n_features"], height=0.36, color=COLOUR[roi], label=NAME[roi])
            for y, n in zip(at, rows["n_features"], strict=True):
                ax.text(n, y, f" {n}", va="center", fontsize=8.5, color=COLOUR[roi])
        ax.set_yticks(range(len(steps)), [STEPS[step] for step in steps])
        ax.set_ylim(len(steps) - 0.4, -0.6)
        ax.set_xlim(0, 1.15 * max(1, table["n_features"].max()))
        ax.set_title(target.name)
        bare(ax)
    figure.legend(*labelled(*cells), loc="outside lower center", ncols=2)
    return Plot(
        "feature_funnel",
        "From all features to the selected ones",
        "Each step keeps fewer features: those that other outlines of the same lesion give alike "
        "(ICC), that have a value in every patient and not the same in all, "
        + ("that differ between the classes (t-test), " if "t_test" in steps else "")
        + "and that the LASSO needs.",
        f"{_icc_words(results)}\n{_funnel_words(table)}",
        figure,
        table,
    )


def _icc_words(results: Results) -> str:
    """What the ICC step rests on; its unit is not that of the figure of ICCs by family."""
    fitted = [result for target in results.targets for result in target.results.values()]
    used: dict[str | None, list[int]] = {}
    for result in fitted:
        used.setdefault(result.icc_source, []).append(result.icc_patients)
    source = next((source for source in used if source), None)
    if source is None:
        return (
            "No second reader drew masks, and none were perturbed: the ICC step was left out."
            if "reader2" not in results.features
            else "Too few training patients were read twice: the ICC step was left out."
        )
    what = {
        "reader2": "ICC(2,1) of the two readers' masks",
        "perturbation": "ICC(1,1) of the manual masks and their perturbations",
    }[source]
    n = span(used[source])
    return (
        f"The ICC step rests on the {what} in {n} training patient{'' if n == '1' else 's'} "
        "(views combined); the figure of ICCs by family counts images, so its numbers differ."
    )


def _funnel_words(table: pd.DataFrame) -> str:
    lines = []
    for target, rows in table.groupby("target", sort=False):
        paths = [
            f"{NAME[str(roi)]} {' → '.join(map(str, steps['n_features']))}"
            for roi, steps in rows.groupby("roi", sort=False)
        ]
        lines.append(f"{target}: {', '.join(paths)}.")
    return "\n".join(lines)


def draw_selected(target: Target) -> Plot:
    """Coefficients of the selected features, and in how many folds each is selected again."""
    import pandas as pd

    chosen = {
        roi: result.selection.sort_values("coefficient", key=abs, ascending=False)
        for roi, result in target.results.items()
    }
    heights = [max(2, min(SHOWN_FEATURES, len(rows))) for rows in chosen.values()]
    figure, grid = panels(
        len(chosen),
        2,
        0.9 * len(chosen) + 0.27 * sum(heights),
        widths=[3, 1],
        heights=[height + 1.6 for height in heights],
    )
    findings = []
    for (left, right), (roi, rows) in zip(grid, chosen.items(), strict=True):
        left.set_title(f"{NAME[roi]}: coefficient")
        right.set_title("selected again")
        shown = rows.head(SHOWN_FEATURES)
        if shown.empty:
            nothing(left)
            nothing(right)
            findings.append(f"{NAME[roi]}: no feature was selected")
            continue
        at = range(len(shown))
        left.axvline(0, color=GREY, lw=0.8)
        left.barh(at, shown["coefficient"], height=0.62, color=COLOUR[roi])
        left.set_yticks(at, shown["feature"], fontsize=8.5)
        right.hlines(at, 0, shown["frequency"], color=PALE, lw=2)
        right.plot(shown["frequency"], at, MARKER[roi], color=COLOUR[roi], ms=6)
        right.set_xlim(-0.03, 1.05)
        right.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
        right.set_yticks([])
        left.locator_params(axis="x", nbins=6)
        for ax in (left, right):
            ax.set_ylim(len(shown) - 0.4, -0.6)
            bare(ax)
        steady = int((rows["frequency"] >= 0.8).sum())
        more = f" (the {SHOWN_FEATURES} largest are drawn)" if len(rows) > SHOWN_FEATURES else ""
        findings.append(
            f"{NAME[roi]}: {wording.plural(len(rows), 'feature')}{more}, {steady} of them selected "
            "again in at least 80% of the folds"
        )
    tables = [rows.assign(roi=roi) for roi, rows in chosen.items()]
    filled = [part for part in tables if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else tables[0]
    return Plot(
        f"selected_features_{target.name}",
        "Selected features",
        "A bar to the right raises the predicted risk, to the left lowers it. The dots tell in "
        "what share of the folds the same feature was selected again: the further left, the more "
        "it depends on which patients happened to be there.",
        f"Here, {'; '.join(findings)}.",
        figure,
        table[["roi", *[column for column in table if column != "roi"]]],
    )
