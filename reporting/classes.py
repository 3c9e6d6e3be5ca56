"""A task of three or more classes as one model: its confusion matrices and its figures in a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import read_csv, read_json
from . import wording
from .style import COLOUR, NAME, SET_NAME, Plot, panels
from .tables import Table

if TYPE_CHECKING:
    import pandas as pd

SETS = {
    "train_out_of_fold": "train, out of fold",
    "test": "test",
    "all_out_of_fold": "all, out of fold",
}
MEASURES = {
    "macro_auc": "Macro AUC", "hand_till": "M", "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy", "quadratic_kappa": "Quadratic kappa",
    "brier": "Brier score", "log_loss": "Log loss",
}  # fmt: skip


def class_model(folder: Path, task: str) -> dict[str, Any] | None:
    """The entry of a task in ``models/classes.json``; None without one."""
    path = folder / "models" / "classes.json"
    entries = read_json(path) if path.exists() else []
    return next((entry for entry in entries if entry["task"] == task), None)


def _base(folder: Path, entry: dict[str, Any], roi: str) -> Path:
    return folder / "models" / str(entry["task"]) / "classes" / roi


def classes_table(folder: Path, task: str) -> Table | None:
    """Figures of all classes together, a row for each set and source of masks."""
    import pandas as pd

    entry = class_model(folder, task)
    if entry is None:
        return None
    rows, cells = [], []
    for roi in entry["rois"]:
        metrics = read_json(_base(folder, entry, roi) / "metrics.json")
        for key, words in SETS.items():
            if key not in metrics:
                continue
            one = metrics[key]
            ends = ("", "_lower", "_upper")
            names = [f"{name}{end}" for name in MEASURES for end in ends]
            rows.append({"set": key, "roi": roi} | {name: one[name] for name in ("n", *names)})
            shown = [wording.interval(*(one[f"{name}{end}"] for end in ends)) for name in MEASURES]
            cells.append([words, roi, f"{one['n']}", *shown])
    cells.sort(key=lambda row: list(SETS.values()).index(row[0]))
    return Table(
        f"classes_{task}",
        f"{entry['title']}: {', '.join(entry['classes'])} as one model",
        "Risks of all classes add up to 1. Estimate (95% confidence interval, over resampled "
        "patients; accuracy: Wilson's). Macro AUC and M (Hand and Till) are 0.5 by chance, kappa "
        "is 0 by chance and takes the classes to be in order; of the Brier score (0 to 2) and the "
        "log loss less is better. " + _difference(folder, task),
        pd.DataFrame(rows),
        ["Patients", "Masks", "n", *MEASURES.values()],
        cells,
    )


def _difference(folder: Path, task: str) -> str:
    """The difference in macro AUC of the test patients, everyone counted; empty without one."""
    path = folder / "comparison" / "classes.csv"
    if not path.exists():
        return ""
    table = read_csv(path)
    rows = table[
        (table["task"] == task)
        & (table["set"] == "test")
        & (table["rule"] == "intention_to_diagnose")
        & (table["measure"] == "macro_auc")
    ]
    return "".join(
        "Macro AUC with automatic minus that with manual masks, test patients, everyone: "
        f"{wording.interval(row['difference'], row['lower'], row['upper'], 3)}, "
        f"{wording.p_value(row['p'])} (paired bootstrap)."
        for _, row in rows.iterrows()
    )


def draw_confusion(folder: Path, task: str) -> Plot | None:
    """Confusion matrices, a column for each source of masks, training above test patients."""
    import pandas as pd
    from matplotlib.colors import LinearSegmentedColormap

    entry = class_model(folder, task)
    if entry is None:
        return None
    text = {"truth": str, "called": str}
    tables = {
        roi: read_csv(_base(folder, entry, roi) / "confusion.csv", dtype=text)
        for roi in entry["rois"]
    }
    names = [str(name) for name in entry["classes"]]
    parts = ("test", "train")
    figure, axes = panels(len(parts), len(tables), 3.9 * len(parts))
    for line, part in zip(axes, parts, strict=True):
        for ax, (roi, table) in zip(line, tables.items(), strict=True):
            rows = table[table["set"] == part]
            shares = rows["share"].to_numpy(float).reshape(len(names), len(names))
            shades = LinearSegmentedColormap.from_list(roi, ["#ffffff", COLOUR[roi]])
            ax.imshow(shares, cmap=shades, vmin=0, vmax=1.7)  # dark text stays legible
            for at, (_, row) in enumerate(rows.iterrows()):
                true, called = divmod(at, len(names))
                ax.text(
                    called,
                    true,
                    _cell(row),
                    ha="center",
                    va="center",
                    fontsize=8.5,
                )
            ax.set_xticks(range(len(names)), names)
            counts = rows.drop_duplicates("truth")["n_truth"]
            ax.set_yticks(
                range(len(names)),
                [f"{name}\nn = {n}" for name, n in zip(names, counts, strict=True)],
            )
            ax.grid(visible=False)
            ax.tick_params(length=0)
            ax.set_xlabel("most probable class")
            ax.set_title(f"{SET_NAME[part]}\n{NAME[roi]}", fontsize=10)
        line[0].set_ylabel("true class")
    return Plot(
        f"confusion_{task}",
        "Confusion matrices",
        "A row holds the patients who are truly of a class, and how they are called at the most "
        "probable class: number, share of the row with its 95% confidence interval (Wilson). What "
        "is right stands on the diagonal from the upper left.",
        "\n".join(_right(tables[roi], roi) for roi in tables),
        figure,
        pd.concat([table.assign(roi=roi) for roi, table in tables.items()], ignore_index=True),
    )


def _cell(row: pd.Series) -> str:
    if not row["n_truth"]:
        return wording.DASH
    ends = f"({row['share_lower']:.0%} to {row['share_upper']:.0%})"
    return f"{row['n']:.0f}: {row['share']:.0%}\n{ends}"


def _right(table: pd.DataFrame, roi: str) -> str:
    rows = table[(table["set"] == "test") & (table["truth"] == table["called"])]
    found = [
        f"{wording.share(int(row['n']), int(row['n_truth']), 'patients')} with “{row['truth']}”"
        for _, row in rows.iterrows()
    ]
    return f"Test patients, {NAME[roi]}: called rightly were {'; '.join(found)}."
