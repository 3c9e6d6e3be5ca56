"""The LASSO of one target: its cross-validated error, and the paths of the coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .results import Target
from .style import COLOUR, GREY, INK, NAME, Plot, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = (
    *("roi", "alpha", "mse_mean", "mse_sd", "mse_se", "n_nonzero", "chosen", "smallest"),
    *("within_one_se", "feature", "coefficient"),
)


def draw_lasso(target: Target) -> Plot:
    """Cross-validated error over the penalty, and the coefficients of the selected features."""
    import pandas as pd

    tables = []
    figure, grid = panels(len(target.results), 2, 0.9 + 2.7 * len(target.results))
    findings = []
    for axes, (roi, result) in zip(grid, target.results.items(), strict=True):
        path = marked(result.lasso_path)
        tables += [path.assign(roi=roi), result.lasso_coefficients.assign(roi=roi)]
        _error_path(axes[0], path, roi)
        _coefficient_paths(axes[1], result.lasso_coefficients, roi)
        chosen = path[path["chosen"]]
        for ax in axes:
            ax.set_xlabel("penalty α (log scale)")
            for alpha in chosen["alpha"]:
                ax.axvline(alpha, color=INK, lw=1.2, ls="--")
            for alpha in path.loc[path["smallest"], "alpha"]:
                ax.axvline(alpha, color=GREY, lw=1.2, ls=":")
        findings += [f"{NAME[roi]}: {_words(path, row)}" for _, row in chosen.iterrows()]
    rule = any(len(part) and part["mse_se"].notna().any() for part in tables[::2])
    _legend(figure, rule)
    filled = [part for part in tables if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(COLUMNS))
    return Plot(
        f"lasso_{target.name}",
        "LASSO",
        "To the right the penalty grows and features drop out. Left, the cross-validated error, "
        f"with its standard {'error' if rule else 'deviation'} over the folds as a band, and above "
        "it how many features are left; right, the coefficients of the selected features. Dashed: "
        "the penalty that was chosen; dotted: that of the smallest error."
        + (
            " The horizontal line is one standard error above the smallest: the one-standard-error "
            "rule takes the largest penalty below it."
            if rule
            else ""
        ),
        f"Here, {'; '.join(findings)}." if findings else "No feature reached the LASSO.",
        figure,
        table.reindex(columns=list(COLUMNS)),
    )


def marked(path: pd.DataFrame) -> pd.DataFrame:
    """The path by rising penalty, with the smallest error and what lies within one error of it.

    Adds ``smallest`` and ``within_one_se``, both bool; where ``mse_se``, the standard error, was
    not written, it is NaN and nothing but the smallest error lies within it.
    """
    path = path.sort_values("alpha", ignore_index=True)
    path = path.assign(chosen=path["chosen"].astype(bool))
    if "mse_se" not in path:
        path = path.assign(mse_se=float("nan"))
    if path.empty:
        return path.assign(smallest=False, within_one_se=False)
    error = path["mse_mean"].to_numpy()
    best = int(len(error) - 1 - error[::-1].argmin())  # the largest of equal penalties
    limit = error[best] + path["mse_se"].fillna(0.0).to_numpy()[best]
    return path.assign(smallest=path.index == best, within_one_se=error <= limit)


def _words(path: pd.DataFrame, chosen: pd.Series) -> str:
    kept = f"α = {chosen['alpha']:.3g} keeps {wording.plural(int(chosen['n_nonzero']), 'feature')}"
    if chosen["smallest"]:
        return f"{kept}, at the smallest error"
    best = path[path["smallest"]].iloc[0]
    near = chosen["within_one_se"]
    within = "within one standard error of the smallest, which" if near else "the smallest error"
    return f"{kept}; {within} is at α = {best['alpha']:.3g} with {int(best['n_nonzero'])}"


def _error_path(ax: Axes, path: pd.DataFrame, roi: str) -> None:
    ax.set_title(f"{NAME[roi]}: error", pad=20)
    ax.set_ylabel("mean squared error")
    if path.empty:
        nothing(ax)
        return
    spread = path["mse_se"].fillna(path["mse_sd"])
    ax.fill_between(
        path["alpha"],
        path["mse_mean"] - spread,
        path["mse_mean"] + spread,
        color=COLOUR[roi],
        alpha=0.15,
        lw=0,
    )
    ax.plot(path["alpha"], path["mse_mean"], color=COLOUR[roi])
    best = path[path["smallest"]].iloc[0]
    if best["mse_se"] == best["mse_se"]:
        ax.axhline(best["mse_mean"] + best["mse_se"], color=GREY, lw=1)
    _log(ax)
    for at in range(0, len(path), max(1, len(path) // 8)):
        row = path.iloc[at]
        ax.annotate(
            f"{int(row['n_nonzero'])}",
            (row["alpha"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=GREY,
        )


def _coefficient_paths(ax: Axes, table: pd.DataFrame, roi: str) -> None:
    ax.set_title(f"{NAME[roi]}: coefficients", pad=20)
    ax.set_ylabel("coefficient")
    if table.empty:
        nothing(ax)
        return
    ax.axhline(0, color=GREY, lw=0.8)
    for _, rows in table.sort_values("alpha").groupby("feature"):
        ax.plot(rows["alpha"], rows["coefficient"], color=COLOUR[roi], lw=1.1, alpha=0.75)
    _log(ax)


def _log(ax: Axes) -> None:
    """A logarithmic axis of penalties with ticks at 1, 2 and 5, over decades at 1 only."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ax.set_xscale("log")
    ax.minorticks_off()
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda alpha, _: f"{alpha:g}"))


def _legend(figure: Figure, rule: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=INK, lw=1.2, ls="--", label="chosen"),
        Line2D([], [], color=GREY, lw=1.2, ls=":", label="smallest error"),
    ]
    if rule:
        handles.append(Line2D([], [], color=GREY, lw=1, label="smallest error + 1 SE"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def nothing(ax: Axes) -> None:
    """Say in an empty panel that there is no feature to draw."""
    ax.text(0.5, 0.5, "no feature", ha="center", va="center", color=GREY, transform=ax.transAxes)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
