"""Compare the automatic masks, and the second reader's, with the manual ones.

``agreement.csv`` has a row per image and comparison (``automatic-manual``; ``reader2-manual``
where a second reader drew a mask): ``image_id, patient_id, fold, comparison``, the measures of
:class:`.metrics.Similarity` (with the manual mask as the reference; an empty cell is missing),
``view, size_group, breast_density, n_regions`` and ``set``. ``size_group`` is by the diameter of a
circle of the manual mask's area; ``n_regions`` counts the regions of the manual mask (``1``, ``2``,
``3+``). For automatic masks also ``entropy, expected_dice, member_dice, uncertain``
(:mod:`.uncertainty`) and ``ece_near, ece_breast`` (:mod:`.pixel_calibration`).
``agreement_failures.csv`` lists the comparisons that could not be made, and the images of which no
overlay could be drawn.

A manual mask that is a box around the lesion (``mask_kind``) says where the lesion is, not how it
is shaped: of the measures ``found`` and ``area_mm2`` alone are there, and ``size_group, ece_near,
ece_breast`` are missing like the others. Detection is measured there as everywhere. A second
reader's mask is not compared with a box.

``agreement_summary.csv``: ``comparison, group, metric, n, mean, mean_lower, mean_upper, median,
median_lower, median_upper``, where ``n`` counts the images that have the measure and ``group`` is
``all``, ``view=...``, ``size_group=...``, ``breast_density=...``, ``n_regions=...`` or
``set=train|test``. Intervals are 95 % bootstrap intervals over patients, empty where there are
fewer than five. ``found`` is the share of lesions found, ``uncertain`` that of masks flagged.

Detection, calibration and uncertainty have files of their own, see :mod:`.evaluation`. In a study
of manual masks alone the two readers are compared, and nothing else; with one reader the tables
have no row.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Failure, MammoroiError
from ..files import read_csv, write_csv, write_failures
from .bootstrap import mean_and_median
from .cases import map_cases
from .config import SegmentationConfig
from .evaluation import (
    COLUMNS,
    Examined,
    calibration_errors,
    examine,
    flag_masks,
    read_candidates,
    read_uncertainty,
    write_evaluation,
)
from .metrics import Similarity, similarity, size_group
from .overlays import write_overlays
from .prepare import Source, is_prepared, load_mapping, sources

if TYPE_CHECKING:
    import pandas as pd

    from ..cohort.cohort import Cohort
    from .mapping import Mapping

KEYS = ("image_id", "patient_id", "fold", "comparison")
MEASURES = tuple(field.name for field in fields(Similarity))
OF_OUTLINES = tuple(name for name in MEASURES if name not in ("found", "area_mm2"))
"""What a box around the lesion cannot measure."""
SUMMARISED = (
    *(name for name in MEASURES if not name.endswith("area_mm2")),
    *("uncertain", "ece_near", "ece_breast"),
)
GROUPS = ("view", "size_group", "breast_density", "n_regions", "set")
log = logging.getLogger(__name__)

AUTOMATIC, READER2 = "automatic-manual", "reader2-manual"
OF_TABLE = [*KEYS, *MEASURES, *COLUMNS, *GROUPS]
SUMMARY = (
    *("comparison", "group", "metric", "n", "mean", "mean_lower", "mean_upper"),
    *("median", "median_lower", "median_upper"),
)
OF_AUTOMATIC = (
    *("lesions.csv", "froc.csv", "froc_summary.csv", "froc_masks.csv", "normals.csv"),
    *("pixel_calibration.csv", "uncertainty.csv", "uncertainty.json", "overlays/*"),
)
"""What is written of automatic masks alone."""


@dataclass(frozen=True)
class Comparison:
    """A mask to be compared with the manual mask of the same image."""

    name: str
    source: Source
    manual: Path
    other: Path


def agree(config: SegmentationConfig, study: Path) -> Path:
    """Measure the agreement of all masks of a study and draw the cases to look at.

    Returns
    -------
    Path
        ``agreement.csv`` in the study folder.

    Raises
    ------
    MammoroiError
        When there are masks to compare, and none of them can be.
    """
    import pandas as pd

    from ..cohort.cohort import load_cohort

    study = Path(study)
    cohort = load_cohort(study)
    comparisons = list_comparisons(cohort, study)
    if not comparisons:
        return _nothing_to_compare(study)
    drawn = {item.source.image_id: item for item in comparisons if item.name == AUTOMATIC}
    candidates = read_candidates(study) if drawn else {}
    cases = [
        (item.source.image_id, (item, study, candidates.get(item.source.image_id, []), config))
        for item in comparisons
    ]
    results = list(
        map_cases(compare, cases, "segmentation/agree", "Comparing masks", config.workers)
    )
    failures = [result for result in results if isinstance(result, Failure)]
    write_failures(study / "agreement_failures.csv", failures)
    compared = [result for result in results if not isinstance(result, Failure)]
    if not compared:
        raise MammoroiError(
            f"no masks in {study} could be compared", "see agreement_failures.csv there"
        )
    examined = {row["image_id"]: found for row, found in compared if found is not None}
    _tell_boxes(list(drawn.values()))
    table = describe(pd.DataFrame([row for row, _ in compared]), cohort, study)
    if drawn:
        table = add_evaluation(table, read_uncertainty(study), examined, config)
    table = table.reindex(columns=OF_TABLE)
    write_csv(study / "agreement.csv", table)
    summary = summarise(table, config)
    write_csv(study / "agreement_summary.csv", summary)
    _tell_dice(summary)
    automatic = table[table["comparison"] == AUTOMATIC]
    if len(automatic):
        write_evaluation(study, automatic, examined, flag_masks(automatic, config), config)
        failures += write_overlays(
            study / "overlays",
            automatic[automatic["dice"].notna()],
            drawn,
            study,
            config.overlays,
        )
    else:
        _remove_evaluation(study)
    write_failures(study / "agreement_failures.csv", failures)
    return study / "agreement.csv"


def _nothing_to_compare(study: Path) -> Path:
    """Write tables without a row."""
    import pandas as pd

    log.info("one reader and no automatic masks: there are no masks to compare")
    write_csv(study / "agreement.csv", pd.DataFrame(columns=OF_TABLE))
    write_csv(study / "agreement_summary.csv", pd.DataFrame(columns=SUMMARY))
    write_failures(study / "agreement_failures.csv", [])
    _remove_evaluation(study)
    return study / "agreement.csv"


def _remove_evaluation(study: Path) -> None:
    """Remove what an earlier run said of automatic masks that are no longer there."""
    for pattern in OF_AUTOMATIC:
        for path in study.glob(pattern):
            path.unlink()


def _tell_boxes(automatic: list[Comparison]) -> None:
    """Say of how many images the manual mask is no outline, and what that means."""
    boxes = sum(item.source.mask_is_box for item in automatic)
    if boxes:
        log.warning(
            "in %d of %d images the manual mask is a box around the lesion, not its outline "
            "(mask_kind): whether lesions are found is measured there, overlap is not",
            boxes,
            len(automatic),
        )


def _tell_dice(summary: pd.DataFrame) -> None:
    """Say the mean Dice of all images of every comparison."""
    rows = summary[(summary["group"] == "all") & (summary["metric"] == "dice")]
    for row in rows.to_dict("records"):
        low, high = row["mean_lower"], row["mean_upper"]
        interval = "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
        log.info(
            "%s: mean Dice %.2f%s of %d images", row["comparison"], row["mean"], interval, row["n"]
        )


def list_comparisons(cohort: Cohort, study: Path) -> list[Comparison]:
    """List the automatic and the second reader's masks, each with the manual one."""
    import pandas as pd

    predictions = study / "masks" / "predictions.csv"
    drawn = set(read_csv(predictions, dtype=str)["image_id"]) if predictions.exists() else set()
    comparisons = []
    for source, reader2 in zip(sources(cohort), cohort.images["mask_reader2"], strict=True):
        if source.mask is None:
            continue
        if source.image_id in drawn:
            file = study / "masks" / "automatic" / f"{source.image_id}.png"
            comparisons.append(Comparison(AUTOMATIC, source, source.mask, file))
        if pd.notna(reader2):
            comparisons.append(Comparison(READER2, source, source.mask, cohort.path(reader2)))
    return comparisons


