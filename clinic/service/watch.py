"""The watched folder: files that appear in it or below are taken, and are gone from it then.

A file is taken when it has not changed (size, time of change, identity) for ``watch.stable_s``, by
this service's own clock: what time the file says it is does not matter. Left alone are names that
begin with a point or end like a file under way (``.part``, ``.tmp``, ...), a disc's ``DICOMDIR``
and what Windows leaves in folders, links, and whatever is no plain file. A file that may not be
taken in is kept in ``failed/REASON``.

A file that cannot be read or removed is said once, and tried again when it changes or after a
minute. If it was taken in but cannot be removed, taking it in again does nothing. A folder that
cannot be read is said once, too.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...files import sha256_file, sync
from ..patients import NO_IMAGES
from .admission import Refusal
from .config import WatchConfig
from .home import Home
from .inbox import Inbox
from .log import Counters, unexpected

LOGGER = logging.getLogger(__name__)
UNDER_WAY = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~")
_AGAIN_S = 60.0
_Identity = tuple[int, int, int, int]


@dataclass
class _Seen:
    """What is known of a file: its identity, since when it is so, and when to look again."""

    identity: _Identity
    since: float
    not_before: float = 0.0


class Watch:
    """Looks into a folder until it is told to stop.

    Parameters
    ----------
    config : WatchConfig
        The folder and the pauses.
    home, inbox, counters
        The service's; ``watched`` and ``watch_left`` are counted.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self,
        config: WatchConfig,
        home: Home,
        inbox: Inbox,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._home, self._inbox = config, home, inbox
        self._counters, self._clock = counters, clock
        self._seen: dict[Path, _Seen] = {}
        self._said: set[Path] = set()
        self._missing = False

    @property
    def is_well(self) -> bool:
        """Whether the watched folder was there, and could be looked into, at the last look."""
        return not self._missing

    def run(self, stopping: threading.Event) -> None:
        """Look until ``stopping``."""
        while not stopping.is_set():
            try:
                self.step(stopping)
            except Exception as error:  # noqa: BLE001  the next look may be better
                self._counters.add("errors")
                LOGGER.error("watch: unexpected %s", unexpected(error))
            stopping.wait(self._config.every_s)

    def step(self, stopping: threading.Event) -> None:
        """Look once."""
        root = self._config.folder
        if root is None:
            return
        if not root.is_dir():
            if not self._missing:
                LOGGER.error("watch: the watched folder is not there; looking again and again")
            self._missing = True
            return
        self._missing = False
        there = dict(self._files(root))  # finds out whether the folder can be looked into
        self._seen = {path: seen for path, seen in self._seen.items() if path in there}
        self._said = {path for path in self._said if os.path.lexists(path)}
        for path, identity in there.items():
            if stopping.is_set():
                return
            now = self._clock()
            seen = self._seen.get(path)
            if seen is None or seen.identity != identity:
                self._seen[path] = seen = _Seen(identity, now)
            if now >= seen.not_before and now - seen.since >= self._config.stable_s:
                self._take(path, seen)

    def _files(self, root: Path) -> Iterator[tuple[Path, _Identity]]:
        """Plain files in and below a folder, with what changes when they do; links are counted."""
        for folder, folders, names in os.walk(root, onerror=self._is_closed):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted((*names, *(f for f in folders if Path(folder, f).is_symlink()))):
                path = Path(folder, name)
                if name.startswith(".") or name.lower().endswith(UNDER_WAY):
                    continue
                if name.casefold() in NO_IMAGES:
                    continue
                try:
                    found = path.lstat()
                except OSError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
                else:
                    self._leave(path, "is a link or no plain file, left alone")

    def _is_closed(self, error: OSError) -> None:
        """Say once that a folder, or the watched one itself, cannot be looked into."""
        if not isinstance(error, FileNotFoundError):  # it may have gone since it was listed
            closed = Path(error.filename)
            self._missing |= closed == self._config.folder
            self._leave(closed, "is a folder that cannot be read; tried again")

    def _leave(self, path: Path, why: str) -> None:
        """Say once that a file is left where it is; it is named by its hash."""
        if path not in self._said:
            self._said.add(path)
            self._counters.add("watch_left")
            LOGGER.warning("file %s: %s", self._home.name(ascii(str(path))), why)

    def _take(self, path: Path, seen: _Seen) -> None:
        """Take one file in, or set it aside, and remove it."""
        size = seen.identity[2]
        seen.not_before = self._clock() + _AGAIN_S
        part = self._home.part()
        try:
            # O_NOFOLLOW: it may have become a link since it was looked at.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as stream:
                receipt = self._inbox.receive(lambda out: shutil.copyfileobj(stream, out), size)
            refusal = receipt.refusal
            if refusal is not None and refusal.reason == "no-space":
                return  # it is safe where it is
            if refusal is not None:
                self._set_aside(path, part, refusal)
        except OSError:
            self._leave(path, "cannot be read; tried again")
            return
        finally:
            part.unlink(missing_ok=True)
        try:
            path.unlink()
        except OSError:
            self._leave(path, "taken in, but cannot be removed")
            return
        self._counters.add("watched")
        self._tidy(path.parent)

    def _set_aside(self, path: Path, part: Path, refusal: Refusal) -> None:
        """Keep a refused file, unless it is so large that it would fill the disk."""
        if not self._inbox.has_space(path.stat().st_size):
            raise OSError("no space")
        with part.open("wb") as out, path.open("rb") as stream:
            shutil.copyfileobj(stream, out)
        sync(part)
        self._inbox.set_aside(part, refusal.reason, sha256_file(part))

    def _tidy(self, folder: Path) -> None:
        """Remove folders below the watched one that are empty now."""
        root = self._config.folder
        while root is not None and folder != root and root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent
