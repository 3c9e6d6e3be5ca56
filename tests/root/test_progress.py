"""The bar is on the terminal, and never among what is printed."""

from __future__ import annotations

import io
import sys

import pytest

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
