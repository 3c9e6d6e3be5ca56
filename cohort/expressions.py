"""Small, safe formulas over the columns of a table, for importers: filters, labels, numbers.

Allowed are column names, numbers, quoted text, lists, ``+ - * /``, comparisons (``==``, ``!=``,
``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``), ``and``, ``or``, ``not``, and
``column.contains("text")``, which ignores upper and lower case. Anything else is refused before
it is evaluated, so a formula from a configuration file can run no code.

With a missing value, ``!=`` and ``not in`` are true, all other comparisons false, and calculations
missing.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from .schema import nearest

if TYPE_CHECKING:
    import pandas as pd

ALLOWED = (
    *(ast.Expression, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UnaryOp, ast.USub, ast.Not),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
    *(ast.BoolOp, ast.And, ast.Or),
)


def evaluate(expression: str, table: pd.DataFrame) -> pd.Series:
    """Evaluate a formula for every row.

    Parameters
    ----------
    expression : str
        For example ``mentions_mass == 1 and tags.contains("specul")``.
    table : DataFrame
        Its columns are the names that the formula may use.

    Raises
    ------
    MammoroiError
        When the formula is none, uses something that is not allowed or a column that does not
        exist, or compares a column of numbers with text or the other way round.
    """
    import pandas as pd

    tree = _Translator(expression, table).visit(_parse(expression))
    try:
        result = table.eval(ast.unparse(ast.fix_missing_locations(tree)), engine="python")
    except (TypeError, ValueError, NotImplementedError, SyntaxError) as error:
        raise MammoroiError(
            f"'{expression}' cannot be evaluated: {error}{_no_number(expression, table)}",
            "calculate with numbers only, written with a point",
        ) from None
    if not isinstance(result, pd.Series):
        raise MammoroiError(f"'{expression}' is the same for every row", "name a column in it")
    return result


def numbers_of(expression: str, table: pd.DataFrame) -> pd.Series:
    """Evaluate a formula that must give numbers; where a column of it is missing, so is the number.

    Raises
    ------
    MammoroiError
        As :func:`evaluate`, and when it gives something else, naming a cell that is no number.
    """
    result = evaluate(expression, table)
    if result.dtype.kind not in "iuf":
        raise MammoroiError(
            f"'{expression}' gives no numbers{_no_number(expression, table)}",
            "calculate with numbers only, written with a point",
        )
    return result


def _no_number(expression: str, table: pd.DataFrame) -> str:
    """Name a cell that is no number among the columns of a formula, as the end of a sentence."""
    import pandas as pd

    for column in columns_of(expression):
        cells = table[column].dropna()
        strange = cells[pd.to_numeric(cells, errors="coerce").isna()]
        if not strange.empty:
            line = int(str(strange.index[0])) + 2
            return f"; {column} is '{strange.iloc[0]}' on line {line}"
    return ""


def columns_of(expression: str) -> list[str]:
    """Name the columns that a formula uses, in order of the alphabet."""
    return sorted({node.id for node in ast.walk(_parse(expression)) if isinstance(node, ast.Name)})


def _parse(expression: str) -> ast.Expression:
    try:
        return ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise MammoroiError(
            f"'{expression}' is no formula: {error}", 'write it like: birads == "5" and age > 40'
        ) from None


class _Translator(ast.NodeTransformer):
    """Refuses what is not allowed and writes ``contains`` as pandas knows it."""

    def __init__(self, expression: str, table: pd.DataFrame) -> None:
        self.expression = expression
        self.table = table

    def generic_visit(self, node: ast.AST) -> ast.AST:
        constant = node.value if isinstance(node, ast.Constant) else ""
        if not isinstance(node, ALLOWED) or type(constant) not in (str, int, float):
            used = ast.unparse(node) or type(node).__name__
            raise MammoroiError(
                f"'{self.expression}' uses {used}, which is not allowed",
                'use columns, comparisons, + - * /, and, or, not, and column.contains("text")',
            )
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self.table:
            raise MammoroiError(
                f"'{self.expression}' names the column '{node.id}', which the table does not have",
                nearest(node.id, [str(column) for column in self.table.columns], "it has"),
            )
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        operands = [node.left, *node.comparators]
        constants = [c for o in operands for c in ast.walk(o) if isinstance(c, ast.Constant)]
        for name in [operand for operand in operands if isinstance(operand, ast.Name)]:
            self.visit(name)
            numeric = self.table[name.id].dtype.kind in "biuf"
            for constant in constants:
                if numeric == isinstance(constant.value, str):
                    holds = "numbers" if numeric else "text"
                    raise MammoroiError(
                        f"'{self.expression}' compares {name.id}, which holds {holds}, "
                        f"with {constant.value!r}",
                        "write numbers without and text with quotation marks",
                    )
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name() as column, attr="contains"),
                args=[ast.Constant(value=str(text))],
                keywords=[],
            ):
                self.visit(column)
                if self.table[column.id].dtype.kind != "O":
                    raise MammoroiError(
                        f"'{self.expression}' looks for text in {column.id}, which holds numbers",
                        f"compare it instead, like: {column.id} == 1",
                    )
                call = f"{column.id}.str.contains({text!r}, case=False, regex=False, na=False)"
                return ast.parse(call, mode="eval").body
        return self.generic_visit(node)
