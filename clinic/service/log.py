"""Logging that cannot name a patient, and the counters beside it.

Libraries quote header values in their messages and warnings. Of a record that is not this
service's own, only the library's name and the level go to the log; the service's own messages are
made of fixed words, numbers, AE titles and keyed hashes.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections import Counter
from typing import TextIO

OWN = __name__.rpartition(".")[0]
"""Loggers below this name belong to the service."""


class _Withhold(logging.Filter):
    """Replaces what a library says by the fact that it said something; never its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = record.stack_info = None
        if record.name != OWN and not record.name.startswith(f"{OWN}."):
            record.msg = f"{record.name}: a message of this library was withheld"
            record.args = None
        return True


def set_up_logging(stream: TextIO | None = None) -> None:
    """Send this process's logging to one stream (standard error), through the filter above.

    Warnings are logged instead of printed; libraries are heard from level ERROR upwards. For a
    process that does nothing else: handlers that were there before are removed.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_Withhold())
    logging.basicConfig(handlers=[handler], level=logging.ERROR, force=True)
    logging.getLogger("mammoroi").setLevel(logging.ERROR)
    logging.getLogger(OWN).setLevel(logging.INFO)
    for library in ("pynetdicom", "pydicom", "urllib3", "dicomweb_client"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    warnings.simplefilter("ignore")


def unexpected(error: BaseException) -> str:
    """Name an exception without its text, which may quote a header: its type and where it rose."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" ({trace.tb_frame.f_code.co_name}:{trace.tb_lineno})"
    return f"{type(error).__name__}{where}"


class Counters:
    """Counts of what happened since the start; any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Add to one count."""
        with self._lock:
            self._counts[name] += number

    def read(self) -> dict[str, int]:
        """All counts so far, by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))
