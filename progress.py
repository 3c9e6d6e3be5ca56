"""A bar for what takes more than a second."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def with_bar(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Give items on, one by one; a bar on standard error, where that is a terminal, counts them.

    Standard output is for results: it may go into a file.
    """
    from rich.console import Console
    from rich.progress import track

    if not sys.stderr.isatty():  # rich would write an empty line
        yield from items
        return
    console = Console(stderr=True)
    yield from track(items, description, total=total, console=console, transient=True)
