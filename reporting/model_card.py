"""Model cards: what a model is for, what it rests on, how well it does, and what it is not for.

The idea is that of Mitchell et al., Model Cards for Model Reporting, FAT* 2019. Everything is read
from the run's files; what they do not hold is left out. ``cards/<target>-<roi>.md`` and
``cards/segmentation.md``, each with the same as ``.json``: ``model, question, intended_use,
not_for, trained_on, recipe, features, performance, subgroups, limits, versions, hashes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import write_json, write_text
from ..segmentation.folds import NetworkName
from . import wording
from .card_limits import classifier_limits, common_limits
from .facts import FACTS
from .facts_masks import fold_models, outline_models
from .facts_predictors import increment_of
from .facts_results import SETS
from .facts_subgroups import model_by_group
from .record import ModelFiles, Record, known, listed

if TYPE_CHECKING:
    import pandas as pd

NOT_FOR = (
    "Decisions about single patients: it is no medical device and was not tested as one.",
    "Women unlike those of the cohort: another hospital, screening, other kinds of lesions, "
    "treatment before the mammogram.",
    "Mammograms from other systems or in another processing than the cohort's, unless it was "
    "tested on them.",
    "Lesions that nobody, or another method, outlined.",
)
LESIONS = ("lesion_detection", "normal_mammograms", "mask_uncertainty")
_MEASURES = {
    "auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity",
    "brier": "Brier score", "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}  # fmt: skip
SUBGROUPS = (
    "age",
    "ethnicity",
    "menopause",
    "breast_density",
    "size_cm",
    "grade",
    "stage",
    "centre",
)


def model_card(study: Path, target: str, roi: str) -> str:
    """The card of one classifier as Markdown.

    Parameters
    ----------
    study : Path
        The study folder.
    target, roi : str
        The model ``models/<target>/<roi>``.

    Raises
    ------
    MammoroiError
        When the study has no such model.
    """
    return markdown(card_of(study, target, roi))


def card_of(study: Path, target: str, roi: str) -> dict[str, Any]:
    """The content of a classifier's card.

    Raises
    ------
    MammoroiError
        When the study has no such model.
    """
    record = Record(Path(study))
    for model in record.all_models():
        if (model.target, model.roi) == (target, roi):
            return _classifier(record, model)
    names = [f"{one.target}/{one.roi}" for one in record.all_models()]
    raise MammoroiError(
        f"{study} has no model models/{target}/{roi}",
        f"it has {listed(names)}" if names else "run the stage 'model'",
    )


def segmentation_card(study: Path) -> dict[str, Any]:
    """The content of the card of the segmentation networks.

    Raises
    ------
    MammoroiError
        When no network was trained.
    """
    record = Record(Path(study))
    cards, files = fold_models(record)
    if not cards:
        raise MammoroiError(f"{study} has no trained network", "run the stage 'train'")
    performance = [
        fact.text
        for name in ("dice", "dice_readers", "missed", "dice_groups", *LESIONS)
        if (fact := FACTS[name](record)) is not None
    ]
    limits = common_limits(record)
    limits.append("Only lesions that the readers outlined count as true.")
    if FACTS["normal_mammograms"](record) is None:
        limits.append("It was not tested on mammograms without a lesion.")
    trained = {
        _network(card): f"{wording.plural(card['n_training_patients'], 'patient')}, "
        f"{wording.plural(card['n_training_images'], 'mammogram')}; "
        f"{wording.plural(card['n_tuning_patients'], 'patient')} {_role(card)}"
        for card in cards
        if {"fold", "n_training_patients", "n_training_images", "n_tuning_patients"} <= set(card)
    }
    second, second_files = outline_models(record)
    hashes = {
        file.replace("model.json", "model.safetensors"): card["sha256"]
        for file, card in zip([*files, *second_files], [*cards, *second], strict=True)
        if "sha256" in card
    }
    return {
        "model": "segmentation",
        "question": "Where is the lesion in a mammogram?",
        "intended_use": [
            "Research on outlining the lesion of a mammogram that is known to hold one, for "
            "radiomic features or for comparison with readers."
        ],
        "not_for": [NOT_FOR[0], "Finding lesions: it was not made for screening.", *NOT_FOR[1:3]],
        "trained_on": trained,
        "recipe": cards[0].get("settings", {}),
        "features": [],
        "performance": performance,
        "subgroups": [fact.text] if (fact := FACTS["dice_by_subgroup"](record)) else [],
        "limits": limits,
        "versions": cards[0].get("versions", {}),
        "hashes": hashes,
    }


def _role(card: dict[str, Any]) -> str:
    """What the patients were for to whom a network was not fitted."""
    last = card.get("settings", {}).get("keep") == "last"
    return "watched, the last epoch was kept" if last else "chose the epoch"


def _network(card: dict[str, Any]) -> str:
    return str(NetworkName(card["fold"], card.get("network_of_fold", 1)))


def write_cards(study: Path) -> list[Path]:
    """Write the cards of all models of a study; what was not trained has none.

    Cards of models that are no longer there are removed.
    """
    folder = Path(study) / "cards"
    record = Record(Path(study))
    cards = [_classifier(record, model) for model in record.all_models()]
    if record.names("segmentation/fold-*/model.json"):
        cards.append(segmentation_card(study))
    written = []
    for card in cards:
        name = card["model"].removeprefix("models/").replace("/", "-")
        write_json(folder / f"{name}.json", card)
        written.append(write_text(folder / f"{name}.md", markdown(card)))
    kept = {path.stem for path in written}
    for path in [*folder.glob("*.md"), *folder.glob("*.json")]:
        if path.stem not in kept:
            path.unlink()
    return written


def _classifier(record: Record, model: ModelFiles) -> dict[str, Any]:
    about = model.about
    settings, _ = record.recipe()
    what = [f"{name} {value}" for name, value in (("preset", about.get("preset")),) if value]
    masks = f"lesions outlined as the study's {model.roi} masks" + (
        f" and features of the {what[0]}" if what else ""
    )
    hashes = {
        name: about[key]
        for name, key in (("model.skops", "model_sha256"), ("feature settings", "settings_sha256"))
        if about.get(key)
    }
    return {
        "model": f"models/{model.target}/{model.roi}",
        "question": model.heading,
        "intended_use": [
            f"Research on whether this can be told from mammography in women like those of the "
            f"cohort, with {masks}. The output is a risk between 0 and 1."
        ],
        "not_for": list(NOT_FOR),
        "trained_on": dict(_trained_on(record, model)),
        "recipe": {"views": about.get("views"), **settings,
                   "stability filter": model.funnel.get("icc_source"),
                   "features left": model.funnel.get("lasso")},
        "features": _features(record, model),
        "performance": [*_performance(model), *_beside_clinical(record, model)],
        "subgroups": model_by_group(record, model),
        "limits": classifier_limits(record, model),
        "versions": about.get("versions", {}),
        "hashes": hashes,
    }  # fmt: skip


def _trained_on(record: Record, model: ModelFiles) -> Iterator[tuple[str, str]]:
    """Counts, prevalence, and the subgroups of the training patients."""
    train = model.metrics.get("train_out_of_fold", {})
    if "n_positive" in train:
        yield "patients", str(train["n"])
        yield "positive", wording.share(train["n_positive"], train["n"], "patients")
    if "n_train" in model.about:
        yield "patients with features", str(model.about["n_train"])
    table, patients = record.table(model.file("predictions.csv")), record.table("patients.csv")
    if table is None or patients is None:
        return
    ids = table.loc[table["set"] != "test", "patient_id"]
    chosen = patients[patients["patient_id"].isin(ids)]
    for name in SUBGROUPS:
        if name in chosen and chosen[name].notna().any():
            yield name, _described(chosen[name])
    images = record.table("cohort.csv")
    if images is not None and "device" in images and images["device"].notna().any():
        yield "device (mammograms)", _described(images["device"][images["patient_id"].isin(ids)])


def _described(values: pd.Series) -> str:
    """Median and range of numbers, counts of anything else; missing values are counted."""
    import pandas as pd

    here = values.dropna()
    if pd.api.types.is_numeric_dtype(here):
        text = f"median {here.median():g}, {here.min():g} to {here.max():g}"
    else:
        text = ", ".join(f"{name} {n}" for name, n in here.value_counts().sort_index().items())
    n_missing = len(values) - len(here)
    return f"{text}; not known {n_missing}" if n_missing else text


def _features(record: Record, model: ModelFiles) -> list[dict[str, Any]]:
    """The selected features with weight, meaning and how often they were selected again."""
    table = record.table(model.file("selection.csv"))
    if table is None:
        return []
    dictionary = record.table("features/dictionary.csv")
    meaning = (
        {}
        if dictionary is None
        else dict(zip(dictionary["name"], dictionary["meaning"], strict=True))
    )
    return [
        {
            "name": row["feature"],
            "weight": row["coefficient"],
            "selected_again": row.get("frequency"),
            "meaning": meaning.get(str(row["feature"]).split("@")[0], ""),
        }
        for row in table.to_dict("records")
    ]


def _performance(model: ModelFiles) -> Iterator[str]:
    """Discrimination, calls and calibration by set, and the threshold."""
    for key, where in SETS.items():
        one = model.metrics.get(key, {})
        if not known(one.get("auc")):
            continue
        shown = []
        for name, words in _MEASURES.items():
            if known(one.get(name)):
                ends = (one.get(f"{name}_{end}") for end in ("lower", "upper"))
                shown.append(f"{words} {wording.interval(one[name], *ends)}")
        counts = f"n = {one['n']}, {one['n_positive']} positive"
        yield f"{where[0].upper()}{where[1:]} ({counts}): {', '.join(shown)}."
    if known(model.metrics.get("threshold")):
        yield f"Called positive from a risk of {model.metrics['threshold']:.3f}."


def _beside_clinical(record: Record, model: ModelFiles) -> Iterator[str]:
    """What clinical variables achieve without and with the model, and their missing values."""
    text = increment_of(record, model)
    if text:
        yield f"Clinical variables without and with it, AUC in the test set: {text}."
        imputed = FACTS["imputation"](record)
        if imputed is not None:
            yield imputed.text


def markdown(card: dict[str, Any]) -> str:
    """A card as Markdown."""

    def bullets(heading: str, lines: list[str]) -> list[str]:
        return [f"## {heading}", "", *(f"- {line}" for line in lines), ""] if lines else []

    def pairs(values: dict[str, Any]) -> list[str]:
        return [f"{name}: {_short(value)}" for name, value in values.items() if value is not None]

    features = [
        f"`{one['name']}` {one['weight']:+.3f}"
        + (f", selected again in {one['selected_again']:.0%} of the refits"
           if known(one["selected_again"]) else "")
        + (f": {one['meaning']}" if one["meaning"] else "")
        for one in card["features"]
    ]  # fmt: skip
    lines = [f"# Model card: {card['question']}", "", f"`{card['model']}`", ""]
    for heading, content in (
        ("Intended use", card["intended_use"]),
        ("Not for", card["not_for"]),
        ("Trained on", pairs(card["trained_on"])),
        ("Performance", card["performance"]),
        ("For whom it works", card["subgroups"]),
        ("Limits", card["limits"]),
        ("Features and weights", features),
        ("Recipe", pairs(card["recipe"])),
        ("Versions", pairs(card["versions"])),
        ("SHA-256", pairs(card["hashes"])),
    ):
        lines += bullets(heading, content)
    return "\n".join(lines)


def _short(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
