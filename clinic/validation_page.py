"""The report of an external validation: one HTML file, in the style of a study's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Failure
from ..files import write_text
from ..reporting import wording
from ..reporting.performance import CALLS, DIGITS, RISKS
from ..reporting.report import NOT_A_DEVICE, Shown, show_plot, show_table
from ..reporting.style import Plot, drawing
from ..reporting.tables import METRICS, Table
from ..reporting.templates import content_hash, template
from .bundle import Bundle
from .second_cohort import SecondCohort
from .validate import TOLERANCE_MM
from .validate_classes import class_table
from .validation_figures import draw_drift, draw_target

if TYPE_CHECKING:
    import pandas as pd

REPORTING = Path(__file__).resolve().parent.parent / "reporting"
SHOWN_CALLS = {"study_auc": "AUC in the study"} | {
    name: "AUC here" if name == "auc" else words for name, words in CALLS.items() if name != "f1"
}
MEASURES = {**METRICS, "found": "Lesion found, share of images"}
METHOD_NAME = {"none": "as it is", "intercept": "intercept only", "logistic": "logistic"}


def write_page(
    bundle: Bundle,
    second: SecondCohort,
    failures: Sequence[Failure],
    tables: Mapping[str, pd.DataFrame],
    out: Path,
) -> Path:
    """Write ``report.html``, and its figures with their numbers into ``figures/``.

    Parameters
    ----------
    bundle : Bundle
        The frozen model.
    second : SecondCohort
        The cohort.
    failures : Sequence[Failure]
        Cases that failed, as in ``failures.csv``.
    tables : Mapping
        By their files' names without the ending, see :mod:`.validate`.
    out : Path
        The folder that holds these files.
    """

    def table(made: Table | None) -> Shown | None:
        return None if made is None else show_table(made, out / f"{made.name}.csv", out)

    def plots(*made: Plot | None) -> list[Shown]:
        return [show_plot(plot, out) for plot in made if plot is not None]

    style = (REPORTING / "report.css").read_text("utf-8")
    cases_of = (("excluded", "Excluded", second.excluded), ("failures", "Failed", failures))
    with drawing():
        page = template(Path(__file__).parent / "validation.html.j2").render(
            title=f"{bundle.name} on {second.name}",
            bundle=bundle,
            second=second,
            banner="SYNTHETIC DATA: phantom mammograms, no patients" if second.synthetic else "",
            not_a_device=NOT_A_DEVICE,
            style=style,
            style_hash=content_hash(style),
            flow=table(flow(tables["flow"])),
            left_out=[table(left_out(name, title, cases)) for name, title, cases in cases_of],
            agreement=table(agreement(tables.get("agreement_summary"))),
            calls=table(
                performance(
                    tables.get("performance"),
                    SHOWN_CALLS,
                    "performance",
                    "At the model's own threshold",
                    "In the study: of its test patients, everyone counted. ",
                )
            ),
            risks=table(performance(tables.get("performance"), RISKS, "performance", "As risks")),
            classes=table(class_table(tables.get("classes_performance"))),
            recalibration=table(recalibration(tables.get("recalibration"))),
            targets=plots(*(draw_target(one, tables) for one in bundle.classifiers)),
            drift=plots(draw_drift(tables["drift"])),
            drift_table=table(drift(tables["drift"])),
            kinds=table(kinds(tables["kinds"])),
        )
    return write_text(out / "report.html", page)


def flow(frame: pd.DataFrame) -> Table:
    """Where the images and patients went."""
    cells = [
        [str(row["level"]), str(row["target"]), str(row["what"]), str(row["n"])]
        for row in frame.to_dict("records")
    ]
    return Table(
        "flow",
        "Flow of cases",
        "In = used + excluded + failed. A risk is withheld where no lesion was found, or where the "
        "patient is too unlike those of the training (the flags of risks.csv say which).",
        frame,
        ["Level", "Target", "What", "n"],
        cells,
    )


def left_out(name: str, title: str, cases: Sequence[Failure]) -> Table | None:
    """Cases that could not be used, and why; None where there are none."""
    import pandas as pd

    if not cases:
        return None
    return Table(
        name,
        title,
        "Nothing was filled in for them. A patient whose outcome is no class counts as one whose "
        "outcome is not known."
        if name == "failures"
        else "Lines of the cohort that cannot be used.",
        pd.DataFrame(map(asdict, cases)),
        ["Case", "What was found", "What to do"],
        [[case.case, case.error, case.action] for case in cases],
    )


def agreement(frame: pd.DataFrame | None) -> Table | None:
    """The masks against the manual ones."""
    if frame is None:
        return None
    cells = [
        [
            MEASURES.get(row["metric"], str(row["metric"])),
            str(row["n"]),
            *(
                wording.interval(row[part], row[f"{part}_lower"], row[f"{part}_upper"])
                for part in ("mean", "median")
            ),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "agreement_summary",
        "Automatic against manual masks",
        "Over images with a manual mask; 95% bootstrap intervals over patients. The tolerance of "
        f"the surface Dice is {TOLERANCE_MM:g} mm.",
        frame,
        ["Measure", "Images", "Mean", "Median"],
        cells,
    )


def performance(
    frame: pd.DataFrame | None, shown: Mapping[str, str], name: str, title: str, beside: str = ""
) -> Table | None:
    """Measures of every target, over the patients with a risk and over all."""
    if frame is None or frame.empty:
        return None
    cells = [
        [
            str(row["target"]),
            str(row["patients"]),
            f"{row['n']} ({row['n_positive']})",
            *(
                wording.interval(
                    row[key], row[f"{key}_lower"], row[f"{key}_upper"], DIGITS.get(key, 2)
                )
                for key in shown
            ),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        name,
        title,
        "Estimate (95% confidence interval: AUC DeLong, F1 bootstrap, shares Wilson). "
        f"{beside}“All”: "
        "patients without a risk got the prevalence of the training. O:E 1, intercept 0 and slope "
        "1 are right; an intercept below 0 says that risks are too high, a slope below 1 that they "
        "are too extreme.",
        frame,
        ["Target", "Patients", "n (positive)", *shown.values()],
        cells,
    )


def recalibration(frame: pd.DataFrame | None) -> Table | None:
    """How the risks would have to be moved to be right here."""
    if frame is None or frame.empty:
        return None
    cells = [
        [
            str(row["target"]),
            METHOD_NAME[row["method"]] + (" (enough)" if row["enough"] else ""),
            _estimate(row, "intercept", fixed=row["method"] == "none"),
            _estimate(row, "slope", fixed=row["method"] != "logistic"),
            wording.number(row["brier_cross_fitted"], 3),
            wording.p_value(row["p_against_largest"]),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "recalibration",
        "Simple recalibration",
        "Fitted to this cohort's outcomes, so no longer the frozen model. Recalibrated risk: the "
        "logit of the risk times the slope plus the intercept. “Enough”: the simplest that the "
        "last of the target's rows does not beat (closed test, 5%). Brier score: of risks "
        "recalibrated on the other nine tenths of the patients.",
        frame,
        ["Target", "Recalibration", "Intercept", "Slope", "Brier score", "Against the last"],
        cells,
    )


def _estimate(row: Mapping[Any, Any], name: str, fixed: bool) -> str:
    if fixed:
        return wording.number(row[name])
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"])


def drift(frame: pd.DataFrame) -> Table:
    """Images and features beside those of the training."""
    cells = [
        [
            str(row["name"]),
            f"{row['mean_training']:.4g} ({row['sd_training']:.3g})",
            f"{row['mean']:.4g} ({row['sd']:.3g})",
            wording.number(row["difference"]),
            f"{row['outside']:.0%}",
            wording.number(row["psi"]),
            wording.number(row["q_value"], 3),
            "yes" if row["drifted"] else "",
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "drift",
        "Drift of images and features",
        "Mean (SD). Difference in training standard deviations; outside: images beyond the "
        "training's range; PSI: population stability index over the training's tenths; q: "
        "Welch's test and a chi-squared test over these tenths, false discovery rate.",
        frame,
        ["Quantity", "Training", "Here", "Difference", "Outside", "PSI", "q", "Drifted"],
        cells,
    )


def kinds(frame: pd.DataFrame) -> Table:
    """Views and flags."""
    cells = [
        [
            str(row["kind"]),
            str(row["value"]),
            f"{row['n_training']:.0f}" if wording.number(row["n_training"]) != wording.DASH else "",
            str(row["n"]),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "kinds",
        "Views, and flags that were raised",
        "Images.",
        frame,
        ["Kind", "Value", "Training", "Here"],
        cells,
    )
