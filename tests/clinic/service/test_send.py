"""The outbox: pauses that double, one pause for all when the PACS is away, an end to refusals."""

import itertools
import threading

import pytest

from mammoroi.clinic.service.config import DestinationConfig
from mammoroi.clinic.service.destination import AwayError, RefusedError
from mammoroi.clinic.service.home import Home
from mammoroi.clinic.service.log import Counters
from mammoroi.clinic.service.send import Sender


class Pacs:
    def __init__(self):
        self.error, self.calls = None, 0

    def send(self, objects):
        self.calls += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def outbox(tmp_path):
    home = Home(tmp_path / "home")
    for case in ("a" * 16, "b" * 16):
        (home.case("outbox", case) / "out" / "objects").mkdir(parents=True)
        (home.case("outbox", case) / "images").mkdir()
    pacs, now = Pacs(), [0.0]
    config = DestinationConfig(retry_s=2.0, retry_max_s=60.0, refusals=3)
    sender = Sender(home, pacs, config, Counters(), threading.Event(), lambda: now[0])
    return home, pacs, sender, now


def test_while_the_pacs_is_away_it_is_asked_ever_more_seldom(outbox):
    home, pacs, sender, now = outbox
    pacs.error = AwayError("ConnectionError")
    asked = []
    for _ in range(3000):
        before = pacs.calls
        sender.step(threading.Event())
        asked += [now[0]] * (pacs.calls - before)
        now[0] += 0.1
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    for pause, nominal in zip(pauses, (2, 4, 8, 16, 32, 60, 60), strict=False):
        assert 0.8 * nominal <= pause <= 1.2 * nominal + 0.2
    assert sender.state()["away"]["failures"] == len(asked)
    pacs.error = None
    now[0] += 100
    sender.step(threading.Event())
    assert home.cases("outbox") == []
    assert len(home.cases("done")) == 2
    assert sender.state()["away"] == {}


def test_a_case_at_which_the_pacs_stumbles_holds_no_other_up(outbox):
    """It answers as if it were away, to the first case in the outbox alone."""
    home, pacs, sender, now = outbox
    (home.case("outbox", "a" * 16) / "out" / "objects" / "a.dcm").touch()
    sound = pacs.send

    def send(objects):
        if objects:
            raise AwayError("http-500")
        sound(objects)

    pacs.send = send
    for _ in range(2):
        sender.step(threading.Event())
        now[0] += 10
    assert home.cases("outbox") == ["a" * 16]
    assert home.cases("done") == ["b" * 16]
    sender.step(threading.Event())
    assert sender.state()["away"]["code"] == "http-500"


def test_a_case_that_is_refused_is_set_aside_and_the_other_goes(outbox):
    home, pacs, sender, now = outbox
    pacs.error = RefusedError("http-409")
    sender.step(threading.Event())
    assert pacs.calls == 2
    for _ in range(2):
        now[0] += 100
        sender.step(threading.Event())
    assert home.failed() == {"pacs-refused": 2}
    record = home.folder / "failed" / "pacs-refused" / ("a" * 16) / "record.json"
    assert "http-409" in record.read_text()


def test_an_object_that_cannot_be_read_counts_as_refused(outbox):
    home, pacs, sender, now = outbox
    pacs.error = OSError("some path")
    for _ in range(3):
        now[0] += 100
        sender.step(threading.Event())
    assert home.failed() == {"pacs-refused": 2}
