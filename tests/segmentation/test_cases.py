"""Many cases in several processes, of which one is killed."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from mammoroi.errors import Failure
from mammoroi.segmentation import cases
from mammoroi.segmentation.cases import map_cases


def doubled(number: int, here: int) -> int:
    """Kill the process for 7, as a library that crashes on a file does; fail for 9."""
    if number == 7:
        assert os.getpid() != here
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 9:
        raise ValueError("nine")
    return 2 * number


def test_a_case_that_kills_its_process_is_a_failure_and_takes_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cases, "_CASES_PER_PROCESS", 5)
    given = [(f"case {number}", (number, os.getpid())) for number in range(14)]
    results: list[Any] = list(map_cases(doubled, given, "prepare", "Preparing", 2))
    failures = {n: result for n, result in enumerate(results) if isinstance(result, Failure)}
    assert [result for n, result in enumerate(results) if n not in failures] == [
        2 * n for n in range(14) if n not in (7, 9)
    ]
    assert failures.keys() == {7, 9}
    assert failures[7].case == "case 7"
    assert failures[7].error == "its process was killed, also when it ran alone"
    assert failures[9].error == "ValueError: nine"
    assert "tried one at a time" in caplog.text
