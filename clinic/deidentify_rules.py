"""What becomes of every attribute in a research export: the table and how its rules are applied.

``configs/deidentification.csv`` is an allow-list, a row per attribute that may leave: ``tag,
keyword, action, option, otherwise, profile``. An attribute without a row is removed, at any depth,
whatever it is: private ones, overlays, comments, every person's name. Where ``option`` is filled,
``action`` holds only if that option is on, and ``otherwise`` if not. ``profile`` is the action of
DICOM PS3.15, Table E.1-1 (2026c), for attributes that stand in it.

=============  ==================================================================================
``keep``       kept if it is what its value representation promises (a number, a coded string, a
               standard UID); a value that is not is emptied
``text``       free text, kept if it holds no word of a name and no identifier of this file
``meaning``    replaced by the code's meaning in the standard's dictionary
``uid``        replaced by a keyed hash
``pseudonym``  replaced by the patient's pseudonym
``shift``      a date, moved by the patient's number of days
``empty``      kept without a value (type 2)
``remove``     removed
=============  ==================================================================================
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import read_csv
from .privacy import pseudonym

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

TABLE = Path(__file__).resolve().parent.parent / "configs" / "deidentification.csv"
OPTIONS = ("dates", "patient", "device")
MAXIMUM_SHIFT_DAYS = 3652
OLDEST = "090Y"
"""Ages above 89 identify: they become this."""

_SHORTEST_WORD = 2
_LONG_WORD = 5
_DIGIT = re.compile(r"\d").search
_STANDARD_UID = "1.2.840.10008."
_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM", "DCM", "UCUM", "IBSI", "RADLEX")
_CODE = re.compile(r"[A-Za-z0-9._+/^{}-]{0,16}")
_PATTERNS = {
    "AS": re.compile(r"(\d{3}[DWMY])?"),
    "CS": re.compile(r"[A-Za-z0-9 _]{0,16}"),
    "DA": re.compile(r"(\d{8})?"),
    "DS": re.compile(r" *([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)? *"),
    "IS": re.compile(r" *([+-]?\d+)? *"),
    "TM": re.compile(r"(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)? *"),
    "LO": _CODE,
    "SH": _CODE,
}
_BINARY = {"AT", "FD", "FL", "OB", "OV", "OW", "SL", "SS", "UL", "US"}
_NAMING = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "InstitutionName",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "MilitaryRank",
    "PatientBirthDate",
)


@dataclass(frozen=True)
class Person:
    """Whose file it is, in the export, and by which key.

    Attributes
    ----------
    key : bytes
        The export's key.
    name : str
        The pseudonym.
    days : int
        By how much dates move back.
    words : frozenset of str
        Words of names and identifiers in the file, in capitals, which may stand nowhere.
    options : frozenset of str
        Those of :data:`OPTIONS` that are on.
    """

    key: bytes
    name: str
    days: int
    words: frozenset[str]
    options: frozenset[str]


@functools.cache
def rules(options: frozenset[str]) -> dict[str, str]:
    """Keyword to action, with these options on."""
    table = read_csv(TABLE, dtype=str).fillna("")
    return {
        str(row["keyword"]): str(
            row["action"] if not row["option"] or row["option"] in options else row["otherwise"]
        )
        for row in table.to_dict("records")
    }


def person_of(dataset: Dataset, key: bytes, options: frozenset[str]) -> Person | None:
    """The pseudonymous person of a file; None when it has neither Patient ID nor study.

    A file without Patient ID is a patient of its own with all others of its study.
    """
    patient = str(dataset.get("PatientID") or "").strip()
    study = str(dataset.get("StudyInstanceUID") or "").strip()
    if not patient and not study:
        return None
    identity = f"patient:{patient}" if patient else f"study:{study}"
    digest = hmac.new(key, f"days:{identity}".encode(), hashlib.sha256).digest()
    return Person(
        key=key,
        name=f"P-{pseudonym(identity, key)}",
        days=1 + int.from_bytes(digest[:8]) % MAXIMUM_SHIFT_DAYS,
        words=words_of(dataset),
        options=options,
    )


def hashed_uid(uid: str, key: bytes) -> str:
    """The UID that stands for ``uid`` in every export with this key (2.25., PS3.5 B.2)."""
    return f"2.25.{int(pseudonym(f'uid:{uid}', key, 32), 16)}"


def clean(dataset: Dataset, person: Person) -> None:
    """Apply the table to a data set and everything in it."""
    table = rules(person.options)
    for tag in list(dataset.keys()):
        keyword = _keyword(int(tag))
        action = table.get(keyword, "remove")
        if action == "remove":
            del dataset[tag]
        elif keyword != "PixelData":
            _apply(action, keyword, dataset, tag, person)


def _keyword(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    repeating = 0x50 <= tag >> 24 <= 0x60  # curves and overlays have the keywords of one group
    return "" if repeating and tag >> 16 not in (0x5200, 0x5400) else keyword_for_tag(tag)


def _apply(action: str, keyword: str, dataset: Dataset, tag: Any, person: Person) -> None:
    from pydicom.datadict import dictionary_VR

    try:
        element: DataElement = dataset[tag]
    except Exception:  # noqa: BLE001  a value that cannot even be read is none to keep
        del dataset[tag]
        return
    if element.VR == "SQ":
        _clean_sequence(action, element, person)
    elif action == "keep" and element.VR in _BINARY:
        if not _BINARY & set(dictionary_VR(tag).split(" or ")):  # text that is called bytes
            element.value = None
    elif action == "pseudonym":
        element.value = person.name if element.VR != "PN" else f"{person.name}^RESEARCH"
    elif action == "meaning":
        element.value = _meaning(dataset)
    elif action == "empty" or element.VR in ("UN", "OF", "OD", "UR"):
        element.value = None
    else:
        values = element.value if element.VM > 1 else [element.value]
        kept = [_kept(action, keyword, element.VR, value, person) for value in values]
        element.value = kept if len(kept) > 1 else kept[0]


def _clean_sequence(action: str, element: DataElement, person: Person) -> None:
    if action != "keep":
        element.value = []
        return
    items = [item for item in element.value if _standard_code(item)]
    for item in items:
        clean(item, person)
    element.value = items


def _standard_code(item: Dataset) -> bool:
    """False for a code of a scheme that is not the standard's: it could say anything."""
    scheme = str(item.get("CodingSchemeDesignator") or "").strip()
    return "CodingSchemeDesignator" not in item or scheme in _SCHEMES


