"""A number as it was printed, and what a check found about it.

A printed number stands for an interval: ``0.84`` for anything from 0.835 to 0.845. Both ends
belong to it, whichever way ties were rounded. The interval is exact (fractions), so that whole
numbers of patients can be counted in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal

from ..errors import MammoroiError

Severity = Literal["impossible", "inconsistent", "unusual", "ok"]
SEVERITIES: tuple[Severity, ...] = ("impossible", "inconsistent", "unusual", "ok")
"""Worst first. ``impossible``: no data give these numbers together. ``inconsistent``: they do not
agree with another printed number, or with the usual formula. ``unusual``: possible, but rare."""

Cells = dict[str, str]
"""A row of a table: text by the name of its column; a missing value is empty text."""

_SIGNS = str.maketrans({"−": "-", "–": "-", "·": ".", "≤": "<", "≥": ">"})
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
"""``1,302``; a comma after a leading 0, as in ``0,036``, is a decimal one."""


@dataclass(frozen=True)
class Finding:
    """What one check found in one row.

    Attributes
    ----------
    table, row : str
        Name of the file without its ending; name of the row.
    check : str
        Name of the check (docs/consistency.md).
    severity : {"impossible", "inconsistent", "unusual", "ok"}
        See :data:`SEVERITIES`.
    printed, implied : str
        What the table says, and what follows from its other numbers.
    explanation : str
        One sentence.
    """

    table: str
    row: str
    check: str
    severity: Severity
    printed: str
    implied: str
    explanation: str


@dataclass(frozen=True)
class Printed:
    """A printed number.

    Attributes
    ----------
    text : str
        As printed.
    value : Fraction
        The number; of ``<.001`` the bound.
    lower, upper : Fraction
        The interval of numbers that are printed like this.
    """

    text: str
    value: Fraction
    lower: Fraction
    upper: Fraction

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval in floating point."""
        return float(self.lower), float(self.upper)

    def holds(self, lower: Fraction | float, upper: Fraction | float | None = None) -> bool:
        """Whether a number, or any number of an interval, is printed like this."""
        return self.lower <= (lower if upper is None else upper) and lower <= self.upper


def printed(text: str, where: str) -> Printed:
    """Read a printed number: ``0.84``, ``-1.05``, ``84%``, ``1,302``, ``<.001``, ``>0.99``.

    Parameters
    ----------
    text : str
        The number; ``%`` divides by 100, ``<`` starts the interval at 0 and ``>`` ends it at 1,
        as for a P value. A true minus sign and a raised decimal point are read too.
    where : str
        File, row and column, for the error.

    Raises
    ------
    MammoroiError
        When it is no number, as with a decimal comma.
    """
    plain = re.sub(r"\s", "", text).translate(_SIGNS)
    sign, digits, percent = re.fullmatch(r"([<>]?)([^%]*)(%?)", plain, re.DOTALL).groups()  # type: ignore[union-attr]
    if _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    try:
        number = Decimal(digits)
        exponent = int(number.as_tuple().exponent)
    except (InvalidOperation, ValueError):
        raise MammoroiError(
            f"{where}: {text!r} is no number",
            "write it as printed, with all its digits and a decimal point: 0.84, 84%, -1.05 or "
            "<.001; leave the cell empty where nothing is printed",
        ) from None
    scale = Fraction(1, 100) if percent else Fraction(1)
    value, half = Fraction(number) * scale, Fraction(10) ** exponent / 2 * scale
    if sign:
        lower, upper = (Fraction(0), value) if sign == "<" else (value, max(Fraction(1), value))
        return Printed(text, value, lower, upper)
    return Printed(text, value, value - half, value + half)


def numbers(row: Cells, columns: tuple[str, ...], where: str) -> dict[str, Printed]:
    """Read the columns of a row that are there and filled."""
    return {name: printed(row[name], f"{where}, {name}") for name in columns if row.get(name)}


def whole(text: str, where: str) -> int:
    """Read a count.

    Raises
    ------
    MammoroiError
        When it is no whole number from 0 on.
    """
    digits = text.strip()
    if _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    if not digits.isdecimal():
        raise MammoroiError(f"{where}: {text!r} is no count", "write a whole number")
    return int(digits)


def span(lower: Fraction | float, upper: Fraction | float, digits: int = 3) -> str:
    """``0.765 to 0.865``; one number where both are printed alike."""
    first, last = f"{float(lower):.{digits}f}", f"{float(upper):.{digits}f}"
    return first if first == last else f"{first} to {last}"
