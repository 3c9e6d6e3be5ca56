"""The tables of the report: numbers for the CSV file, text for the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import write_csv
from ..modeling.baseline import baseline_table
from ..segmentation.bootstrap import LEAST_PATIENTS
from . import wording
from .baseline import baseline_cells
from .figures_compare import RULES
from .record import Record
from .results import Results
from .style import COMPARISON

if TYPE_CHECKING:
    import pandas as pd

METRICS = {
    "dice": "Dice",
    "iou": "Intersection over union",
    "surface_dice": "Surface Dice",
    "hd95_mm": "Hausdorff distance, 95th percentile, mm",
    "assd_mm": "Average surface distance, mm",
    "area_ratio": "Area, compared ÷ manual",
}
SHORT_SET = {"train": "train, out of fold", "test": "test"}


@dataclass(frozen=True)
class Table:
    """A table: ``frame`` goes into ``<name>.csv`` unrounded, ``cells`` onto the page."""

    name: str
    title: str
    note: str
    frame: pd.DataFrame
    head: list[str]
    cells: list[list[str]]

    def save(self, folder: Path) -> Path:
        """Write ``<name>.csv`` into ``folder``."""
        return write_csv(folder / f"{self.name}.csv", self.frame)


def blank_repeats(cells: list[list[str]], columns: int) -> None:
    """Empty the first cells of each row where they, and all before them, are the previous row's."""
    before: list[str] = []
    for row in cells:
        now = row[:columns]
        for at in range(columns):
            if now[: at + 1] == before[: at + 1]:
                row[at] = ""
        before = now


def baseline(results: Results) -> Table | None:
    """Characteristics of the patients, or ``None`` where nothing is known of them."""
    train, test = results.splits["train"], results.splits["test"]
    frame = baseline_table(results.patients, train, test)
    if frame.empty:
        return None
    head = ["Characteristic", "", f"All (n = {len(train) + len(test)})"]
    cells = baseline_cells(frame)
    if test:
        head += [f"Training (n = {len(train)})", f"Test (n = {len(test)})", "P"]
        note = (
            "n (%) of the known values, Pearson's chi-square without continuity correction; mean "
            "(SD), Welch's t-test. P compares training with test patients; a small P in one row of "
            "many is to be expected by chance."
        )
    else:
        cells = [row[: len(head)] for row in cells]
        note = "n (%) of the known values; mean (SD)."
    return Table("baseline", "Characteristics of the patients", note, frame, head, cells)


def agreement(results: Results) -> Table | None:
    """Agreement of the masks over all images; the CSV has every group. Nothing without outlines."""
    frame = results.agreement_summary
    rows = frame[(frame["group"] == "all") & frame["metric"].isin(METRICS)]
    if rows.empty:
        return None
    order = {metric: at for at, metric in enumerate(METRICS)}
    rows = rows.sort_values(
        ["comparison", "metric"], key=lambda c: c.map(order) if c.name == "metric" else c
    )
    cells = [
        [
            COMPARISON.get(row["comparison"], ("", row["comparison"]))[1],
            METRICS[row["metric"]],
            f"{row['n']:.0f}",
            wording.interval(row["mean"], row["mean_lower"], row["mean_upper"]),
            wording.interval(row["median"], row.get("median_lower"), row.get("median_upper")),
        ]
        for _, row in rows.iterrows()
    ]
    return Table(
        "agreement",
        "Agreement of the masks",
        "Mean and median over images with 95% bootstrap intervals, of at least "
        f"{LEAST_PATIENTS} patients. Distances exist only where "
        "both masks hold something, so their n can be smaller.",
        frame,
        ["Comparison", "Measure", "Images", "Mean", "Median"],
        cells,
    )


