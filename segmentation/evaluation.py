"""What the stage ``agree`` says of automatic masks beyond their overlap with the manual ones.

Whether the lesions are found (:mod:`.detection`) and what is marked where there is none
(:mod:`.false_alarms`), whether the probability map is calibrated
(:mod:`.pixel_calibration`), and whether the networks know when they are wrong
(:mod:`.uncertainty`).

``uncertainty.csv``: ``set`` (``train``, ``test``), ``measure, n, spearman, lower, upper``: rank
correlation of a measure with the Dice over masks that are not empty, with 95 % bootstrap interval
over patients. ``uncertainty.json``: ``flag`` (:class:`.uncertainty.Flag`, chosen on training
patients alone) and ``sets``: for each set ``n, n_empty`` and, of the masks that are not empty,
``n_flagged, n_poor, n_poor_flagged``.

Where the manual mask is a box around the lesion (``mask_kind``), detection alone is measured: such
an image counts in none of the files on calibration and uncertainty, and its lesions have no area.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..files import read_csv, write_csv, write_json
from .candidates import find_candidates
from .config import SegmentationConfig
from .detection import lesions_and_marks, summarise_detection, summarise_masks
from .false_alarms import DrawnNormals, read_drawn_normals, summarise_normals
from .mapping import Mapping
from .metrics import size_group
from .pixel_calibration import (
    REGIONS,
    RELIABILITY,
    calibration_error,
    counts_in_regions,
    read_probability,
    reliability,
)
from .prepare import Source
from .uncertainty import MEASURES, Flag, choose_flag, rank_correlation

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]
SETS = ("train", "test")
COLUMNS = (*MEASURES, "uncertain", *(f"ece_{region}" for region in REGIONS))
"""What ``agreement.csv`` says of automatic masks alone."""


@dataclass(frozen=True)
class Examined:
    """One image's lesions, false positives and pixels by probability.

    Attributes
    ----------
    lesions : list of (float or None, float)
        Area in mm2 and score of each lesion of the manual mask. None: it is a box, whose area is
        not the lesion's; -inf: no candidate hits it.
    false_positives : list of float
        Scores of the candidates that hit none.
    counts : dict of float (3, bins) or None
        Of :func:`.pixel_calibration.counts_in_regions`; None where the manual mask is a box.
    hit_by_mask : list of bool
        Whether a region of the automatic mask hits each lesion.
    false_regions : int
        Regions of the automatic mask that hit none.
    """

    lesions: list[tuple[float | None, float]]
    false_positives: list[float]
    counts: dict[str, Values] | None
    hit_by_mask: list[bool]
    false_regions: int

    def best_score(self) -> float:
        """Give the score of the best candidate; 0 without any."""
        hits = [score for _, score in self.lesions if np.isfinite(score)]
        return max([*hits, *self.false_positives], default=0.0)


def examine(
    study: Path,
    source: Source,
    manual: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    mapping: Mapping,
    candidates: list[dict[str, Any]],
    config: SegmentationConfig,
) -> Examined:
    """Examine one image: manual and automatic mask, candidates and probability map."""
    lesions, false = lesions_and_marks(manual, candidates, config.hit, config.hit_iou)
    regions = [vars(one) for one in find_candidates(mask.astype(np.float32), 1.0, 0.0)]
    by_mask, false_regions = lesions_and_marks(manual, regions, config.hit, config.hit_iou)
    hits = [bool(np.isfinite(score)) for _, score in by_mask]
    if source.mask_is_box:
        boxes: list[tuple[float | None, float]] = [(None, score) for _, score in lesions]
        return Examined(boxes, false, None, hits, len(false_regions))
    breast = np.load(study / "segmentation" / "prepared" / f"{source.image_id}.npy") > 0
    return Examined(
        [(area * mapping.pixel_area_mm2, score) for area, score in lesions],
        false,
        counts_in_regions(
            read_probability(study / "masks" / "probability" / f"{source.image_id}.png"),
            mapping.mask_to_working(manual),
            breast,
            mapping.working_pixel_mm,
        ),
        hits,
        len(false_regions),
    )


def read_candidates(study: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the rows of ``masks/candidates.csv`` of each image that has any."""
    table = read_csv(study / "masks" / "candidates.csv", dtype={"image_id": str})
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_dict("records"):
        found.setdefault(str(row["image_id"]), []).append({str(k): v for k, v in row.items()})
    return found


def read_uncertainty(study: Path) -> pd.DataFrame:
    """Read the columns of ``masks/predictions.csv`` that say how sure the networks are.

    Raises
    ------
    MammoroiError
        When an earlier version drew the masks.
    """
    table = read_csv(study / "masks" / "predictions.csv", dtype={"image_id": str})
    missing = [name for name in MEASURES if name not in table]
    if missing:
        raise MammoroiError(
            f"masks/predictions.csv of {study} has no {', '.join(missing)}",
            "an earlier version drew the masks: run mammoroi segment again",
        )
    return table[["image_id", *MEASURES]]


def calibration_errors(examined: dict[str, Examined]) -> pd.DataFrame:
    """Give the expected calibration error of every image in every region."""
    import pandas as pd

    rows = [
        {"image_id": image_id}
        | {f"ece_{region}": calibration_error(one.counts[region]) for region in REGIONS}
        for image_id, one in examined.items()
        if one.counts is not None
    ]
    return pd.DataFrame(rows, columns=["image_id", *(f"ece_{region}" for region in REGIONS)])


