"""What the note under the table of performance says of single repeats."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from mammoroi.reporting.performance import _single_repeats


def target(aucs: list[float] | None) -> Any:
    found = {} if aucs is None else {"auc_of_repeats": aucs}
    return SimpleNamespace(
        name="sln", results={"manual": SimpleNamespace(metrics={"train_out_of_fold": found})}
    )


def test_the_mean_of_repeats_stands_beside_the_single_ones() -> None:
    text = _single_repeats([target([0.5, 0.6, 0.64])])
    assert text.endswith("(lowest to highest): sln, manual masks 0.58 (0.50 to 0.64).")
    assert "can rank better than the one final model" in text


def test_without_repeats_nothing_is_said() -> None:
    assert _single_repeats([target([0.6])]) == ""
    assert _single_repeats([target(None)]) == ""
