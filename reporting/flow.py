"""The flow of cases: for every stage, in = used + excluded + no lesion found + failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .results import Results, Target
from .style import GREY, NAME, PALE, Plot, bare, panels

if TYPE_CHECKING:
    import pandas as pd

LETTER = 0.012
"""Width of a letter beside a bar, as a share of the axes."""
COLUMNS = ("stage", "unit", "cases_in", "used", "excluded", "no_lesion_found", "failed", "adds_up")


def flow_table(results: Results) -> pd.DataFrame:
    """Count the cases of every stage from its own files.

    Returns
    -------
    pandas.DataFrame
        ``stage``, ``unit`` (image or patient), ``cases_in``, ``used``, ``excluded``,
        ``no_lesion_found``, ``failed`` and whether the four add up to ``cases_in``.
    """
    import pandas as pd

    rows = _cohort(results)
    if results.automatic:
        rows.append(_masks(results))
    rows += [_features(results, roi) for roi in results.features]
    rows += [
        _classifier(results, target, roi) for target in results.targets for roi in target.results
    ]
    table = pd.DataFrame(rows)
    parts = table[["used", "excluded", "no_lesion_found", "failed"]].sum(axis=1)
    return table.assign(adds_up=parts == table["cases_in"])[list(COLUMNS)]


def _row(stage: str, unit: str, cases_in: int, used: int, **rest: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "unit": unit,
        "cases_in": cases_in,
        "used": used,
        "excluded": rest.get("excluded", 0),
        "no_lesion_found": rest.get("no_lesion_found", 0),
        "failed": rest.get("failed", 0),
    }


def _cohort(results: Results) -> list[dict[str, Any]]:
    rows = []
    for unit, table in (("image", results.images), ("patient", results.patients)):
        of_unit = results.excluded["stage"].astype(str).str.endswith(unit)
        excluded = int(of_unit.sum())
        cases_in = int(results.cohort.get(f"n_{unit}s_in", len(table) + excluded))
        rows.append(_row(f"cohort, {unit}s", unit, cases_in, len(table), excluded=excluded))
    return rows


def _masks(results: Results) -> dict[str, Any]:
    found = int(results.masks["found"].astype(bool).sum())
    return _row(
        "automatic masks",
        "image",
        len(results.images),
        found,
        no_lesion_found=len(results.masks) - found,
        failed=len(results.failures["masks"]),
    )


def _features(results: Results, roi: str) -> dict[str, Any]:
    cases_in = len(results.images)
    if roi == "reader2":
        cases_in = int(results.images["mask_reader2"].notna().sum())
    return _row(
        f"features, {NAME[roi]}",
        "image",
        cases_in,
        results.features[roi].n_images,
        no_lesion_found=int((results.missed["roi"] == roi).sum()),
        failed=int((results.failures["features"]["stage"] == f"radiomics/{roi}").sum()),
    )


def _classifier(results: Results, target: Target, roi: str) -> dict[str, Any]:
    predictions = target.results[roi].predictions
    missed = failed = 0
    if "missed" in predictions:
        lost = predictions.loc[predictions["missed"].astype(bool), "patient_id"]
        missed = int(lost.isin(results.missed["patient_id"]).sum())
        failed = len(lost) - missed
    patients = results.patients
    unlabelled = int(patients[target.label].isna().sum()) if target.label in patients else 0
    cases_in = len(patients)
    return _row(
        f"{target.name}, {NAME[roi]}",
        "patient",
        cases_in,
        len(predictions) - missed - failed,
        excluded=unlabelled,
        no_lesion_found=missed,
        failed=cases_in - unlabelled - len(predictions) + failed,
    )


def draw_flow(table: pd.DataFrame) -> Plot:
    """Stacked bars: what became of the cases at every stage."""
    parts = {
        "used": "#5f6b76",
        "excluded": PALE,
        "no_lesion_found": "#E69F00",
        "failed": "#000000",
    }
    units = [unit for unit in ("image", "patient") if unit in set(table["unit"])]
    counts = [float((table["unit"] == unit).sum()) for unit in units]
    figure, axes = panels(len(units), 1, 0.9 + 0.36 * len(table), heights=counts)
    for (ax,), unit in zip(axes, units, strict=True):
        rows = table[table["unit"] == unit].reset_index(drop=True)
        left = rows["used"] * 0
        for part, colour in parts.items():
            ax.barh(
                rows["stage"],
                rows[part],
                left=left,
                color=colour,
                height=0.62,
                label=part.replace("_", " "),
                edgecolor="white",
                linewidth=0.5,
            )
            left = left + rows[part]
        longest = 0
        for at, (_, row) in enumerate(rows.iterrows()):
            lost = ", ".join(f"{row[p]} {p.replace('_', ' ')}" for p in list(parts)[1:] if row[p])
            text = f"  {row['used']} of {row['cases_in']} used" + (f"; {lost}" if lost else "")
            ax.text(row["cases_in"], at, text, va="center", fontsize=9, color=GREY)
            longest = max(longest, len(text))
        beside = min(0.7, LETTER * longest)  # the layout leaves less room than the texts need
        ax.set_xlim(0, max(1, rows["cases_in"].max()) / (1 - beside))
        ax.invert_yaxis()
        ax.set_title(f"{unit}s")
        bare(ax)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    whole = bool(table["adds_up"].all())
    return Plot(
        "flow_of_cases",
        "Flow of cases",
        "Each bar is what went into a stage; its coloured parts are what became of it.",
        "At every stage, in = used + excluded + no lesion found + failed."
        if whole
        else "The cases of these stages do not add up, look at their files before trusting the "
        f"rest: {', '.join(table.loc[~table['adds_up'], 'stage'])}.",
        figure,
        table,
    )
