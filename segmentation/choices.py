"""A setting that takes one of a few words."""

from __future__ import annotations

import difflib

from ..errors import MammoroiError


def one_of(name: str, value: str, valid: tuple[str, ...], room: str = "segmentation.") -> None:
    """Refuse a value that is not among the valid ones, naming the nearest.

    The setting is told as ``room`` and ``name``.

    Raises
    ------
    MammoroiError
        When ``value`` is not in ``valid``.
    """
    if value not in valid:
        near = difflib.get_close_matches(value, valid, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'? " if near else ""
        shown = ", ".join(valid[:12]) + (", ..." if len(valid) > 12 else "")
        raise MammoroiError(f"{room}{name} is '{value}'", f"{hint}valid are {shown}")