def compare(
    item: Comparison,
    study: Path,
    candidates: list[dict[str, Any]],
    config: SegmentationConfig,
) -> tuple[dict[str, Any], Examined | None]:
    """Compare one mask with the manual one.

    An automatic mask's image is examined as well, see :func:`.evaluation.examine`.

    Raises
    ------
    MammoroiError
        When a second reader's mask is to be compared with a box.
    """
    from scipy import ndimage

    from ..imaging.mask import read_mask

    known = item.name == AUTOMATIC or is_prepared(study, item.source.image_id)
    mapping = load_mapping(study, item.source.image_id) if known else None
    shape, spacing = _grid(item.source, mapping)
    label = item.source.mask_label
    box = item.source.mask_is_box
    if box and item.name == READER2:
        raise MammoroiError(
            "its mask is a box around the lesion, not its outline (mask_kind)",
            "outline the lesion: overlap with a box does not measure an outline",
        )
    manual = read_mask(item.manual, shape, label)
    of_reader2 = item.source.mask_label_reader2 or label
    other = read_mask(item.other, shape, of_reader2 if item.name == READER2 else None)
    measures = similarity(other, manual, spacing, config.surface_tolerance_mm)
    _, regions = ndimage.label(manual, [[1] * 3] * 3)
    row = {
        "image_id": item.source.image_id,
        "patient_id": item.source.patient_id,
        "comparison": item.name,
        "n_regions": str(regions) if regions < 3 else "3+",
        **asdict(measures),
        **(dict.fromkeys(OF_OUTLINES) if box else {}),
    }
    if item.name != AUTOMATIC or mapping is None:
        return row, None
    return row, examine(study, item.source, manual, other, mapping, candidates, config)


