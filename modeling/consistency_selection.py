"""Checks of printed lists of selected features, and of what a text states about them.

pyradiomics computes 93 first-order and texture features (18 first-order, 24 GLCM, 16 GLRLM, 16
GLSZM, 14 GLDM, 5 NGTDM) on every image type, and shape once: 9 features in two dimensions, 14 in
three. A number of features from a full extraction is therefore 93 k, 93 k + 9 or 93 k + 14.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ..errors import MammoroiError
from .printed import Cells, Finding, Severity, whole

COLUMNS = ("feature", "p")
STATED_COLUMNS = ("table", "quantity", "value", "where")
CHECKS = {
    "same_table": "two lists row by row",
    "listed_twice": "features listed twice",
    "names": "names against pyradiomics, and the dimensions of the images",
    "rows_stated": "length of the list, against the text",
    "families_stated": "features by family, against the text",
    "families_sum": "sum of the stated families, against the stated length",
    "features_extracted": "stated number of extracted features, against what pyradiomics yields",
    "features_retained": "stated number of retained features, against a list without screening",
}
QUANTITIES = ("rows", "dimensions", "features extracted", "features retained")
"""What can be stated of a list, beside ``family NAME``."""

PER_IMAGE_TYPE = 93
SHAPE = {2: 9, 3: 14}
_ONLY_IN = {
    2: re.compile(r"(wavelet\d*-[LH]{2}_|[^_]+_shape2D_).*"),
    3: re.compile(r"(wavelet\d*-[LH]{3}_|lbp-3D|[^_]+_shape_).*"),
}
_MIN_ROWS = 5  # shorter lists may well agree
_KNOWN_SHARE = 0.5  # below it the names are another program's, and not looked at


@dataclass(frozen=True)
class Stated:
    """A number that the text states: its value, and where it stands."""

    value: int
    where: str


Statements = Mapping[str, Stated]


def statements(rows: Sequence[Cells], file: str) -> dict[str, dict[str, Stated]]:
    """Read what the text states, by table and quantity.

    Raises
    ------
    MammoroiError
        For a value that is no whole number.
    """
    found: dict[str, dict[str, Stated]] = {}
    for at, cells in enumerate(rows, start=1):
        value = whole(cells["value"], f"{file}, row {at}, value")
        quantity = " ".join(cells["quantity"].split())
        found.setdefault(cells["table"], {})[quantity] = Stated(value, cells.get("where", ""))
    return found


def check(table: str, rows: Sequence[Cells], stated: Statements) -> list[Finding]:
    """Check one list of features; rows in :data:`COLUMNS`, see docs/consistency.md.

    Raises
    ------
    MammoroiError
        For a stated quantity that is not known.
    """
    names = [cells["feature"].strip() for cells in rows]
    for quantity in stated:
        if quantity not in QUANTITIES and not quantity.startswith("family "):
            raise MammoroiError(
                f"{quantity!r} is stated of {table}",
                f"state one of: {', '.join(QUANTITIES)}, family NAME",
            )
    twice = [name for name, times in Counter(names).items() if times > 1]
    findings = [
        Finding(
            *(table, "all features", "listed_twice", "inconsistent" if twice else "ok"),
            *(", ".join(twice), ""),
            f"{len(twice) or 'No'} feature{'s are' if len(twice) > 1 else ' is'} listed twice.",
        )
    ]
    dimensions = stated["dimensions"].value if "dimensions" in stated else None
    findings += _names(table, names, dimensions)
    findings += _lengths(table, names, stated)
    findings += _extracted(table, stated.get("features extracted"), dimensions)
    findings += _retained(table, names, stated.get("features retained"))
    return findings


def check_pairs(tables: Mapping[str, Sequence[Cells]]) -> Iterable[Finding]:
    """Compare every two lists of features row by row."""
    for (first, one), (second, other) in combinations(tables.items(), 2):
        pairs = zip(one, other, strict=False)
        same = sum(all(a.get(c) == b.get(c) for c in COLUMNS) for a, b in pairs)
        rows = max(len(one), len(other))
        identical = same == rows and rows >= _MIN_ROWS
        what = "name and P value" if any(cells.get("p") for cells in one) else "name"
        yield Finding(
            *(second, f"all features, against {first}", "same_table"),
            *("inconsistent" if identical else "ok", f"{same} of {rows} rows the same", ""),
            f"{same} of {rows} rows of {first} and {second} have the same {what}.",
        )


def _names(table: str, names: list[str], dimensions: int | None) -> Iterable[Finding]:
    from ..radiomics.dictionary import feature_rows

    known = feature_rows()
    unknown = [name for name in names if tuple(name.split("_")[-2:]) not in known]
    if not names or len(unknown) > (1 - _KNOWN_SHARE) * len(names):
        return
    for name in unknown:
        why = f"pyradiomics 3 has no feature {name}."
        yield Finding(table, name, "names", "unusual", name, "", why)
    flat, deep = ([n for n in names if _ONLY_IN[d].fullmatch(n)] for d in (2, 3))
    strange = {2: deep, 3: flat}.get(dimensions or 0, deep if flat else [])
    for name in strange:
        told = f"the images have {dimensions}" if dimensions else f"{flat[0]} needs two"
        yield Finding(
            *(table, name, "names", "inconsistent", name, ""),
            f"{name} is computed in {'three' if name in deep else 'two'} dimensions; {told}.",
        )
    if not unknown and not strange:
        yield Finding(
            *(table, "all features", "names", "ok", f"{len(names)} names", ""),
            "pyradiomics computes features of these names.",
        )


def families(names: Iterable[str]) -> Counter[str]:
    """Count features by class (``glcm``) and by kind of image type (``wavelet``, ``log``)."""
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split("_")
        if len(parts) > 2:
            found.update({parts[-2].lower(), parts[-3].split("-")[0].lower()})
    return found


def _lengths(table: str, names: list[str], stated: Statements) -> Iterable[Finding]:
    rows = stated.get("rows")
    if rows:
        yield _compared(table, "all features", "rows_stated", rows, len(names), "rows")
    counted = families(names)
    told = {key.split(" ", 1)[1]: value for key, value in stated.items() if " " in key}
    told = {key: told[key] for key in told if f"family {key}" in stated}
    for family, value in told.items():
        found = counted[family.lower()]
        yield _compared(table, f"family {family}", "families_stated", value, found, family)
    if rows and told:
        added = sum(value.value for value in told.values())
        yield Finding(
            *(table, "all families", "families_sum", "ok" if added == rows.value else "unusual"),
            *(str(rows.value), str(added)),
            f"The stated families add up to {added}, the stated length is {rows.value}; only "
            "families that overlap may exceed it.",
        )


def _compared(table: str, row: str, check: str, stated: Stated, found: int, what: str) -> Finding:
    severity: Severity = "ok" if stated.value == found else "inconsistent"
    place = f" ({stated.where})" if stated.where else ""
    return Finding(
        *(table, row, check, severity, f"{stated.value}{place}", str(found)),
        f"The text states {stated.value} {what}, the table has {found}.",
    )


def check_sizes(table: str, sizes: Mapping[str, int], stated: Statements) -> Iterable[Finding]:
    """Compare the numbers of patients of a table of counts with what the text states."""
    for quantity, value in stated.items():
        group = quantity.removeprefix("n ")
        if group not in sizes or group == quantity:
            raise MammoroiError(
                f"{quantity!r} is stated of {table}",
                f"state one of: {', '.join(f'n {name}' for name in sizes)}",
            )
        yield _compared(table, group, "patients_stated", value, sizes[group], "patients")


def _extracted(table: str, total: Stated | None, dimensions: int | None) -> Iterable[Finding]:
    if total is None:
        return
    sums = {}
    for extra in (0, *SHAPE.values()):
        times, rest = divmod(total.value - extra, PER_IMAGE_TYPE)
        if times > 0 and rest == 0:
            shape = next((f", {d}D shape" for d, n in SHAPE.items() if n == extra), "")
            sums[extra] = f"{times} x {PER_IMAGE_TYPE}{f' + {extra}{shape}' if extra else ''}"
    allowed = {0, SHAPE[dimensions]} if dimensions in SHAPE else {0, *SHAPE.values()}
    good = bool(allowed & sums.keys())
    severity: Severity = "ok" if good else "inconsistent" if sums else "unusual"
    why = f"{total.value} = {' = '.join(sums.values())}" if sums else f"{total.value} is none of"
    why += "" if sums else f" {PER_IMAGE_TYPE} k, + {SHAPE[2]} or + {SHAPE[3]}"
    if not good and sums:
        why += f"; in {dimensions}D shape has {SHAPE[dimensions or 2]} features"
    yield Finding(
        *(table, "features extracted", "features_extracted", severity, str(total.value)),
        *("; ".join(sums.values()), f"{why}."),
    )


def _retained(table: str, names: list[str], total: Stated | None) -> Iterable[Finding]:
    if total is None:
        return
    kinds = len({name.split("_")[-3] for name in names if name.count("_") > 1})
    unscreened = kinds > 0 and total.value == kinds * PER_IMAGE_TYPE
    yield Finding(
        *(table, "features retained", "features_retained", "unusual" if unscreened else "ok"),
        *(str(total.value), f"{kinds} image types x {PER_IMAGE_TYPE} = {kinds * PER_IMAGE_TYPE}"),
        f"{total.value} is {'exactly' if unscreened else 'not'} the number of first-order and "
        f"texture features of the {kinds} image types in the list before any screening.",
    )