def _meaning(item: Dataset) -> str:
    """The meaning of a code by the standard's dictionary, or the code itself."""
    value = str(item.get("CodeValue") or "").strip()
    scheme = str(item.get("CodingSchemeDesignator") or "").strip()
    return _known_meaning(value, "SRT" if scheme in ("SNM3", "99SDM") else scheme)


@functools.cache
def _known_meaning(value: str, scheme: str) -> str:
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    wanted = Code(value, scheme, "")
    concepts = codes.DCM if scheme == "DCM" else codes.SCT  # SNOMED-RT codes equal SNOMED CT's
    known = (getattr(concepts, name) for name in concepts.dir())
    found = next((code for code in known if isinstance(code, Code) and code == wanted), None)
    return value if found is None else str(found.meaning)[:64]


def _kept(action: str, keyword: str, vr: str, value: Any, person: Person) -> Any:
    """What a value becomes; None for what may not be kept."""
    text = "" if value is None else str(getattr(value, "original_string", None) or value)
    if action == "uid":
        return hashed_uid(text, person.key) if text else None
    if vr == "UI":
        return text if text.startswith(_STANDARD_UID) else None
    if action == "text":
        return text if not identifying(text, person.words) else None
    pattern = _PATTERNS.get(vr)
    if pattern is None or pattern.fullmatch(text) is None:
        return None
    if action == "shift":
        return _shifted(text, person.days)
    if keyword == "PatientAge" and text.endswith("Y") and int(text[:3]) >= 90:
        return OLDEST
    if vr in ("CS", "LO", "SH") and _names(text, person.words):
        return None
    return value


def _names(text: str, words: frozenset[str]) -> bool:
    """Whether a word stands in a coded string by itself, or with figures or signs around it.

    Not within a longer word, as :func:`identifying` looks: ``FOR PRESENTATION`` holds Senta.
    """
    upper = text.strip().upper()
    parts = {upper, *re.split(r"[^A-Z0-9]+", upper), *re.findall(r"[A-Z]+|[0-9]+", upper)}
    return any(
        word in parts or (not word.isalnum() and word in upper)
        for word in words
        if len(word) > _SHORTEST_WORD
    )


def _shifted(date: str, days: int) -> str | None:
    if not date:
        return None
    try:
        day = dt.datetime.strptime(date, "%Y%m%d").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return (day - dt.timedelta(days=days)).strftime("%Y%m%d")


def identifying(text: str, words: frozenset[str]) -> bool:
    """Whether a long word stands anywhere in the text, or a short one (ANN, LI) by itself.

    One with other than plain letters counts anywhere: scripts without blanks know no "by itself".
    """
    upper = text.upper()
    alone = set(re.split(r"[^A-Z0-9]+", upper))
    return any(
        word in upper if len(word) >= _LONG_WORD or not word.isascii() else word in alone
        for word in words
    )


def words_of(dataset: Dataset) -> frozenset[str]:
    """Words of all names, and all identifiers, in the file, in capitals."""
    return frozenset(_words(dataset))


def _words(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR not in ("PN", "LO", "SH", "DA", "ST", "LT"):
            continue
        if element.VR == "PN":
            parts = re.split(r"[\^=\\ ,.]+", str(element.value or ""))
            parts += [piece for part in parts for piece in re.split(r"[\W_]+", part)]
            yield from (part.upper() for part in set(parts) if _is_word(part))
        elif element.keyword in _NAMING:
            text = str(element.value or "").strip().upper()
            if len(text) > _SHORTEST_WORD:
                yield text
            # MRN-7736451 is also known without its prefix.
            pieces = re.split(r"[\W_]+", text)
            yield from (piece for piece in pieces if len(piece) >= _LONG_WORD and _DIGIT(piece))


def _is_word(part: str) -> bool:
    """Whether a part of a name is more than an initial; an ideograph is a name."""
    return len(part) >= _SHORTEST_WORD or (part.isalpha() and part.upper() == part.lower())