def comparison(results: Results) -> Table:
    """Manual against automatic masks under both rules for missed lesions."""
    frame = results.auc
    cells = [
        [
            str(row["target"]),
            SHORT_SET.get(str(row["set"]).removesuffix("_out_of_fold"), str(row["set"])),
            RULES.get(row["rule"], str(row["rule"])),
            f"{row['n']:.0f} ({row['n_missed']:.0f})",
            wording.number(row["auc_manual"]),
            wording.number(row["auc_automatic"]),
            wording.interval(row["difference"], row["lower"], row["upper"], 3),
            wording.p_value(row["p_delong"]).removeprefix("P ").removeprefix("= "),
            wording.bounds(row["bootstrap_lower"], row["bootstrap_upper"], 3),
        ]
        for _, row in frame.iterrows()
    ]
    return Table(
        "comparison",
        "Manual against automatic masks: the same patients",
        "Difference = automatic minus manual, 95% confidence interval and P after DeLong, and the "
        "interval of a paired bootstrap. P values are not corrected for the number of comparisons. "
        "“Lesion always found” leaves out patients with an image in which nothing was outlined, or "
        f"of whom nothing could be measured; “everyone” judges {_everyone(results)}."
        f"{_not_compared(results)}",
        frame,
        [
            "Target",
            "Patients",
            "Who is counted",
            "n (nothing measured)",
            "AUC manual",
            "AUC automatic",
            "Difference",
            "P",
            "Bootstrap",
        ],
        cells,
    )


def _everyone(results: Results) -> str:
    """How those are judged of whom automatic masks lack an image."""
    views, _ = Record(results.folder).setting("modeling.views")
    if views == "concat":
        return "them by the average where a view, CC or MLO, lacks all of its images"
    return "them by their other images, or, where there is none, by the average"


def _not_compared(results: Results) -> str:
    """How many patients have a risk by one source of masks only; empty where all have both."""
    parts = []
    for target in results.targets:
        ids = [set(result.predictions["patient_id"]) for result in target.results.values()]
        if len(ids) > 1 and (n := len(set.union(*ids) - set.intersection(*ids))):
            parts.append(f"{target.name} {n}")
    if not parts:
        return ""
    return f" Not among them, for want of a measurement by one source: {', '.join(parts)} patients."


def _features_lost(results: Results) -> pd.DataFrame:
    lost = results.missed[["image_id", "roi"]].rename(columns={"image_id": "case"})
    return lost.assign(
        stage="features/" + lost["roi"].astype(str),
        error="the automatic segmentation outlined nothing",
        action="look at the image; no features exist for it, see the two rules for missed lesions",
    )


def _masks_lost(results: Results) -> pd.DataFrame:
    lost = results.masks.loc[~results.masks["found"].astype(bool), ["image_id"]]
    return lost.rename(columns={"image_id": "case"}).assign(
        stage="masks",
        error="the automatic segmentation outlined nothing",
        action="look at the image; it counts as missed in every figure of the masks",
    )


def cases(results: Results) -> Table:
    """Every case that was excluded, failed, or whose lesion was not found."""
    import pandas as pd

    lost = _features_lost(results) if results.classifiers else _masks_lost(results)
    columns = ["case", "stage", "error", "action"]
    parts = [part[columns] for part in (results.excluded, results.failed, lost) if len(part)]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return Table(
        "cases_lost",
        "Cases left out",
        "Every case that was excluded, failed or had no lesion found, with what to do about it.",
        frame,
        ["Case", "Stage", "What was found", "What to do"],
        frame.fillna("").astype(str).to_numpy().tolist(),
    )


def stages(results: Results) -> Table | None:
    """Time and memory per stage from ``run.json``, or ``None`` without it."""
    import pandas as pd

    recorded = results.run.get("stages", [])
    if not recorded:
        return None
    frame = pd.DataFrame(recorded)
    total = sum(stage.get("seconds") or 0 for stage in recorded if not stage.get("skipped"))
    cells = [
        [
            str(stage["stage"]),
            "skipped, unchanged"
            if stage.get("skipped")
            else wording.duration(stage.get("seconds")),
            wording.number(stage.get("peak_memory_mb"), 0),
            *(
                "" if stage.get(name) is None else str(stage[name])
                for name in ("cases_in", "used", "excluded", "missed", "failed")
            ),
        ]
        for stage in recorded
    ]
    return Table(
        "stages",
        "Run record",
        f"Time and memory per stage of the last run, together {wording.duration(total)}. A case is "
        "an image"
        + (
            "; in extract an image with one source of masks, in model a question with one."
            if results.classifiers
            else "."
        ),
        frame,
        ["Stage", "Time", "Peak memory, MB", "In", "Used", "Excluded", "No lesion found", "Failed"],
        cells,
    )
