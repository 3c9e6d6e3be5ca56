"""One worker: claims a case by rename, has it processed, and moves it on.

What a kill leaves in ``working/`` is put back by the next start. Results carry identifiers that
follow from their sources and the model, so a case that is processed again changes nothing in the
PACS.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from ...errors import Failure
from ...files import sync
from .admission import Image, examine, pixel_digest
from .child import Child, Outcome
from .config import CasesConfig
from .home import Home, read_if_there, write_synced
from .inbox import Inbox
from .log import Counters, unexpected

LOGGER = logging.getLogger(__name__)
INTERRUPTIONS = 25
"""A case during which the service itself ended so often is set aside: it may be the reason."""
UNEXPECTED = 5
"""A case that raised so many unexpected errors in the service itself is set aside."""
_IDLE_S = 0.2
_PAUSE_S = 10.0
_SWEEP_S = 60.0
_HOUR_S = 3600.0
_SECONDS_A_DAY = 86400.0
REASONS = {
    "crash": "the process crashed",
    "memory": "the process needed more than cases.memory_gb, or the machine's memory ran out",
    "timeout": "it took longer than cases.timeout_s",
    "error": "the processing raised an error",
    "interrupted": f"the service ended {INTERRUPTIONS} times, or failed, while it was processed",
    "unusable": "nothing could be made of the study",
    "images": "these images of the study could not be used; the others have results",
    "no-result": "the processing wrote no object to send",
}
"""Why a case is in ``failed/``, beside the reasons of :mod:`.admission` and :mod:`.send`."""


class Worker:
    """Processes cases until it is told to stop.

    Parameters
    ----------
    home, inbox, config, counters
        The service's.
    child : Child
        Computes.
    keep_results : bool
        Whether results stay in ``done/`` for ever: there is no PACS that has them.
    """

    def __init__(
        self,
        home: Home,
        inbox: Inbox,
        child: Child,
        config: CasesConfig,
        counters: Counters,
        *,
        keep_results: bool,
    ) -> None:
        self._home, self._inbox, self._child = home, inbox, child
        self._config, self._counters = config, counters
        self._keep_results, self._swept = keep_results, -_SWEEP_S
        self._unexpected: Counter[str] = Counter()
        self.has_results = threading.Event()
        self.process_is_well = True

    def recover(self) -> None:
        """Put back what was claimed when the service was killed; remove half-written results."""
        for case in self._home.cases("working"):
            folder = self._home.case("working", case)
            if not self._home.images("working", case):
                shutil.rmtree(folder)
                continue
            tries = read_if_there(folder / "tries.json")
            tries["interrupted"] = int(tries.get("interrupted", 0)) + 1
            write_synced(folder / "tries.json", tries)
            if tries["interrupted"] >= INTERRUPTIONS:
                self._fail(case, "interrupted", "")
                continue
            self._put_back(case)
            self._counters.add("put_back")
            LOGGER.warning("case %s: was being processed when the service ended, put back", case)

    def run(self, stopping: threading.Event, now: threading.Event) -> None:
        """Work until ``stopping``; the running case is given up when ``now`` is set."""
        while not stopping.is_set():
            try:
                busy = self.step(now)
            except Exception as error:  # noqa: BLE001  the boundary of one case: the others go on
                self._counters.add("errors")
                LOGGER.error("worker: unexpected %s", unexpected(error))
                self._rescue()
                stopping.wait(_PAUSE_S)
                continue
            if not self.process_is_well:
                stopping.wait(_PAUSE_S)
            elif not busy:
                stopping.wait(_IDLE_S)
        self._child.end()

    def _rescue(self) -> None:
        """Put back the case during which the service itself failed, as on a full disk."""
        for case in self._home.cases("working"):
            self._unexpected[case] += 1
            with suppress(OSError):
                if self._unexpected[case] < UNEXPECTED:
                    self._put_back(case)
                else:
                    self._fail(case, "interrupted", "unexpected errors of the service")

    def step(self, now: threading.Event) -> bool:
        """Do one case, if one is ready; say whether there was one."""
        self._inbox.settle()
        self._sweep()
        ready = self._home.cases("ready")
        if not ready:
            return False
        case = min(ready, key=lambda name: self._tries("ready", name).get("failed", 0))
        folder = self._home.move(case, "ready", "working")
        # A case that was moved back by hand has results of its earlier images.
        shutil.rmtree(folder / "out", ignore_errors=True)
        self._add_earlier(case)
        began = time.monotonic()
        LOGGER.info("case %s: %d images, begun", case, len(self._home.images("working", case)))
        outcome = self._child.run(self._home.images("working", case), folder / "out", now)
        seconds = time.monotonic() - began
        self.process_is_well = outcome.reason != "unready"
        if outcome.reason == "stopped":
            self._put_back(case)
            LOGGER.info("case %s: put back, the service stops", case)
        elif outcome.reason == "unready":
            self._put_back(case)
            self._counters.add("process_unready")
            LOGGER.error("worker: the process is not ready: %s", outcome.detail)
        elif outcome.reason is not None:
            self._failed_try(case, outcome)
        else:
            self._finish(case, outcome, seconds)
        return True

    def _tries(self, state: str, case: str) -> dict[str, int]:
        return read_if_there(self._home.case(state, case) / "tries.json")

    def _put_back(self, case: str) -> None:
        shutil.rmtree(self._home.case("working", case) / "out", ignore_errors=True)
        self._home.move(case, "working", "ready")

    def _add_earlier(self, case: str) -> None:
        """Add the images of the same study that were processed before and are still kept."""
        folder = self._home.case("working", case) / "images"
        for image in self._home.images("done", case):
            if (folder / image.name).exists():
                continue
            try:
                os.link(image, folder / image.name)
            except OSError:  # a share or disk on which a file has but one name
                part = self._home.part()
                shutil.copyfile(image, part)
                part.rename(folder / image.name)

    def _failed_try(self, case: str, outcome: Outcome) -> None:
        folder = self._home.case("working", case)
        tries = self._tries("working", case)
        tries["failed"] = int(tries.get("failed", 0)) + 1
        write_synced(folder / "tries.json", tries)
        self._counters.add(f"tries_failed.{outcome.reason}")
        reason = str(outcome.reason)
        if tries["failed"] < self._config.attempts:
            LOGGER.warning("case %s: %s (%s), is tried again", case, REASONS[reason], reason)
            self._put_back(case)
        else:
            self._fail(case, reason, outcome.detail)

    def _fail(self, case: str, reason: str, detail: str, failures: object = ()) -> None:
        """Set a case aside; what the processing printed stays beside it."""
        folder = self._home.case("working", case)
        (folder / "tries.json").unlink(missing_ok=True)  # whoever moves it back gives it new tries
        text = REASONS[reason]
        with suppress(OSError):  # on a full disk it is moved all the same
            write_synced(
                folder / "record.json",
                {"reason": reason, "text": text, "detail": detail, "failures": failures},
            )
        self._home.move(case, "working", f"failed/{reason}")
        self._counters.add("failed")
        self._counters.add(f"failed.{reason}")
        LOGGER.error("case %s: failed (%s), %s; see failed/%s", case, reason, text, reason)

    def _finish(self, case: str, outcome: Outcome, seconds: float) -> None:
        """Move a processed case to the outbox, its unusable images to ``failed/images``."""
        folder = self._home.case("working", case)
        objects = sorted((folder / "out" / "objects").rglob("*.dcm"))
        if not objects:
            reason = "unusable" if outcome.failures else "no-result"
            self._fail(case, reason, outcome.detail, outcome.failures)
            return
        for path in {*objects, *(path.parent for path in objects), folder / "out"}:
            sync(path)
        digests = dict(self._home.record("done", case).get("images", {}))
        self._set_images_aside(case, outcome.failures)
        for image in self._home.images("working", case):
            found = examine(image, float("inf"))
            if isinstance(found, Image):
                digests[image.stem] = pixel_digest(image, found)
        record = {
            "images": digests,
            "failures": outcome.failures,
            "objects": len(objects),
            "seconds": round(seconds, 1),
        }
        write_synced(folder / "record.json", record)
        self._home.move(case, "working", "outbox")
        self._counters.add("processed")
        LOGGER.info("case %s: %d objects after %.1f s", case, len(objects), seconds)
        self.has_results.set()

    def _set_images_aside(self, case: str, failures: tuple[Failure, ...]) -> None:
        """Move images that could not be used to ``failed/images``, with the reasons."""
        folder = self._home.case("working", case) / "images"
        named = [failure for failure in failures if (folder / f"{failure.case}.dcm").exists()]
        if not named:
            return
        target = self._home.folder / "failed" / "images" / case
        with self._home.lock:
            (target / "images").mkdir(parents=True, exist_ok=True, mode=0o700)
            before = read_if_there(target / "record.json").get("failures", [])
            for failure in named:
                image = f"{failure.case}.dcm"
                (folder / image).replace(target / "images" / image)
            write_synced(
                target / "record.json",
                {"reason": "images", "text": REASONS["images"], "failures": [*before, *named]},
            )
        self._counters.add("failed_images", len(named))
        LOGGER.warning("case %s: %d images unusable; see failed/images", case, len(named))

    def _sweep(self) -> None:
        """Now and then, remove what was kept of finished cases for long enough.

        Space that is nearly gone ends the keeping at once: new images are worth more.
        """
        if time.monotonic() - self._swept < _SWEEP_S:
            return
        self._swept = time.monotonic()
        scarce = self._home.free_gb() < 2 * self._config.min_free_gb
        for case in self._home.cases("done"):
            folder = self._home.case("done", case)
            with self._home.lock:
                age = time.time() - folder.stat().st_mtime
                if scarce or age > self._config.keep_hours * _HOUR_S:
                    self._strip(folder)
                if age > self._config.forget_days * _SECONDS_A_DAY and not self._keep_results:
                    shutil.rmtree(folder, ignore_errors=True)

    def _strip(self, folder: Path) -> None:
        """Remove images and results of a finished case; its record stays."""
        before = folder.stat().st_mtime
        for name in ("images",) if self._keep_results else ("images", "out"):
            if (folder / name).exists():
                shutil.rmtree(folder / name)
                os.utime(folder, (before, before))
