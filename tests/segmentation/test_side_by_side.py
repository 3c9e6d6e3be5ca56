"""Calls in processes of which one is killed: the others go on, as many at a time as can be."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

import pytest

from mammoroi.segmentation.side_by_side import processes_beside, side_by_side


def work(folder: Path, number: int) -> tuple[int, int]:
    """Compute for a moment; give the process and how many there are."""
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(0.3)
    return os.getpid(), processes_beside()


def killed_once(folder: Path) -> tuple[int, int]:
    """Be killed the first time."""
    if not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(folder, 0)


def say(name: str) -> None:
    """Log as a training does."""
    logging.getLogger("mammoroi.segmentation.train").info("%s goes on", name)
    logging.getLogger("mammoroi.segmentation.train").warning("%s has found\nnothing", name)


def killed(_: Path) -> None:
    """Be killed whenever it is called."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_after_a_killed_process_half_as_many_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = [(killed_once, (tmp_path,)), *((work, (tmp_path, number)) for number in range(1, 8))]
    results = dict(side_by_side(calls, 4, 1))
    assert sorted(results) == list(range(8))
    after = [result for result in results.values() if result[1] == 2]
    assert len(after) >= 4
    assert len({process for process, _ in after}) == 2
    assert "of 8 go on, 2 at once" in caplog.text
    assert "one at a time" not in caplog.text


def test_one_that_is_killed_again_and_again_costs_the_others_no_more_than_a_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = [(work, (tmp_path, number)) for number in range(1, 8)]
    calls.insert(1, (killed, (tmp_path,)))
    results = dict(side_by_side(calls, 4, 1))
    assert "BrokenProcessPool" in [kind.__name__ for kind in type(results.pop(1)).__mro__]
    assert sorted(results) == [0, *range(2, 8)]
    assert "a process was killed again; 2 go on, one at a time" in caplog.text
    beside = [together for _, together in results.values()]
    assert beside.count(1) == 1  # that which was computed when the process was killed again
    assert beside.count(2) >= 4


def test_what_the_processes_log_is_logged_by_the_one_that_started_them(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else a terminal's bars wipe it out, and what is no warning is never seen."""
    caplog.set_level(logging.INFO, logger="mammoroi")
    list(side_by_side([(say, (f"fold {fold}",)) for fold in range(4)], 2, 1))
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    expected = [("INFO", f"fold {fold} goes on") for fold in range(4)]
    expected += [("WARNING", f"fold {fold} has found\nnothing") for fold in range(4)]
    assert sorted(told) == sorted(expected)
    assert capfd.readouterr().err == ""