def _grid(source: Source, mapping: Mapping | None) -> tuple[tuple[int, int], tuple[float, float]]:
    """Shape and spacing of an image; of one that was not prepared for networks, by its file."""
    if mapping is not None:
        return (mapping.rows, mapping.columns), mapping.spacing
    mammogram = source.read()
    spacing = mammogram.require_spacing()
    rows, columns = mammogram.pixels.shape
    return (rows, columns), (spacing.row_mm, spacing.column_mm)


def add_evaluation(
    table: pd.DataFrame,
    uncertain: pd.DataFrame,
    examined: dict[str, Examined],
    config: SegmentationConfig,
) -> pd.DataFrame:
    """Add :data:`.evaluation.COLUMNS`, empty but for automatic masks."""
    table = table.merge(uncertain, on="image_id", how="left")
    table = table.merge(calibration_errors(examined), on="image_id", how="left")
    automatic = table["comparison"] == AUTOMATIC
    flag = flag_masks(table[automatic], config)
    others = [name for name in COLUMNS if name != "uncertain"]
    table.loc[~automatic, others] = None
    table["uncertain"] = [
        flag.uncertain(value) if mine else None
        for value, mine in zip(table["expected_dice"], automatic, strict=True)
    ]
    return table


def describe(measured: pd.DataFrame, cohort: Cohort, study: Path) -> pd.DataFrame:
    """Add what the groups need, and bring columns and rows into their order."""
    import pandas as pd

    from ..cohort.split import load_splits

    splits = load_splits(study)
    table = measured.merge(cohort.images[["image_id", "view"]], on="image_id")
    density = dict.fromkeys(cohort.patients["patient_id"])
    if "breast_density" in cohort.patients:
        density = cohort.patients.set_index("patient_id")["breast_density"].to_dict()
    table["breast_density"] = table["patient_id"].map(density)
    table["size_group"] = [
        size_group(area) if pd.notna(area) else None for area in table["reference_area_mm2"]
    ]
    tested = table["patient_id"].isin(splits.test)
    table["set"] = tested.map({True: "test", False: "train"})
    table["fold"] = [
        "test" if test else splits.fold_of(patient)
        for test, patient in zip(tested, table["patient_id"], strict=True)
    ]
    table = table.sort_values(["comparison", "image_id"], ignore_index=True)
    return table[[*KEYS, *MEASURES, *GROUPS]]


def summarise(table: pd.DataFrame, config: SegmentationConfig) -> pd.DataFrame:
    """Mean and median of every measure, overall and by group, with intervals over patients."""
    import pandas as pd

    rows = []
    for comparison, compared in table.groupby("comparison", sort=False):
        parts = [("all", compared)]
        for group in GROUPS:
            parts += [(f"{group}={value}", part) for value, part in compared.groupby(group)]
        for group, part in parts:
            for metric in SUMMARISED:
                if compared[metric].isna().all():
                    continue  # what a second reader's mask cannot have
                present = part[part[metric].notna()]
                values = present[metric].to_numpy(dtype=float)
                patients = present["patient_id"].to_numpy(dtype=object)
                mean, median = mean_and_median(
                    values, patients, config.bootstrap_samples, config.seed
                )
                rows.append(
                    {
                        "comparison": comparison,
                        "group": group,
                        "metric": metric,
                        "n": len(values),
                        "mean": mean.value,
                        "mean_lower": mean.lower,
                        "mean_upper": mean.upper,
                        "median": median.value,
                        "median_lower": median.lower,
                        "median_upper": median.upper,
                    }
                )
    return pd.DataFrame(rows)
