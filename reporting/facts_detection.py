"""What the files say about lesions found, false marks, and the networks' own uncertainty."""

from __future__ import annotations

from . import wording
from .record import Fact, Record, listed


def detection_method(record: Record) -> Fact | None:
    """How detection, calibration of pixels and uncertainty were measured."""
    hit, file = record.setting("segmentation.hit")
    least, _ = record.setting("segmentation.hit_iou")
    area, _ = record.setting("segmentation.minimum_area_mm2")
    if not record.has("froc_summary.csv") or hit not in ("iou", "centroid"):
        return None
    how = (
        f"its box and the lesion's had an intersection over union of {least:g} or more"
        if hit == "iou"
        else "its centroid lay in the lesion"
    )
    large = f" and of {area:g} mm² or more" if area else ""
    return Fact(
        "Detection was measured by FROC analysis: each region of a manual mask was a lesion, each "
        f"region with a probability of 0.1 or more{large} a mark, scored by its mean probability, "
        f"and a mark found a lesion when {how}. {_where_false(record)}",
        tuple(dict.fromkeys((file, "froc_summary.csv"))),
    )


def _where_false(record: Record) -> str:
    """Say on which mammograms false positives were counted."""
    normals = record.table("masks/normals/predictions.csv")
    if normals is None or not record.has("normals.csv"):
        return "Every image had a lesion: false positives on normal mammograms were not measured."
    patients = normals["patient_id"].nunique()
    return (
        f"False positives were also counted on {wording.plural(len(normals), 'mammogram')} without "
        f"a lesion, of {wording.plural(patients, 'patient')}, each marked by networks that had not "
        "seen the patient."
    )


def lesion_detection(record: Record) -> Fact | None:
    """How many lesions were found at how many false positives."""
    table = record.table("froc_summary.csv")
    if table is None:
        return None
    text = []
    for part, name in (("set=train", "training patients, out of fold"), ("set=test", "test")):
        rows = table[(table["group"] == part) & table["sensitivity"].notna()]
        for rate, words in (("1", "at 1 false positive per image"), ("mean", "on average")):
            one = rows[rows["fp_per_image"] == rate]
            if len(one):
                row = one.iloc[0]
                value = wording.interval(row["sensitivity"], row["lower"], row["upper"])
                text.append(f"{value} {words} ({name}, {row['n_lesions']:.0f} lesions)")
    if not text:
        return None
    masks = [masks_found(record, part) for part in ("train", "test")]
    files = ("froc_summary.csv", *(["froc_masks.csv"] if any(masks) else []))
    return Fact(
        f"The sensitivity for lesions was {listed(text)}; the average is over the false-positive "
        "rates of the FROC analysis." + "".join(f" {one}" for one in masks if one),
        files,
    )


def masks_found(record: Record, part: str) -> str:
    """Say which lesions the masks themselves hit in a set; nothing where it has none."""
    table = record.table("froc_masks.csv")
    if table is None:
        return ""
    rows = table[(table["group"] == f"set={part}") & table["sensitivity"].notna()]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    name = "training patients, out of fold" if part == "train" else "test patients"
    hit = wording.interval(row["sensitivity"], row["lower"], row["upper"])
    false = wording.interval(row["false_regions"], row["false_lower"], row["false_upper"])
    return (
        f"The regions of the masks hit {hit} of the lesions; {false} per image hit none ({name})."
    )


def normal_mammograms(record: Record) -> Fact | None:
    """What was marked in mammograms without a lesion."""
    found, table = record.table("normals.csv"), record.table("froc_summary.csv")
    if found is None or table is None:
        return None
    rows = {row["measure"]: row for row in found.to_dict("records")}
    empty = rows["left_empty"]
    value = wording.interval(empty["value"], empty["lower"], empty["upper"])
    text = f"Of {empty['n']:.0f} mammograms without a lesion the share left empty was {value}"
    one = table[(table["group"] == "normals") & (table["fp_per_image"] == "1")]
    if len(one) and one["sensitivity"].notna().all():
        row = one.iloc[0]
        value = wording.interval(row["sensitivity"], row["lower"], row["upper"])
        text += f"; with 1 false positive in each of them the sensitivity for lesions was {value}"
    if auc := rows.get("auc"):
        value = wording.interval(auc["value"], auc["lower"], auc["upper"])
        text += f"; the best mark's score told images with a lesion from them with AUC {value}"
    return Fact(f"{text}.", ("normals.csv", "froc_summary.csv"))


def mask_uncertainty(record: Record) -> Fact | None:
    """Whether the networks' own uncertainty orders the masks by their Dice."""
    table, flag = record.table("uncertainty.csv"), record.json("uncertainty.json")
    if table is None or not flag:
        return None
    rows = table[
        (table["set"] == "test") & (table["measure"] == "expected_dice") & table["spearman"].notna()
    ]
    if rows.empty:
        return None
    row, about, counts = rows.iloc[0], flag["flag"], flag["sets"]["test"]
    value = wording.interval(row["spearman"], row["lower"], row["upper"])
    text = (
        "The Dice expected from the probabilities alone had a rank correlation of "
        f"{value} with the Dice in the test set."
    )
    if about["threshold"] is not None:
        drawn, poor = counts["n"] - counts["n_empty"], f"a Dice below {about['poor_dice']:g}"
        caught = f"among them {counts['n_poor_flagged']} of {counts['n_poor']} with {poor}"
        text += (
            f" Masks with an expected Dice of {about['threshold']:.2f} or less were flagged as "
            "uncertain, a threshold chosen on training patients; in the test set this flagged "
            f"{counts['n_flagged']} of {drawn} masks, "
            f"{caught if counts['n_poor'] else f'none of which had {poor}'}."
        )
    return Fact(text, ("uncertainty.csv", "uncertainty.json"))


FACTS = (
    detection_method, lesion_detection, normal_mammograms, mask_uncertainty,
)  # fmt: skip
