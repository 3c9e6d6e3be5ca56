"""What the files say about the automatic segmentation."""

from __future__ import annotations

from typing import Any

from ..segmentation.bootstrap import LEAST_PATIENTS
from ..segmentation.folds import NetworkName
from . import wording
from .record import Fact, Record, listed, span

_LOSS = {
    "dice-ce": "the sum of Dice loss and cross-entropy",
    "dice-focal": "the sum of Dice loss and focal loss",
    "tversky-ce": "the sum of focal Tversky loss and cross-entropy",
    "dice-boundary": "the sum of Dice loss, cross-entropy and a Hausdorff-distance loss",
}
_AUGMENTATION = {
    "full": "random flips, rotations, scalings, shifts and changes of grey values",
    "strong": "random flips, rotations, scalings, shears, elastic bending, blur, noise and changes "
    "of grey values",
    "flips": "random flips",
}
_MONAI = {"unet": "BasicUNet", "dynunet": "DynUNet"}


def fold_models(record: Record) -> tuple[list[dict[str, Any]], list[str]]:
    """The cards of the folds' networks, and their files, in the networks' order."""
    return _models(record, "segmentation")


def _models(record: Record, place: str) -> tuple[list[dict[str, Any]], list[str]]:
    files = record.names(f"{place}/fold-*/model.json")
    found = ((NetworkName.of(file.split("/")[-2]), file) for file in files)
    # Not in the order of the files: fold-0-network-2/ would come before fold-0/.
    names = [file for _, file in sorted((one, file) for one, file in found if one is not None)]
    return [record.json(name) for name in names], names


OUTLINE = "segmentation/outline/outline.json"


def outline_models(record: Record) -> tuple[list[dict[str, Any]], list[str]]:
    """The cards of the second stage's networks, and their files; none with one stage."""
    return _models(record, "segmentation/outline") if record.json(OUTLINE) else ([], [])


def networks_per_fold(cards: list[dict[str, Any]]) -> int:
    """How many networks each fold has."""
    return max((int(card.get("network_of_fold", 1)) for card in cards), default=1)


def network(record: Record) -> Fact | None:
    """Architecture and training of the networks."""
    cards, files = fold_models(record)
    if not cards or not all("network" in card and "settings" in card for card in cards):
        return None
    spec, settings = cards[0]["network"], cards[0]["settings"]
    monai = _MONAI.get(spec["architecture"])
    shape = (
        f"a U-Net (MONAI {monai}, {spec['channels'][0]} to {spec['channels'][-1]} channels)"
        if monai
        else f"a U-Net with the encoder {spec['encoder']}"
    )
    if not monai and settings.get("encoder_weights"):
        shape += f", pretrained on {settings['encoder_weights']}"
    if begun := cards[0].get("started_from"):
        shape += f", started from a trained network (SHA-256 {begun['sha256'][:12]})"
    if restored := cards[0].get("pretraining"):
        shape += f", pretrained for {restored['epochs']} epochs on restoring distorted images"
    each = networks_per_fold(cards)
    many = f"{shape}, one for each of {len(cards)} folds" if len(cards) > 1 else shape
    if each > 1:
        many = f"{shape}, {each} for each of {len(cards) // each} folds"
    text = [f"Lesions were segmented by {many}."]
    if "working_spacing_mm" in settings:
        patch = settings.get("patch")
        seen = f"crops of {patch[0]} by {patch[1]} pixels" if patch else "the whole breast"
        text[0] = (
            f"{text[0].removesuffix('.')}, at {settings['working_spacing_mm']:g} mm per pixel, "
            f"trained on {seen}."
        )
    wanted = ("learning_rate", "batch_size", "epochs", "loss", "augmentation")
    if all(name in settings for name in wanted):
        rate, batch, epochs, loss, augmentation = (settings[name] for name in wanted)
        text.append(
            f"Training minimised {_LOSS.get(loss, loss)}{_levels(settings)} by AdamW "
            f"(peak learning rate {rate:g}, batches of {batch}, at most {epochs} epochs, "
            f"{_AUGMENTATION.get(augmentation, augmentation)})."
        )
    if each > 1:
        text.append(
            "The networks of a fold had the same patients and differed in the seed of their first "
            "weights, order and augmentation."
        )
    if all("n_tuning_patients" in card for card in cards):
        fitted, tuned = (
            span([card[f"n_{part}_patients"] for card in cards]) for part in ("training", "tuning")
        )
        text.append(
            f"Each was fitted to {fitted} patients; "
            + (
                "the last epoch was kept."
                if settings.get("keep") == "last"
                else f"the epoch with the best Dice on {tuned} further "
                f"{'one' if tuned == '1' else 'ones'} was kept."
            )
        )
    if all("n_normal_images" in card for card in cards):
        normal = span([card["n_normal_images"] for card in cards])
        text.append(
            f"It also learned from {normal} mammograms without a lesion, of which every epoch took "
            f"{span([card['normals_per_epoch'] for card in cards])}."
        )
    if settings.get("ema_decay"):
        text.append(f"Its weights are a moving average (decay {settings['ema_decay']:g} per step).")
    if settings.get("swa_start"):
        text.append(
            "Its weights are the mean of those at the end of each epoch after "
            f"{settings['swa_start']:.0%} of the epochs (stochastic weight averaging)."
        )
    second = record.json(OUTLINE)
    if second:
        rows, columns = second["patch"]
        further = "A second network" if each == 1 else f"{each} further networks"
        text.append(
            f"{further} per fold, trained on the same patients at "
            f"{second['working_spacing_mm']:g} mm per pixel on crops most of which show a lesion, "
            f"looked at windows of {rows} by {columns} pixels around the regions that the first "
            "proposed; there the mean of both probabilities counted."
        )
        files = [*files, OUTLINE, *outline_models(record)[1]]
    return Fact(" ".join(text), tuple(files))


