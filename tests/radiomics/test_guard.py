"""The limits of a case: what crosses them fails with its reason, and nothing else is hit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from mammoroi.errors import MammoroiError
from mammoroi.radiomics.guard import within


def busy(seconds: float) -> str:
    """Works in Python, and swallows what careless code swallows."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        try:
            sum(range(1000))
        except Exception:  # noqa: BLE001
            continue
    return "done"


def test_the_time_limit_stops_only_the_slow_case() -> None:
    started = time.perf_counter()
    with pytest.raises(MammoroiError, match=r"not done after 0\.2 s") as caught:
        within(0.2, lambda: busy(30))
    assert time.perf_counter() - started < 5
    assert "time_limit_s" in caught.value.action
    assert within(5, lambda: busy(0.01)) == within(0, lambda: busy(0.01)) == "done"


def test_threads_have_limits_of_their_own() -> None:
    """As in a Dask worker with several threads."""

    def case(seconds: float) -> str:
        try:
            return within(0.3, lambda: busy(seconds))
        except MammoroiError:
            return "stopped"

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(case, [20, 0.01, 20, 0.01, 0.01]))
    assert found == ["stopped", "done", "stopped", "done", "done"]


def test_a_limit_that_comes_too_late_hits_nobody() -> None:
    """Calls that end at the very moment of their limit end one way or the other, and no later."""
    outcomes = []
    for n in range(300):
        try:
            outcomes.append(within(0.002, partial(busy, 0.002 + (n % 7 - 3) * 1e-4)))
        except MammoroiError:
            outcomes.append("stopped")
        busy(1e-4)
    assert len(outcomes) == 300
    assert threading.active_count() < 20


def test_a_process_that_hangs_in_compiled_code_is_ended() -> None:
    """`pause` never returns, and PyDLL keeps Python's lock: no exception can reach it."""
    program = (
        "import ctypes\n"
        "from mammoroi.radiomics.guard import last_resort\n"
        "with last_resort(20):\n    pass\n"
        "with last_resort(0.2):\n    ctypes.PyDLL(None).pause()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"Timeout" in done.stderr


def test_the_memory_limit_refuses_an_allocation_and_the_process_goes_on() -> None:
    program = (
        "import numpy as np\n"
        "from mammoroi.errors import MammoroiError\n"
        "from mammoroi.radiomics.guard import limited_memory, limit_memory, within\n"
        "large = lambda: np.ones(150_000_000)\n"
        "with limited_memory(0.5):\n"
        "    try:\n        within(0, large)\n"
        "    except MammoroiError as error:\n        print(error)\n"
        "    print(within(0, lambda: np.ones(1000)).sum())\n"
        "print(large().sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert "more memory is needed" in lines[0], done.stderr
    assert "memory_limit_gb" in lines[0]
    assert lines[1:] == ["1000.0", "150000000.0"]
