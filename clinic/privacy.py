"""Nothing about a patient in logs: keyed hashes of identifiers, and libraries that quote no header.

pydicom, highdicom and pynetdicom warn with the value that they dislike, which may be a name or a
birth date. A program that logs calls :func:`hide_values` once: from then on such a warning says
only where it was raised. A function that handles headers does so within :func:`values_hidden`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MammoroiError

KEY_BYTES = 32
_QUOTING = ("pydicom", "highdicom", "pynetdicom", "pylibjpeg")


def pseudonym(value: str, key: bytes, length: int = 16) -> str:
    """A name for ``value`` that nobody can undo or repeat without ``key``.

    HMAC-SHA-256 (RFC 2104), the first ``length`` of its 64 hexadecimal digits. Blanks around the
    value do not count.
    """
    return hmac.new(key, value.strip().encode(), hashlib.sha256).hexdigest()[:length]


def new_key(path: Path) -> Path:
    """Write a new random key, readable by its owner only, and return ``path``.

    Raises
    ------
    MammoroiError
        When there is something already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MammoroiError(
            f"{path} exists already", "leave --new-key out to use it, or name another file"
        ) from None
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(KEY_BYTES) + "\n")
    return path


def read_key(path: Path) -> bytes:
    """Read a key that :func:`new_key` wrote.

    Raises
    ------
    MammoroiError
        When it is missing or no key.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        raise MammoroiError(
            f"the key {path} does not exist", "correct the path; --new-key makes a new one there"
        ) from None
    except (OSError, ValueError):
        key = b""
    if len(key) < KEY_BYTES:
        raise MammoroiError(
            f"{path} holds no key ({2 * KEY_BYTES} hexadecimal digits)",
            "name the key's file, or make a new one with --new-key",
        )
    return key


def hide_values() -> None:
    """Keep header values out of logs and off the screen, for the rest of this process.

    Warnings of the DICOM libraries go to the logger ``py.warnings`` without their text; their own
    loggers say nothing below an error.
    """
    logging.captureWarnings(True)
    logger = logging.getLogger("py.warnings")
    if not any(isinstance(known, _WithoutValues) for known in logger.filters):
        logger.addFilter(_WithoutValues())
    for name in _QUOTING:
        library = logging.getLogger(name)
        library.setLevel(logging.ERROR)  # for the loggers below it
        if not any(isinstance(known, _ErrorsOnly) for known in library.filters):
            library.addFilter(_ErrorsOnly())  # pydicom sets its level anew when it is imported


@contextmanager
def values_hidden() -> Iterator[None]:
    """Keep header values out of logs and off the screen while a block runs.

    For one thread, as :func:`warnings.catch_warnings` is.
    """
    loggers = [logging.getLogger(name) for name in _QUOTING]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.ERROR))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _WithoutValues(logging.Filter):
    """Replaces the text of a captured warning of a DICOM library."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, some of them without what they say."""
        text = record.getMessage()
        place = text.split(" ", 1)[0]
        if any(f"/{name}/" in place.replace("\\", "/") for name in _QUOTING):
            record.msg = f"{place} a warning about a DICOM attribute (its value is not shown)"
            record.args = ()
        return True


class _ErrorsOnly(logging.Filter):
    """Drops what is less than an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        return record.levelno >= logging.ERROR
