"""Coded concepts of result objects: SNOMED CT, DICOM, IBSI and UCUM where they exist, else our own.

Our own scheme is ``99MAMMOROI``; every object that uses it says so in its Coding Scheme
Identification Sequence. A feature is coded by IBSI where its number is IBSI's and it was computed
on the pixels as they were read. Every other feature is coded in our scheme by a hash of its name,
since a code value has 16 characters and readers stumble over longer ones (Long Code Value); its
meaning is its name in the tables.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import sha256_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

SCHEME = "99MAMMOROI"
_MEANING_LENGTH = 64
_CODE_LENGTH = 16

OWN = {
    "PROBABILITY": "Calibrated probability",
    "INTERVAL-LOW": "Lower end of the 95 % interval of the probability",
    "INTERVAL-HIGH": "Upper end of the 95 % interval of the probability",
    "THRESHOLD": "Threshold at or above which the answer is positive",
    "IMAGES": "Number of mammograms on which the answer rests",
    "AUC": "AUC of the classifier on test patients of its study",
    "AUC-LOW": "Lower end of the 95 % interval of the AUC",
    "AUC-HIGH": "Upper end of the 95 % interval of the AUC",
    "TEST-PATIENTS": "Number of test patients of the AUC",
    "MACRO-AUC": "Mean AUC of each class against the rest on test patients",
    "MACRO-AUC-LOW": "Lower end of the 95 % interval of the mean AUC",
    "MACRO-AUC-HIGH": "Upper end of the 95 % interval of the mean AUC",
    "MOST-PROBABLE": "Most probable class",
    "TRAIN-PATIENTS": "Number of patients the classifier was trained on",
    "MASK-PROB": "Mean probability of lesion within the mask",
    "EXPECTED-DICE": "Expected Dice coefficient of the mask",
    "ANSWER": "Answer of the classifier",
    "POSITIVE": "At or above the threshold",
    "NEGATIVE": "Below the threshold",
    "NONE": "No answer",
    "DETECTION": "Result of the search for a lesion",
    "NO-LESION": "No lesion found",
    "PATIENT": "Patient as a whole",
}
"""Code value to meaning; a value never changes its meaning."""

_UNIT_WORDS = {
    "1": ("1", "no units"),
    "mm": ("mm", "millimeter"),
    "mm^2": ("mm2", "square millimeter"),
    "mm^3": ("mm3", "cubic millimeter"),
    "mm^-1": ("/mm", "per millimeter"),
    "bit": ("bit", "bit"),
    "intensity^2 mm^2": ("{int^2}.mm2", "squared intensity times square millimeter"),
}


def own(value: str) -> Code:
    """A concept of :data:`OWN`."""
    return private(value, OWN[value])


def private(value: str, meaning: str) -> Code:
    """A concept of our scheme; one whose value is too long has a hash of it instead."""
    from pydicom.sr.coding import Code

    value = ascii_text(value)
    if len(value) > _CODE_LENGTH:
        value = sha256_of(value)[:_CODE_LENGTH].upper()
    return Code(value, SCHEME, ascii_text(meaning, _MEANING_LENGTH))


def laterality_code(laterality: str | None) -> Code | None:
    """Left or right; None when it is not known."""
    from pydicom.sr.codedict import codes

    return {"L": codes.SCT.Left, "R": codes.SCT.Right}.get(laterality or "")


def feature_code(name: str) -> Code:
    """The concept of a feature, by its name in the tables."""
    from pydicom.sr.coding import Code

    from ..radiomics.dictionary import describe

    try:
        about = describe(name)
    except MammoroiError:
        return private(name, name)
    as_read = about.image_type == "Original" and not about.region
    if as_read and about.ibsi == "same" and about.ibsi_code:
        return Code(about.ibsi_code, "IBSI", ascii_text(name, _MEANING_LENGTH))
    return private(name, name)


def unit_code(unit: str) -> Code:
    """UCUM for a unit of the feature dictionary, such as ``mm^2`` or ``intensity^2``.

    What UCUM has no unit for (grey levels, pixels) stands in braces, UCUM's sign for a count.
    """
    from pydicom.sr.coding import Code

    value, meaning = _UNIT_WORDS.get(unit, ("{" + unit.replace(" ", ".") + "}", unit))
    return Code(value, "UCUM", ascii_text(meaning, _MEANING_LENGTH))


def ascii_text(text: str, length: int | None = None) -> str:
    """Text that every character set of DICOM can hold, cut to ``length``.

    The source's character set is kept for the patient's name; our own words must fit in any.
    """
    known = {"≥": ">=", "≤": "<=", "×": "x", "–": "-", "—": "-", "−": "-", "±": "+/-"}
    for sign, written in known.items():
        text = text.replace(sign, written)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(sign for sign in text if not unicodedata.combining(sign))
    text = re.sub(r"[^\x20-\x7e]+", "?", re.sub(r"\s+", " ", text).replace("\\", "/")).strip()
    if length is None or len(text) <= length:
        return text
    return text[: length - 3].rstrip() + "..."


def scheme_item() -> Dataset:
    """The item of Coding Scheme Identification Sequence that says what our scheme is."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    item: Dataset = CodingSchemeIdentificationItem(
        SCHEME,
        name="mammoroi results and features",
        version="1",
        responsible_organization="The mammoroi developers",
    )
    return item
