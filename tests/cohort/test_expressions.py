"""Formulas: what they mean, and what they refuse."""

from __future__ import annotations

import pandas as pd
import pytest

from mammoroi.cohort.expressions import columns_of, evaluate
from mammoroi.errors import MammoroiError

TABLE = pd.DataFrame(
    {"n": [1, 2, 3], "x": [0.5, None, 2.0], "tags": ["Speculated mass", 'it\'s `@` "q"', None]}
)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("n == 1", [True, False, False]),
        ("1 < n <= 2", [False, True, False]),
        ("n in [1, 3]", [True, False, True]),
        ("n not in (1, 3)", [False, True, False]),
        ("x > 0", [True, False, True]),
        ('tags.contains("specul")', [True, False, False]),
        ('tags.contains("`@` \\"q")', [False, True, False]),
        ('tags.contains(".*")', [False, False, False]),
        ('n == 3 or tags.contains("MASS") and not n == 2', [True, False, True]),
        ("0.094 * n / 2", [0.047, 0.094, 0.141]),
        ("-n + 1", [0, -1, -2]),
    ],
)
def test_values(formula: str, expected: list[object]) -> None:
    assert evaluate(formula, TABLE).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("formula", "found"),
    [
        ('__import__("os").system("true")', "not allowed"),
        ("tags.str.len()", "not allowed"),
        ("n.__class__", "not allowed"),
        ("tags.contains(n)", "not allowed"),
        ('tags.contains("a", regex=True)', "not allowed"),
        ("(lambda: 1)()", "not allowed"),
        ("[i for i in n]", "not allowed"),
        ("n ** 9", "not allowed"),
        ("n if n else n", "not allowed"),
        ("n == True", "not allowed"),
        ("@n == 1", "no formula"),
        ("n = 1", "no formula"),
        ("n == ", "no formula"),
        ("m == 1", "'m', which the table does not have"),
        ('n == "1"', "holds numbers"),
        ("tags == 1", "holds text"),
        ('n.contains("1")', "holds numbers"),
        ('tags + "x"', "cannot be evaluated"),
        ("1 + 1", "the same for every row"),
    ],
)
def test_refusals(formula: str, found: str) -> None:
    with pytest.raises(MammoroiError, match="^.*" + found):
        evaluate(formula, TABLE)


def test_columns_of() -> None:
    assert columns_of('x > 1 and tags.contains("n")') == ["tags", "x"]
