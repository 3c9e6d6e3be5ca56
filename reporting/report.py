"""The report: one HTML file with everything in it, beside its figures and tables as files.

The page loads nothing: style, script, figures and pictures are inside, and its content security
policy forbids the rest. Equal results give equal bytes.
"""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ..files import write_text
from . import summary, tables, tables_features, tables_paired, wording
from .centres import centre_table, draw_centres
from .claims import claim_sentences, claims_table, draw_claims
from .classes import classes_table, draw_confusion
from .clinical_tables import clinical_tables
from .config import ReportConfig
from .facts_data import source_name, unanswered
from .figures_classifiers import draw_calibration, draw_roc
from .figures_compare import draw_auc, draw_icc
from .figures_decision import draw_decision
from .figures_features import draw_funnel, draw_selected
from .figures_increment import draw_increment
from .figures_lasso import draw_lasso
from .figures_masks import draw_dice, draw_dice_groups, draw_history
from .figures_nomogram import draw_nomogram
from .figures_noninferiority import draw_noninferiority
from .figures_paired import draw_decision_difference, draw_icc_dice, draw_risk_agreement
from .figures_risks import draw_risks
from .figures_subgroups import draw_subgroups, draw_subgroups_dice
from .figures_trust import draw_froc, draw_pixel_calibration, draw_uncertainty
from .flow import draw_flow, flow_table
from .methods import sections, to_add, write_methods
from .model_card import write_cards
from .overlay_pictures import Overlay, overlays
from .performance import calibration, performance
from .predictors import draw_predictors, predictors_table, skipped
from .read_results import read_results
from .record import Record
from .results import Results, Target
from .standards import score, standards_tables, write_standards
from .style import Plot, drawing, save
from .subgroups import looked_at, subgroups_table
from .tables import Table
from .templates import content_hash, template
from .trust import leakage_table, no_audit, size_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from markupsafe import Markup

log = logging.getLogger(__name__)

MOST_BYTES = 8_000_000
SMALL_CSV_BYTES = 48_000
NOT_A_DEVICE = "Not a medical device: for research, not for decisions about patients."
_HERE = Path(__file__).parent
_SAFE = " /:=;,+!*'()$@?<>[]{}^|`"
"""What a data URI in double quotes may hold as it is; neither & nor \" nor # nor %."""
_BETWEEN = re.compile(r">\s+<")
_NUMBERS = re.compile(r'href="((?:figures|tables)/[^"/]+\.csv)"')
_RANGE = re.compile(r"\((\S+) to (\S+)\)")
"""An interval, which no line may break."""


@dataclass(frozen=True)
class Shown:
    """A figure or table as the page shows it; ``data`` is empty when the CSV is too large."""

    name: str
    title: str
    reading: str
    finding: list[str]
    image: str
    csv: str
    data: str
    head: list[str]
    cells: list[list[str]]


def report(config: ReportConfig, study: Path) -> Path:
    """Write ``report.html``, ``figures/*.svg`` with their ``.csv``, and ``tables/*.csv``.

    Beside them the checklists (:mod:`.standards`), ``methods.md`` (:mod:`.methods`) and the model
    cards (:mod:`.model_card`).

    Returns
    -------
    Path
        ``report.html`` in the study folder.

    Raises
    ------
    MammoroiError
        When a file of an earlier stage is missing or broken; it names the file and the stage.
    """
    study = Path(study)
    results = read_results(study)
    _remove_earlier(study)
    pieces = _pieces(results) | _documents(study)  # these look at figures and tables, too
    for pixels in sorted({config.overlay_pixels, 800, 600, 400}, reverse=True):
        if pixels > config.overlay_pixels:
            continue
        page = _page(config, results, pieces, overlays(results, pixels))
        if len(page.encode()) <= MOST_BYTES:
            break
        log.warning("report.html is large with overlays of %d pixels", pixels)
    return write_text(study / "report.html", page)


def _remove_earlier(study: Path) -> None:
    """Remove the figures and tables that an earlier report names, which may be of other targets.

    Those of the stage `tables`, which have a number, stay, and so does what a person put there.
    """
    page = study / "report.html"
    for name in set(_NUMBERS.findall(page.read_text("utf-8")) if page.is_file() else ()):
        csv = study / unescape(name)
        if not re.match(r"table\d", csv.name):
            csv.unlink(missing_ok=True)
            csv.with_suffix(".svg").unlink(missing_ok=True)


