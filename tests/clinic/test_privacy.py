"""Keyed hashes, and libraries that do not quote what they read."""

import hashlib
import hmac
import logging
import subprocess
import sys
import warnings

import pytest
from pydicom.dataset import Dataset

from mammoroi.clinic.privacy import new_key, pseudonym, read_key, values_hidden
from mammoroi.errors import MammoroiError

QUOTES = """
import logging, sys, warnings
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from mammoroi.clinic.privacy import hide_values
if sys.argv[1] == "hide":
    hide_values()
    hide_values()
from pydicom.dataset import Dataset
Dataset().PatientBirthDate = "SECRET 1960"
warnings.warn("of our own, which stays")
"""


def test_a_pseudonym_is_rfc_2104():
    key = bytes(range(32))
    assert pseudonym(" P001 ", key) == hmac.new(key, b"P001", hashlib.sha256).hexdigest()[:16]
    assert pseudonym("P001", key) != pseudonym("P001", bytes(32))
    assert len(pseudonym("P001", key, 40)) == 40


def test_keys_are_random_and_whole(tmp_path):
    keys = [read_key(new_key(tmp_path / name)) for name in "ab"]
    assert keys[0] != keys[1]
    assert {len(key) for key in keys} == {32}
    (tmp_path / "short").write_text("ab" * 31)
    with pytest.raises(MammoroiError, match="holds no key"):
        read_key(tmp_path / "short")


@pytest.mark.parametrize(("mode", "shown"), [("hide", False), ("show", True)])
def test_warnings_of_libraries_lose_their_values(mode, shown):
    """In a process of its own, since warnings are shown once; `show` proves that there is one."""
    words = [sys.executable, "-c", QUOTES, mode]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    printed = done.stdout + done.stderr
    assert ("SECRET" in printed) == shown
    assert "of our own, which stays" in printed
    if not shown:
        assert printed.count("its value is not shown") == 1


def test_within_a_block_nothing_is_quoted_and_after_it_all_is_as_before(caplog):
    level = logging.getLogger("pydicom").level
    with values_hidden(), caplog.at_level(logging.DEBUG, logger="mammoroi"):
        Dataset().PatientBirthDate = "SECRET 1960"
    assert caplog.text == ""
    assert logging.getLogger("pydicom").level == level
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Dataset().PatientBirthDate = "SECRET 1960"
    assert "SECRET" in str(caught[0].message)
