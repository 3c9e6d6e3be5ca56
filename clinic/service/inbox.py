"""The one way in, for the listener and for the watched folder.

A file is first written whole to ``parts/`` and to the disk (fsync), judged there, and then renamed
into its case. Only after that is a sender told "success", so what was confirmed survives a kill or
a power cut.

A repeated image (same SOP Instance UID, same pixels) changes nothing. The same identifier with
other pixels is refused. An image that lies in ``failed/`` may be sent again, with other pixels too:
it is taken out of there and tried anew.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...files import sync
from .admission import Image, Refusal, examine, is_conflict, pixel_digest
from .config import ServeConfig
from .home import FAILED, Home, write_synced
from .log import Counters

LOGGER = logging.getLogger(__name__)
_BUSY = ("ready", "working", "outbox")
"""States during which further images of the same study wait."""


@dataclass(frozen=True)
class Receipt:
    """What became of a file: a refusal, or its names; ``repeated`` when it was there already."""

    case: str
    image: str
    refusal: Refusal | None = None
    repeated: bool = False


class Inbox:
    """Takes files into ``incoming/`` and says when a study is complete.

    Parameters
    ----------
    home : Home
        Where cases live.
    config : ServeConfig
        Limits and the settle time.
    counters : Counters
        ``received``, ``repeated``, ``refused`` and ``refused.REASON`` are counted.
    clock : callable
        Seconds that never go back, whatever becomes of the time of day.
    """

    def __init__(
        self,
        home: Home,
        config: ServeConfig,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home, self._config, self._counters, self._clock = home, config, counters, clock
        self._newest = dict.fromkeys(home.cases("incoming"), clock())

    @property
    def max_bytes(self) -> float:
        """Largest file that is taken."""
        return self._config.cases.max_instance_mb * 1e6

    def has_space(self, size: int) -> bool:
        """Whether a file of ``size`` bytes leaves the free space that is to be left."""
        return self._home.free_gb() - size / 1e9 >= self._config.cases.min_free_gb

    def receive(
        self,
        write: Callable[[BinaryIO], object],
        size: int,
        expected: tuple[str, str] | None = None,
    ) -> Receipt:
        """Take one file.

        Parameters
        ----------
        write : callable
            Writes the file into a stream.
        size : int
            Its bytes, about.
        expected : (str, str), optional
            SOP class and SOP Instance UID that the sender named.
        """
        part = self._home.part()
        try:
            if size > self.max_bytes:
                return self._refuse(Refusal("too-large"))
            if not self.has_space(size):
                return self._refuse(Refusal("no-space"))
            with part.open("wb") as stream:
                write(stream)
            sync(part)
            return self._admit(part, expected)
        except OSError:
            return self._refuse(Refusal("no-space"))
        finally:
            part.unlink(missing_ok=True)

    def _admit(self, part: Path, expected: tuple[str, str] | None) -> Receipt:
        found = examine(part, self.max_bytes)
        if isinstance(found, Refusal):
            return self._refuse(found)
        if expected is not None and expected != (found.sop_class, found.sop_uid):
            return self._refuse(Refusal("mismatch"))
        case, image = self._home.name(found.study_uid), self._home.name(found.sop_uid)
        with self._home.lock:
            earlier = self._home.find(case, image)
            failed = isinstance(earlier, Path) and earlier.is_relative_to(
                self._home.folder / FAILED
            )
            if earlier is not None and not failed:  # a failed one may have been mended
                if is_conflict(self._digest(earlier), pixel_digest(part, found)):
                    return self._refuse(Refusal("conflict"), case, image)
                self._counters.add("repeated")
                LOGGER.info("image %s of case %s: came before, nothing to do", image, case)
                return Receipt(case, image, repeated=True)
            folder = self._home.case("incoming", case) / "images"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.rename(folder / f"{image}.dcm")
            sync(folder)
            sync(folder.parent)
            sync(folder.parent.parent)
            if failed and isinstance(earlier, Path):
                _forget_failed(earlier)
            self._newest[case] = self._clock()
        self._counters.add("received")
        LOGGER.info("image %s of case %s: received", image, case)
        return Receipt(case, image)

    def _digest(self, earlier: Path | str) -> str:
        if isinstance(earlier, str):
            return earlier
        found = examine(earlier, float("inf"))
        return pixel_digest(earlier, found) if isinstance(found, Image) else "unreadable:"

    def _refuse(self, refusal: Refusal, case: str = "", image: str = "") -> Receipt:
        self._counters.add("refused")
        self._counters.add(f"refused.{refusal.reason}")
        which = f"image {image} of case {case}" if case else "a file"
        LOGGER.warning("%s: refused (%s), %s", which, refusal.reason, refusal.text)
        return Receipt(case, image, refusal)

    def set_aside(self, part: Path, reason: str, name: str) -> None:
        """Keep a file that was refused and has no sender who could be told, in ``failed/``.

        Parameters
        ----------
        part : Path
            A copy in ``parts/``; it is moved.
        reason : str
            Key of :data:`.admission.REFUSALS`.
        name : str
            What tells it from other files; only its keyed hash is written.
        """
        hashed = self._home.name(name)
        target = self._home.folder / FAILED / reason / hashed
        with self._home.lock:
            (target / "images").mkdir(parents=True, exist_ok=True, mode=0o700)
            part.rename(target / "images" / "file")
            write_synced(target / "record.json", {"reason": reason, "text": Refusal(reason).text})
            sync(target / "images")
            sync(target.parent)
        LOGGER.warning("file %s: set aside in failed/%s", hashed, reason)

    def settle(self) -> list[str]:
        """Move cases that are complete from ``incoming/`` to ``ready/``; return their names."""
        moved = []
        with self._home.lock:
            for case in self._home.cases("incoming"):
                since = self._newest.setdefault(case, self._clock())
                waits = self._clock() - since < self._config.cases.settle_s
                busy = any(self._home.case(state, case).exists() for state in _BUSY)
                if waits or busy:
                    continue
                if not self._home.images("incoming", case):  # killed before the first image came
                    shutil.rmtree(self._home.case("incoming", case))
                else:
                    self._home.move(case, "incoming", "ready")
                    moved.append(case)
                self._newest.pop(case, None)
        for case in moved:
            LOGGER.info("case %s: complete, waits for the worker", case)
        return moved


def _forget_failed(image: Path) -> None:
    """Remove a failed image that came again, and its case's folder when it was the last."""
    image.unlink()
    case = image.parent.parent
    if not any(image.parent.iterdir()):
        shutil.rmtree(case)