def _pieces(results: Results) -> dict[str, Any]:
    """Draw and write every figure and table, and sort them into the sections of the page."""
    folder = results.folder

    def table(made: Table | None) -> Shown | None:
        return None if made is None else show_table(made, made.save(folder / "tables"), folder)

    def plots(*made: Plot | None) -> list[Shown]:
        return [show_plot(plot, folder) for plot in made if plot is not None]

    flow, record = flow_table(results), Record(folder)
    tasks = _by_task(results.targets)
    baseline, clinical = _clinical(results, tasks) if tasks else (None, [])
    numbers = [int(given[1]) for one in clinical if (given := re.match(r"Table (\d+)", one.title))]
    last = max(numbers, default=1)
    with drawing():
        return {
            "flow": plots(draw_flow(flow)),
            "cases": table(tables.cases(results)),
            "baseline": baseline or table(tables.baseline(results)),
            "clinical": clinical,
            "claims": plots(draw_claims(results.targets)),
            "claim_tables": [table(made) for task in tasks if (made := claims_table(task))],
            "masks": plots(
                draw_dice(results),
                draw_dice_groups(results),
                draw_froc(record),
                draw_uncertainty(record),
                draw_pixel_calibration(record),
                draw_history(results),
            ),
            "agreement": table(tables.agreement(results)),
            "features": plots(
                draw_funnel(results), None if results.automatic else draw_icc(results)
            )
            if tasks
            else [],
            "tasks": [
                _task(folder, tasks[at], last + 2 * at, 2 * at, table, plots)
                for at in range(len(tasks))
            ],
            "subgroups": [
                {
                    "heading": target.heading,
                    "plots": plots(draw_subgroups(target)),
                    "table": table(subgroups_table(target)),
                }
                for target in results.targets
            ]
            if looked_at(results)
            else [],
            "subgroups_dice": plots(draw_subgroups_dice(results)),
            **(_comparison(results, table, plots) if tasks and results.automatic else {}),
            "trust": [
                shown
                for made in (size_table, leakage_table)
                if tasks and (shown := table(made(record))) is not None
            ],
            "no_audit": no_audit(record),
            "stages": table(tables.stages(results)),
        }


def _comparison(
    results: Results,
    table: Callable[[Table | None], Shown | None],
    plots: Callable[..., list[Shown]],
) -> dict[str, Any]:
    """Draw and write what compares the classifiers of manual and of automatic masks."""
    exchanged = (tables_paired.cross_application, tables_paired.net_reclassification)
    return {
        "comparison": table(tables.comparison(results)),
        "compared": plots(
            draw_auc(results),
            draw_noninferiority(results),
            draw_icc(results),
            draw_icc_dice(results),
            *(plot for target in results.targets for plot in _both_risks(results, target)),
        ),
        "exchanged": [shown for made in exchanged if (shown := table(made(results))) is not None],
    }


def _clinical(results: Results, tasks: list[list[Target]]) -> tuple[Shown | None, list[Shown]]:
    """The table of characteristics and the regressions, where the stage `tables` has run."""
    titles = {targets[0].task: targets[0].title for targets in tasks}
    shown = [
        show_table(table, csv, results.folder)
        for table, csv in clinical_tables(results.folder, titles)
    ]
    first = next((item for item in shown if item.name == "table1_baseline"), None)
    return first, [item for item in shown if item is not first]


def _both_risks(results: Results, target: Target) -> list[Plot | None]:
    return [
        draw_risks(target),
        draw_risk_agreement(results, target),
        draw_decision_difference(results, target),
    ]


def _documents(study: Path) -> dict[str, Any]:
    """Write the checklists, the methods section and the model cards, and give them for the page."""
    filled = write_standards(study)
    write_methods(study)
    return {
        "standards": [
            show_table(table, study / "standards" / f"{table.name}.csv", study)
            for table in standards_tables(filled)
        ],
        "score": str(score(filled["metrics"])) if "metrics" in filled else "",
        "written_methods": sections(study),
        "to_add": to_add(study),
        "cards": [path.relative_to(study).as_posix() for path in write_cards(study)],
    }


def _by_task(targets: Iterable[Target]) -> list[list[Target]]:
    tasks: dict[str, list[Target]] = {}
    for target in targets:
        tasks.setdefault(target.task, []).append(target)
    return list(tasks.values())


def _task(
    folder: Path,
    targets: list[Target],
    tables_before: int,
    figures_before: int,
    table: Callable[[Table | None], Shown | None],
    plots: Callable[..., list[Shown]],
) -> dict[str, Any]:
    # Numbers as in such papers: characteristics, a regression for each task, then for each task its
    # features and its performance; two figures for each task, of the LASSO and of the performance.
    features, performances = tables_before + 1, tables_before + 2
    first, second = figures_before + 1, figures_before + 2
    draw = (
        (draw_lasso, f"Figure {first}. "),
        (draw_selected, ""),
        (draw_roc, f"Figure {second}, A and B. "),
        (draw_calibration, f"Figure {second}, C. "),
        (draw_decision, f"Figure {second}, D. "),
        (draw_predictors, ""),
        (draw_increment, ""),
        (draw_centres, ""),
    )
    added = predictors_table(targets)
    return {
        "name": targets[0].task,
        "title": targets[0].title,
        "performance": table(_numbered(performance(targets), f"Table {performances}. ")),
        "risks": table(_numbered(calibration(targets), f"Table {performances}, continued. ")),
        "classes": table(classes_table(folder, targets[0].task)),
        "confusion": plots(draw_confusion(folder, targets[0].task)),
        "predictors": table(added),
        "no_predictors": skipped(targets),
        "centres": table(centre_table(targets)),
        "targets": [
            {
                "name": target.name,
                "heading": target.heading,
                "warning": summary.small_numbers(target),
                "glance": summary.target_glance(target),
                "features": table(
                    _numbered(tables_features.selected(target), f"Table {features}. ")
                ),
                "plots": plots(
                    *(_numbered(one(target), number) for one, number in draw),
                    *(draw_nomogram(target, roi) for roi in target.results),
                ),
            }
            for target in targets
        ],
    }


Titled = TypeVar("Titled", Plot, Table, Plot | None)


def _numbered(item: Titled, number: str) -> Titled:
    """The figure or table with its number before its title; nothing stays nothing."""
    return item and replace(item, title=number + item.title)


def show_plot(plot: Plot, folder: Path) -> Shown:
    """Write a figure with its numbers into ``folder / "figures"``, and give it for a page."""
    svg, csv = save(plot, folder / "figures")
    image = _svg_uri(svg.read_text("utf-8"))
    link, data = _csv(csv, folder)
    return Shown(
        plot.name, plot.title, plot.reading, plot.finding.splitlines(), image, link, data, [], []
    )


def show_table(table: Table, csv: Path, folder: Path) -> Shown:
    """Give a table that was written for a page in ``folder``."""
    link, data = _csv(csv, folder)
    cells = [[_RANGE.sub("(\\1\u00a0to\u00a0\\2)", cell) for cell in row] for row in table.cells]
    return Shown(table.name, table.title, table.note, [], "", link, data, table.head, cells)


def _csv(path: Path, folder: Path) -> tuple[str, str]:
    """Relative link to a CSV file, and the file itself as a data URI when it is small."""
    content = path.read_bytes()
    data = _data_uri("text/csv", content) if len(content) <= SMALL_CSV_BYTES else ""
    return path.relative_to(folder).as_posix(), data


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _svg_uri(svg: str) -> Markup:
    """A drawing as a data URI, percent-encoded: two thirds of the length of base64."""
    from markupsafe import Markup

    plain = _BETWEEN.sub("><", re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL))
    if "'" not in plain:
        plain = plain.replace('"', "'")
    return Markup("data:image/svg+xml," + quote(plain, safe=_SAFE))  # noqa: S704 (no quote left)


def _page(
    config: ReportConfig, results: Results, pieces: dict[str, Any], shown: list[Overlay]
) -> str:
    style, script = ((_HERE / f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    n_estimated = summary.estimated_spacings(results)
    return template(_HERE / "report.html.j2").render(
        title=config.title or f"{_subject(results)} in {results.name}",
        results=results,
        source=source_name(results.cohort.get("source")),
        banner="SYNTHETIC DATA: phantom mammograms, no patients" if results.synthetic else "",
        not_a_device=NOT_A_DEVICE,
        style=style,
        script=script,
        style_hash=content_hash(style),
        script_hash=content_hash(script),
        estimated=wording.share(n_estimated, len(results.images), "images") if n_estimated else "",
        glances=summary.glances(results),
        unanswered=unanswered(Record(results.folder)),
        claim_sentences=claim_sentences(results.targets),
        mask_sentences=summary.mask_sentences(results),
        target_sentences={
            target.heading: summary.target_sentences(results, target) for target in results.targets
        },
        limits=summary.limits(results),
        overlays=shown,
        settings=list(summary.flatten(_that_count(results, results.run.get("config", {})))),
        record=[
            pair
            for name, value in results.run.items()
            if name not in ("config", "stages")
            for pair in summary.flatten(
                _that_count(results, value) if name == "seeds" else value,
                "" if name == "versions" else name,
            )
        ],
        feature_settings={
            roi: list(summary.flatten(features.provenance))
            for roi, features in results.features.items()
        },
        **pieces,
    )


def _subject(results: Results) -> str:
    return "Manual and automatic masks" if results.automatic else "Classifiers from manual masks"


def _that_count(results: Results, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without those of classifiers or networks, where the study has none."""
    unused = Record(results.folder).unused
    return {room: value for room, value in settings.items() if room not in unused}
