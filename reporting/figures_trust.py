"""Figures about what the overlap does not say: lesions found, uncertainty, calibration of pixels.

They read the files of :mod:`mammoroi.segmentation.evaluation`; a study that lacks them has no such
figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..segmentation.bootstrap import LEAST_PATIENTS
from . import wording
from .facts_detection import masks_found, normal_mammograms
from .record import Record
from .style import GREY, INK, PALE, SET_NAME, Plot, legend_below, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LOOK = {"train": ("#D55E00", "--", "o"), "test": ("#0072B2", "-", "s")}
IN_NORMALS = ("#009E73", ":", "^")
FROC_NAME = {**SET_NAME, "normals": "all lesions, false positives in normal mammograms"}
REGION_NAME = {"near": "within 10 mm of a lesion", "breast": "the whole breast"}
FAINTEST = 0.05


def draw_froc(record: Record) -> Plot | None:
    """Sensitivity over false positives per image, with intervals at the chosen rates."""
    curves, summary = record.table("froc.csv"), record.table("froc_summary.csv")
    if curves is None or summary is None:
        return None
    masks = record.table("froc_masks.csv")
    figure, ((ax,),) = panels(1, 1, 4.4)
    findings = []
    rates = [float(rate) for rate in summary["fp_per_image"].unique() if rate != "mean"]
    groups = {"set=train": "train", "set=test": "test", "normals": "normals"}
    for (group, part), shift in zip(groups.items(), (0.97, 1.03, 1.0), strict=True):
        curve, rows = curves[curves["set"] == part], summary[summary["group"] == group]
        if curve.empty or rows["sensitivity"].isna().all():
            continue
        _draw_curve(ax, curve, rows, part, shift)
        findings.append(_detection_words(part, rows[rows["fp_per_image"] == "mean"].iloc[0]))
        if masks is not None and (told := masks_found(record, part)):
            findings.append(told)
            _draw_masks(ax, masks[masks["group"] == group].iloc[0], part)
    if (fact := normal_mammograms(record)) is not None:
        findings.append(fact.text)
    ax.set_xscale("log", base=2)
    most = 0.0 if masks is None else float(masks["false_regions"].max())
    ax.set_xlim(FAINTEST, 1.1 * max(*rates, most))
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
    lows = [summary.loc[summary["group"].isin(groups), "lower"].min()]
    lows += [] if masks is None else [masks[name].min() for name in ("sensitivity", "lower")]
    low = min((float(one) for one in lows if one == one), default=0.0)
    ax.set_ylim(max(0.0, min(0.8, low - 0.05)), 1.01)
    ax.yaxis.set_major_formatter("{x:.2f}")
    ax.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
    ax.set_xlabel("false positives per image")
    ax.set_ylabel("lesions found")
    legend_below(figure, ax)
    where = (
        "On the dotted line the lesions are those of all patients, and the false positives are "
        "counted in mammograms without a lesion."
        if (curves["set"] == "normals").any()
        else "Every image has a lesion: false positives on normal mammograms were not measured."
    )
    return Plot(
        "froc",
        "Are the lesions found?",
        "Every region of a manual mask is a lesion. With a lower threshold more of them are marked "
        f"(up), and more marks are wrong (right). {where} Bars are 95% confidence intervals over "
        f"patients, of at least {LEAST_PATIENTS}. A lesion is found when one of all an image's "
        "marks hits it; Dice counts the pixels of the one automatic mask that was drawn: where "
        "that outlines another mark, its Dice is 0 though the lesion is found here. Stars are the "
        "masks themselves, each region of them one mark. Several such regions may be one mark of "
        "the curve, which begins at a lower probability, and this may hit nothing: then the star "
        "is above it.",
        "\n".join(findings),
        figure,
        summary,
    )


def _draw_curve(ax: Axes, curve: pd.DataFrame, rows: pd.DataFrame, part: str, shift: float) -> None:
    """Draw one curve and, a little beside each rate, its interval there."""
    colour, line, marker = IN_NORMALS if part == "normals" else LOOK[part]
    at = rows[rows["fp_per_image"] != "mean"]
    rates = at["fp_per_image"].astype(float)
    # The curve ends where every candidate counts; from there on it stays as it is.
    x = [*curve["fp_per_image"].clip(lower=FAINTEST), rates.max()]
    y = [*curve["sensitivity"], curve["sensitivity"].iloc[-1]]
    ax.step(x, y, where="post", color=colour, ls=line, label=FROC_NAME[part])
    ax.vlines(rates * shift, at["lower"], at["upper"], color=colour, lw=1.4)
    ax.plot(rates * shift, at["sensitivity"], marker, color=colour, ms=5)


def _draw_masks(ax: Axes, row: pd.Series, part: str) -> None:
    """Draw the point at which the masks themselves are."""
    at, colour = max(row["false_regions"], FAINTEST), LOOK[part][0]
    ax.plot(at, row["sensitivity"], "*", color=colour, ms=13, mec="white", zorder=5, clip_on=False)
    ax.vlines(at, row["lower"], row["upper"], color=colour, lw=1.4)
    ends = [max(row[end], FAINTEST) for end in ("false_lower", "false_upper")]
    ax.hlines(row["sensitivity"], *ends, color=colour, lw=1.4)


def _detection_words(part: str, mean: pd.Series) -> str:
    """Say the mean sensitivity over the rates, of how many lesions in how many images."""
    value = wording.interval(mean["sensitivity"], mean["lower"], mean["upper"])
    lesions = wording.plural(int(mean["n_lesions"]), "lesion")
    images = wording.plural(int(mean["n_images"]), "image")
    if part == "normals":
        return (
            f"With the false positives of {images} without a lesion the mean sensitivity over "
            f"these rates is {value}, {lesions}."
        )
    name = SET_NAME[part].capitalize()
    return f"{name}: the mean sensitivity over these rates is {value}, {lesions} in {images}."


def draw_uncertainty(record: Record) -> Plot | None:
    """Dice over the expected Dice, with the threshold of the flag."""
    agreement, found = record.table("agreement.csv"), record.table("uncertainty.csv")
    flag = record.json("uncertainty.json")
    if agreement is None or found is None or not flag or "expected_dice" not in agreement:
        return None
    rows = agreement[agreement["comparison"] == "automatic-manual"]
    table = rows[["image_id", "set", "expected_dice", "dice", "uncertain"]].dropna(subset="dice")
    if table.empty:
        return None
    drawn = table[table["expected_dice"] > 0]
    threshold, poor = flag["flag"]["threshold"], flag["flag"]["poor_dice"]
    parts = [part for part in LOOK if part == "train" or (table["set"] == part).any()]
    figure, (axes,) = panels(1, len(parts), 4.2, sharey=True)
    findings = []
    for ax, part in zip(axes, parts, strict=True):
        colour = LOOK[part][0]
        points = drawn[drawn["set"] == part]
        ax.axhspan(0, poor, color=PALE, alpha=0.5, lw=0)
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        ax.plot(
            points["expected_dice"], points["dice"], "o", color=colour, ms=3.5, mew=0, alpha=0.5
        )
        if threshold is not None:
            ax.axvline(threshold, color=INK, lw=1.2, ls="--")
            ax.text(threshold, 1.03, "uncertain ", ha="right", va="bottom", fontsize=9)
        ax.set_title(SET_NAME[part], pad=18)
        ax.set_xlim(0, 1.02)
        ax.set_ylim(0, 1.02)
        ax.set_xlabel("expected Dice, without the manual mask")
        findings.append(_uncertainty_words(part, found, flag))
    axes[0].set_ylabel("Dice with the manual mask")
    return Plot(
        "uncertainty_dice",
        "Do the networks know when they are wrong?",
        "Each dot is one image. The expected Dice comes from the probabilities alone; on the "
        f"dotted line it is right. Grey: a Dice below {poor:g}. Masks left of the dashed line are "
        "flagged as uncertain; the line was chosen on training patients alone.",
        "\n".join(text for text in findings if text),
        figure,
        table,
    )


def _uncertainty_words(part: str, found: pd.DataFrame, flag: dict[str, Any]) -> str:
    rows = found[(found["set"] == part) & (found["measure"] == "expected_dice")]
    if rows.empty or rows["spearman"].isna().all():
        return ""
    row, counts = rows.iloc[0], flag["sets"][part]
    text = (
        f"{SET_NAME[part].capitalize()}: rank correlation "
        f"{wording.interval(row['spearman'], row['lower'], row['upper'])} over "
        f"{wording.plural(int(row['n']), 'mask')}"
    )
    if counts["n_flagged"] is None:
        return f"{text}; too few poor masks to choose a flag."
    poor = f"a Dice below {flag['flag']['poor_dice']:g}"
    if not counts["n_poor"]:
        return f"{text}; {counts['n_flagged']} flagged, and no mask has {poor}."
    return (
        f"{text}; {counts['n_flagged']} flagged, among them {counts['n_poor_flagged']} of "
        f"{counts['n_poor']} with {poor}."
    )


def draw_pixel_calibration(record: Record) -> Plot | None:
    """Share of lesion pixels over their probability, near lesions and in the whole breast."""
    table, summary = record.table("pixel_calibration.csv"), record.table("agreement_summary.csv")
    if table is None or table.empty or summary is None:
        return None
    figure, (axes,) = panels(1, 2, 4.4, sharey=True)
    findings = []
    for ax, (region, name) in zip(axes, REGION_NAME.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        for part in LOOK:
            _draw_reliability(ax, table[(table["region"] == region) & (table["set"] == part)], part)
        ax.set_title(name)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.01)
        ax.set_xlabel("probability of a pixel")
        errors = [
            f"{wording.interval(row['mean'], row['mean_lower'], row['mean_upper'], 3)} in "
            f"{SET_NAME[part]}"
            for part in LOOK
            for _, row in summary[
                (summary["comparison"] == "automatic-manual")
                & (summary["group"] == f"set={part}")
                & (summary["metric"] == f"ece_{region}")
            ].iterrows()
        ]
        if errors:
            findings.append(
                f"{name.capitalize()}, the mean error of an image is {'; '.join(errors)}."
            )
    axes[0].set_ylabel("share that is lesion")
    legend_below(figure, axes[0])
    return Plot(
        "pixel_calibration",
        "Does the probability of a pixel mean what it says?",
        "On the dotted line, of the pixels called 30% lesion 30% are lesion in the manual mask. "
        "Below it the networks are too sure, above it too cautious. The error (expected "
        "calibration error) is the mean distance from the line over an image's pixels. Bands are "
        f"95% confidence intervals over patients, of at least {LEAST_PATIENTS}.",
        "\n".join(findings),
        figure,
        table,
    )


def _draw_reliability(ax: Axes, rows: pd.DataFrame, part: str) -> None:
    rows = rows[rows["n_pixels"] > 0]
    colour, line, marker = LOOK[part]
    ax.fill_between(
        rows["probability"], rows["lower"], rows["upper"], color=colour, alpha=0.15, lw=0
    )
    style: dict[str, Any] = {"color": colour, "ls": line, "marker": marker, "ms": 4.5}
    ax.plot(rows["probability"], rows["share"], label=SET_NAME[part], **style)
