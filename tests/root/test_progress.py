"""The bar is on the terminal, and never among what is printed."""

from __future__ import annotations

import io
import logging
import sys
from itertools import count
from types import SimpleNamespace

import pytest

from mammoroi import progress
from mammoroi.progress import with_bar


class Terminal(io.StringIO):
    """Standard error of whoever types a command."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_what_is_printed_can_go_into_a_file(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    errors = stream()
    monkeypatch.setattr(sys, "stderr", errors)
    assert list(with_bar(iter("abc"), "Reading", 3)) == ["a", "b", "c"]
    assert "Reading" in errors.getvalue() if errors.isatty() else errors.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_a_log_gets_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    clock = count(0.0, 25.0)  # every look at the clock, 25 s later
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with caplog.at_level(logging.INFO):
        assert list(with_bar(range(7), "Fitting", 7)) == list(range(7))
    assert [line.getMessage() for line in caplog.records] == ["Fitting: 3 of 7", "Fitting: 6 of 7"]