def _levels(settings: dict[str, Any]) -> str:
    supervised = settings.get("deep_supervision")
    return " on all but the coarsest level of the decoder" if supervised else ""


def postprocessing(record: Record) -> Fact | None:
    """How probabilities became masks."""
    cards, files = fold_models(record)
    how = cards[0].get("inference") if cards else None
    if not how:
        return None
    learnt = record.json("segmentation/postprocessing.json")
    calibrated = _calibrated(learnt) + _limited(learnt, cards[0]) if learnt else ""
    if learnt:
        files = [*files, "segmentation/postprocessing.json"]
        if learnt.get("tried") != 1:
            return Fact(_learnt(learnt, how) + calibrated, tuple(files))
    threshold = how["threshold"]
    text = (
        "Pixels at or above the probability with the largest expected Dice of the image were lesion"
        if isinstance(threshold, str)
        else f"Pixels with a probability of {threshold:g} or more were lesion"
    )
    text += _averaged(how)
    if how.get("max_components"):
        n = how["max_components"]
        kept = "most probable region was" if n == 1 else f"{n} most probable regions were"
        text += f"; the {kept} kept"
    if how.get("minimum_area_mm2"):
        text += f", regions below {how['minimum_area_mm2']:g} mm² were dropped"
    return Fact(text + "." + calibrated, tuple(files))


def _calibrated(learnt: dict[str, Any]) -> str:
    """Say how probabilities were calibrated; nothing where they were not."""
    numbers = [way.get("calibration") for way in (*learnt["folds"], learnt["all"])]
    if not all(numbers):
        return ""
    slopes, intercepts = (
        span([one[name] for one in numbers], digits=2) for name in ("slope", "intercept")
    )
    return (
        " Before, the logit was calibrated by logistic regression on cross-fitted probabilities of "
        "training patients, for each fold on the patients of the others "
        f"(slope {slopes}, intercept {intercepts})."
    )


def _limited(learnt: dict[str, Any], card: dict[str, Any]) -> str:
    """Say which regions were too faint to be drawn; nothing where there was no limit."""
    rate = card["settings"].get("false_regions_per_normal")
    if rate is None:
        return ""
    scores = [way.get("minimum_score", 0.0) for way in (*learnt["folds"], learnt["all"])]
    return (
        " Only regions were drawn whose mean probability, over the connected pixels of 0.1 or "
        f"more, was above a limit ({span(scores, digits=2)}) that at most {rate:g} regions per "
        "mammogram without a lesion exceeded, chosen on training patients, for each fold on those "
        "of the others."
    )


def _averaged(how: dict[str, Any]) -> str:
    """Say over which copies of an image the probability is a mean; nothing for the image alone."""
    copies = []
    if how.get("test_time_augmentation"):
        copies.append("turned upside down")
    scales = how.get("test_time_scales", [1.0])
    if len(scales) > 1:
        copies.append("enlarged by " + ", ".join(f"{scale:g}" for scale in scales))
    return f" (mean with that of the image {' and '.join(copies)})" if copies else ""


def _learnt(learnt: dict[str, Any], how: dict[str, Any]) -> str:
    """Say which settings were chosen, over the folds and for everybody else."""
    ways = [*learnt["folds"], learnt["all"]]
    numbers = [way["threshold"] for way in ways if not isinstance(way["threshold"], str)]
    thresholds = span(numbers, digits=2) if numbers else "that of the largest expected Dice"
    if 0 < len(numbers) < len(ways):
        thresholds += ", or that of the largest expected Dice"
    regions, areas = (
        span([way[name] for way in ways]) for name in ("max_components", "minimum_area_mm2")
    )
    return (
        "Threshold, number of regions and smallest region of a mask were those with the best mean "
        "Dice on cross-fitted probabilities of training patients"
        f"{_averaged(how)}, chosen for each fold on the "
        f"patients of the others: threshold {thresholds}; at most {regions} regions (0: all), "
        f"{areas} mm² or more."
    )


