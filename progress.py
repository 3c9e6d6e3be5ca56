"""A bar for what takes more than a second, and a line a minute where nobody sees bars."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

EVERY_S = 60.0
Item = TypeVar("Item")
log = logging.getLogger(__name__)


def with_bar(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Give items on, one by one; a bar on standard error, where that is a terminal, counts them.

    Elsewhere, as in the log of a server, a line in every minute does. Standard output is for
    results: it may go into a file.
    """
    from rich.console import Console
    from rich.progress import track

    if not sys.stderr.isatty():  # rich would write an empty line
        said = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if number < total and time.monotonic() - said >= EVERY_S:
                log.info("%s: %d of %d", description, number, total)
                said = time.monotonic()
        return
    console = Console(stderr=True)
    yield from track(items, description, total=total, console=console, transient=True)
