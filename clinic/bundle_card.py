"""The model card of a bundle: what it is, then the cards of its networks and classifiers."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import MammoroiError
from ..files import read_json
from ..reporting.model_card import card_of, markdown, segmentation_card
from ..segmentation.weights import load_models

INTERVALS = (
    "The 95 % interval of a risk says how well the study knows the share of positives among "
    "patients with this patient's score. It does not hold what another sample of patients would "
    "have made of the classifier, nor errors of the mask, and it is not given for patients unlike "
    "those of the study."
)


def bundle_card(study: Path, about: dict[str, Any]) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    study : Path
        The study folder.
    about : dict
        ``bundle.json``.
    """
    trained = about["study"]
    lines = [f"# {about['name']}", ""]
    lines += [f"**{notice}**\n" for notice in about["notices"]]
    lines += [
        "Masks, features and risks for new mammograms, for research. Not a medical device; results "
        "are unverified.",
        "",
        f"- Trained on {trained['training_patients']} patients of {trained['cohort']}; "
        f"{trained['test_patients']} more were kept apart.",
    ]
    for entry in about["classifiers"]:
        words = "without an interval: the study holds too little" if not entry["interval"] else (
            f"its interval rests on {entry['interval'].n} training patients"
        )  # fmt: skip
        lines.append(f"- Risk `{entry['target']}`, {words}.")
    for entry in about["classes"]:
        lines.append(f"- All of `{entry['task']}` together ({', '.join(entry['classes'])}).")
    if not about["classifiers"]:
        lines.append("- No classifier: it draws masks.")
    lines += ["", INTERVALS, ""]
    lines += _networks(study)
    for entry in about["classifiers"]:
        made = read_json(study / "models" / entry["target"] / "automatic" / "model.json")["preset"]
        card = markdown(card_of(study, entry["target"], "automatic"))
        lines += ["", _lower(card.replace(made, about["preset"]))]
    return "\n".join(lines).rstrip() + "\n"


def _networks(study: Path) -> list[str]:
    """The card of the networks; what their own cards say of them comes first."""
    card = load_models(study / "segmentation")[0].card
    lines = [
        f"- Networks, {key.replace('_', ' ')}: {card[key]}"
        for key in ("intended_use", "training_data", "licence")
        if card.get(key)
    ]
    for row in card.get("performance", []):
        figures = ", ".join(
            f"{key.replace('_', ' ')} {value:g}" for key, value in row.items() if key != "data"
        )
        lines.append(f"- Networks on {row['data']}: {figures}")
    with suppress(MammoroiError):  # a single network beside no fold: its own card says all
        lines += ["", _lower(markdown(segmentation_card(study)))]
    return lines


def _lower(card: str) -> str:
    """A card as a part of another: its headings one level down."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in card.splitlines())