def cross_fitted(record: Record) -> Fact | None:
    """Whether no patient's masks come from a network that saw her, checked patient by patient."""
    masks, splits = record.table("masks/predictions.csv"), record.json("splits.json")
    if masks is None or not splits or "fold" not in masks:
        return None
    where = {one: str(k) for k, fold in enumerate(splits["folds"]) for one in fold["validation"]}
    where |= dict.fromkeys(splits["test"], "test")
    files = ("masks/predictions.csv", "splits.json")
    wrong = masks["patient_id"].map(where) != masks["fold"]
    if wrong.any():
        n = masks.loc[wrong, "patient_id"].nunique()
        text = f"Masks of {wording.plural(n, 'patient')} come from another network than planned."
        return Fact(text, files, shown=False)
    cards, models = fold_models(record)
    each = networks_per_fold(cards)
    by = "the network" if each == 1 else f"the mean of the {each} networks"
    who, rest = (
        ("Training patients", ", test patients by the mean of all networks")
        if splits["test"]
        else ("Patients", "")
    )
    return Fact(
        f"{who} were segmented by {by} of the fold that left them out{rest}: no network had seen "
        "the patient.",
        files if each == 1 else (*files, *models),
    )


def test_masks(record: Record) -> Fact | None:
    """Whether one reader, or the automatic method alone, outlined the test patients."""
    if not record.automatic:
        return _one_reader(record)
    masks = record.table("masks/predictions.csv")
    if masks is None or "fold" not in masks:
        return None
    n = int((masks["fold"] == "test").sum())
    if not n:
        return None
    return Fact(
        f"The {n} mammograms of the test patients were segmented by the automatic method alone.",
        ("masks/predictions.csv",),
    )


def _one_reader(record: Record) -> Fact | None:
    images, splits = record.table("cohort.csv"), record.json("splits.json")
    if images is None or not splits or "mask" not in images:
        return None
    n = int(images.loc[images["patient_id"].isin(splits["test"]), "mask"].notna().sum())
    if not n:
        return None
    return Fact(
        f"The {n} mammograms of the test patients count as the first reader alone outlined them.",
        ("cohort.csv", "splits.json"),
    )


def _dice(record: Record, comparison: str, group: str) -> str:
    table = record.table("agreement_summary.csv")
    if table is None:
        return ""
    rows = table[
        (table["comparison"] == comparison)
        & (table["group"] == group)
        & (table["metric"] == "dice")
    ]
    if rows.empty or rows["mean"].isna().all():
        return ""
    row = rows.iloc[0]
    mean = wording.interval(row["mean"], row.get("mean_lower"), row.get("mean_upper"))
    return f"{mean} over {row['n']:.0f} mammograms"


def dice(record: Record) -> Fact | None:
    """How well automatic and manual masks agree."""
    everyone, test = (_dice(record, "automatic-manual", group) for group in ("all", "set=test"))
    if not everyone:
        return None
    text = f"Automatic and manual masks agreed with a mean Dice of {everyone}"
    text += f", and of {test} in the test set." if test else "."
    return Fact(text, ("agreement_summary.csv",))


def dice_readers(record: Record) -> Fact | None:
    """How well the two readers agree."""
    found = _dice(record, "reader2-manual", "all")
    if not found:
        return None
    return Fact(f"The two readers agreed with a mean Dice of {found}.", ("agreement_summary.csv",))


def dice_groups(record: Record) -> Fact | None:
    """For which subgroups the agreement of the masks is given."""
    table = record.table("agreement_summary.csv")
    if table is None:
        return None
    rows = table[table["comparison"] == "automatic-manual"]
    groups = dict.fromkeys(one.split("=")[0] for one in rows["group"].astype(str) if "=" in one)
    names = [name.replace("_", " ") for name in groups if name != "set"]
    if not names:
        return None
    text = f"The agreement of the masks is given by {listed(names)}."
    return Fact(text, ("agreement_summary.csv",))


def agreement_measures(record: Record) -> Fact | None:
    """Which measures of agreement were computed."""
    table = record.table("agreement_summary.csv")
    if table is None:
        return None
    words = {
        "dice": "Dice coefficient", "iou": "intersection over union",
        "surface_dice": "surface Dice", "hd95_mm": "95% Hausdorff distance",
        "assd_mm": "average surface distance", "area_ratio": "ratio of the areas",
    }  # fmt: skip
    tolerance = ((record.json("config.json") or {}).get("segmentation") or {}).get(
        "surface_tolerance_mm"
    )
    if tolerance is not None:
        words["surface_dice"] += f" with a tolerance of {tolerance:g} mm"
    found = [text for name, text in words.items() if (table["metric"] == name).any()]
    if not found:
        return None
    return Fact(
        f"Masks were compared by {listed(found)} (bootstrap over patients, of at least "
        f"{LEAST_PATIENTS}).",
        ("agreement_summary.csv",),
    )


def missed(record: Record) -> Fact | None:
    """In how many mammograms nothing was outlined."""
    masks = record.table("masks/predictions.csv")
    if masks is None or "found" not in masks:
        return None
    found = masks["found"].astype(str).str.lower() == "true"
    return Fact(wording.missed(int((~found).sum()), len(masks)), ("masks/predictions.csv",))


FACTS = (
    network, postprocessing, cross_fitted, test_masks, dice, dice_readers, dice_groups,
    agreement_measures, missed,
)  # fmt: skip
