"""The outbox: results wait on the disk until the PACS has them.

When the PACS is away, everything waits, with pauses that double up to a longest one; each time
another case is tried, since it may be one case at which the PACS stumbles. When it refuses the
objects of one case, that case waits and the others go on, and after ``destination.refusals`` tries
the case is set aside in ``failed/pacs-refused``.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .config import DestinationConfig
from .destination import AwayError, Destination, RefusedError
from .home import Home, write_synced
from .log import Counters, unexpected

LOGGER = logging.getLogger(__name__)
REFUSED = "pacs-refused"
_IDLE_S = 0.5
_SPREAD = 0.2


class Sender:
    """Sends what is in the outbox until it is told to stop.

    Parameters
    ----------
    home, counters
        The service's.
    destination : Destination or None
        The PACS; None: finished cases keep their results in ``done/``.
    config : DestinationConfig
        Pauses and number of refusals.
    wake : threading.Event
        Set when there is something new.
    clock : callable
        Seconds that never go back.
    """

    def __init__(
        self,
        home: Home,
        destination: Destination | None,
        config: DestinationConfig,
        counters: Counters,
        wake: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home, self._destination, self._config = home, destination, config
        self._counters, self._wake, self._clock = counters, wake, clock
        self._refusals: dict[str, tuple[int, float]] = {}
        self._unsent: Counter[str] = Counter()
        self._away = 0
        self._away_since = self._not_before = 0.0
        self._code = ""

    def state(self) -> dict[str, Any]:
        """Say for the health whether the PACS answers, and for how long it has not."""
        if self._destination is None:
            return {"configured": False}
        away = (
            {}
            if not self._away
            else {
                "failures": self._away,
                "seconds": round(self._clock() - self._away_since),
                "code": self._code,
            }
        )
        return {"configured": True, "away": away}

    def run(self, stopping: threading.Event) -> None:
        """Send until ``stopping``."""
        while not stopping.is_set():
            try:
                self.step(stopping)
            except Exception as error:  # noqa: BLE001  the boundary of one case: the others go on
                self._counters.add("errors")
                LOGGER.error("sender: unexpected %s", unexpected(error))
                stopping.wait(self._config.retry_s)
            self._wake.wait(_IDLE_S)
            self._wake.clear()

    def step(self, stopping: threading.Event) -> None:
        """Send every case whose time has come, those first that were tried least."""
        for case in sorted(self._home.cases("outbox"), key=lambda name: self._unsent[name]):
            if stopping.is_set() or self._clock() < self._not_before:
                return
            if self._clock() >= self._refusals.get(case, (0, 0.0))[1]:
                self._send(case)

    def _send(self, case: str) -> None:
        objects = sorted((self._home.case("outbox", case) / "out" / "objects").rglob("*.dcm"))
        try:
            if self._destination is not None:
                self._destination.send(objects)
        except AwayError as error:
            self._unsent[case] += 1
            self._is_away(str(error))
            return
        except RefusedError as error:
            self._is_refused(case, str(error))
            return
        except Exception as error:  # noqa: BLE001  the boundary of one case: counted, tried again
            self._is_refused(case, unexpected(error))
            return
        if self._away:
            LOGGER.info("PACS: answers again after %d failures", self._away)
            self._away, self._not_before = 0, 0.0
        self._refusals.pop(case, None)
        self._unsent.pop(case, None)
        self._home.move(case, "outbox", "done")
        if self._destination is not None:
            self._counters.add("sent")
            self._counters.add("sent_objects", len(objects))
        LOGGER.info(
            "case %s: %s", case, "done" if self._destination is None else "sent to the PACS, done"
        )

    def _pause(self, failures: int) -> float:
        longest = min(self._config.retry_s * 2.0 ** min(failures - 1, 30), self._config.retry_max_s)
        return longest * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311  no secret

    def _is_away(self, code: str) -> None:
        if not self._away:
            self._away_since = self._clock()
        self._away, self._code = self._away + 1, code
        pause = self._pause(self._away)
        self._not_before = self._clock() + pause
        self._counters.add("send_failures")
        LOGGER.warning("PACS: away (%s), next try in %.0f s", code, pause)

    def _is_refused(self, case: str, code: str) -> None:
        count = self._refusals.get(case, (0, 0.0))[0] + 1
        self._counters.add("send_refusals")
        if count < self._config.refusals:
            pause = self._pause(count)
            self._refusals[case] = (count, self._clock() + pause)
            LOGGER.warning(
                "case %s: refused by the PACS (%s), next try in %.0f s", case, code, pause
            )
            return
        self._refusals.pop(case, None)
        self._unsent.pop(case, None)
        record = self._home.record("outbox", case)
        record |= {"reason": REFUSED, "text": "the PACS refused its objects", "detail": code}
        write_synced(self._home.case("outbox", case) / "record.json", record)
        self._home.move(case, "outbox", f"failed/{REFUSED}")
        self._counters.add("failed")
        self._counters.add(f"failed.{REFUSED}")
        LOGGER.error("case %s: failed (%s), refused %d times (%s)", case, REFUSED, count, code)
