"""Compilation of the loops over pixels, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function by Numba at its first call; a second process finds it compiled.

    Numba keeps what it compiled beside the module or in the user's cache folder. Where neither can
    be written (a read-only container), every process compiles for itself: about 10 s.
    """
    try:
        return cast(Callable[Parameters, Result], njit(cache=True)(function))
    except RuntimeError:  # no folder to keep it in
        return cast(Callable[Parameters, Result], njit(function))