def flag_masks(automatic: pd.DataFrame, config: SegmentationConfig) -> Flag:
    """Choose the flag on the masks of training patients that are not empty and have a Dice."""
    training = automatic[(automatic["set"] == "train") & (automatic["area_mm2"] > 0)]
    training = training[training["dice"].notna()]
    return choose_flag(
        training["expected_dice"].to_numpy(dtype=float),
        training["dice"].to_numpy(dtype=float),
        config.poor_dice,
        config.caught,
    )


def write_evaluation(
    study: Path,
    automatic: pd.DataFrame,
    examined: dict[str, Examined],
    flag: Flag,
    config: SegmentationConfig,
) -> None:
    """Write detection, calibration and uncertainty of the automatic masks.

    Parameters
    ----------
    automatic : DataFrame
        The rows of ``agreement.csv`` on automatic masks.
    """
    _write_detection(study, automatic, examined, config, read_drawn_normals(study, config))
    _write_calibration(study, automatic, examined, config)
    _write_uncertainty(study, automatic, flag, config)


def _write_detection(
    study: Path,
    automatic: pd.DataFrame,
    examined: dict[str, Examined],
    config: SegmentationConfig,
    normals: DrawnNormals | None,
) -> None:
    import pandas as pd

    keys = ["image_id", "patient_id", "set", "view", "breast_density"]
    images = automatic[[*keys, "n_regions"]]
    lesions, false, false_regions = [], [], []
    for row in images[keys].to_dict("records"):
        one = examined[row["image_id"]]
        lesions += [
            row | {"lesion": number, "score": score if np.isfinite(score) else None}
            | {"area_mm2": area, "size_group": None if area is None else size_group(area)}
            | {"hit_by_mask": hit}
            for number, ((area, score), hit) in enumerate(
                zip(one.lesions, one.hit_by_mask, strict=True), start=1
            )
        ]  # fmt: skip
        false += [row | {"score": score} for score in one.false_positives]
        false_regions += [row] * one.false_regions
    of_lesions = pd.DataFrame(
        lesions,
        columns=[
            *(*keys[:3], "lesion", "area_mm2", "size_group", "view", "breast_density"),
            *("score", "hit_by_mask"),
        ],
    ).astype({"score": float, "area_mm2": float})
    of_false = pd.DataFrame(false, columns=[*keys, "score"])
    of_masks = summarise_masks(
        images,
        of_lesions,
        pd.DataFrame(false_regions, columns=keys),
        config.bootstrap_samples,
        config.seed,
    )
    curve, summary = summarise_detection(
        images,
        of_lesions,
        of_false,
        config.fp_per_image,
        config.bootstrap_samples,
        config.seed,
        None if normals is None else (normals.images, normals.false_positives),
    )
    write_csv(study / "lesions.csv", of_lesions)
    write_csv(study / "froc.csv", curve)
    write_csv(study / "froc_summary.csv", summary)
    write_csv(study / "froc_masks.csv", of_masks)
    if normals is None:
        (study / "normals.csv").unlink(missing_ok=True)
        return
    scores = images[["patient_id"]].assign(
        score=[examined[image].best_score() for image in images["image_id"]]
    )
    write_csv(study / "normals.csv", summarise_normals(normals, scores, config))


def _write_calibration(
    study: Path, automatic: pd.DataFrame, examined: dict[str, Examined], config: SegmentationConfig
) -> None:
    import pandas as pd

    counted = {image: one.counts for image, one in examined.items() if one.counts is not None}
    outlined = automatic[automatic["image_id"].isin(counted)]
    tables = []
    for part in SETS:
        rows = outlined[outlined["set"] == part]
        if rows.empty:
            continue
        patients = rows["patient_id"].to_numpy(dtype=object)
        for region in REGIONS:
            counts = np.stack([counted[image][region] for image in rows["image_id"]])
            table = reliability(counts, patients, config.bootstrap_samples, config.seed)
            table.insert(0, "region", region)
            table.insert(1, "set", part)
            tables.append(table)
    if not tables:
        tables = [pd.DataFrame(columns=["region", "set", *RELIABILITY])]
    write_csv(study / "pixel_calibration.csv", pd.concat(tables, ignore_index=True))


def _write_uncertainty(
    study: Path, automatic: pd.DataFrame, flag: Flag, config: SegmentationConfig
) -> None:
    import pandas as pd

    rows, sets = [], {}
    for part in SETS:
        everyone = automatic[(automatic["set"] == part) & automatic["dice"].notna()]
        drawn = everyone[everyone["area_mm2"] > 0]
        poor = drawn["dice"] < flag.poor_dice
        flagged = drawn["uncertain"].eq(True)
        sets[part] = {
            "n": len(everyone),
            "n_empty": len(everyone) - len(drawn),
            "n_flagged": int(flagged.sum()) if flag.threshold is not None else None,
            "n_poor": int(poor.sum()),
            "n_poor_flagged": int((poor & flagged).sum()) if flag.threshold is not None else None,
        }
        for measure in MEASURES:
            known = drawn[drawn[measure].notna()]
            found = rank_correlation(
                known[measure].to_numpy(dtype=float),
                known["dice"].to_numpy(dtype=float),
                known["patient_id"].to_numpy(dtype=object),
                config.bootstrap_samples,
                config.seed,
            )
            rows.append(
                {
                    "set": part,
                    "measure": measure,
                    "n": len(known),
                    "spearman": found.value,
                    "lower": found.lower,
                    "upper": found.upper,
                }
            )
    write_csv(study / "uncertainty.csv", pd.DataFrame(rows))
    write_json(study / "uncertainty.json", {"flag": flag, "sets": sets})
