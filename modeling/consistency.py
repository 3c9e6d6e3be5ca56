"""Whether printed results are arithmetically possible: ``mammoroi consistency``.

Tables are CSV files of printed numbers, read as text so that their digits count; the kind of a
table is known by its columns (docs/consistency.md). The tables of the published study that the
package reproduces are shipped in ``configs/consistency``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort.schema import nearest
from ..errors import MammoroiError
from ..spreadsheet import read_spreadsheet
from . import (
    consistency_counts,
    consistency_performance,
    consistency_regression,
    consistency_selection,
)
from .printed import SEVERITIES, Cells, Finding

if TYPE_CHECKING:
    import pandas as pd

PAPER = Path(__file__).resolve().parent.parent / "configs" / "consistency"
"""Folder of the published tables, with their source in ``source.yaml``."""

CHECKS: Mapping[str, str] = {
    **consistency_performance.CHECKS,
    **consistency_regression.CHECKS,
    **consistency_counts.CHECKS,
    **consistency_selection.CHECKS,
}
"""What each check compares, by its name."""

_REQUIRED = {
    "stated": ("table", "quantity", "value"),
    "selection": ("feature",),
    "counts": ("variable", "level", "total"),
    "performance": ("name",),
    "regression": ("variable",),
}
_ALLOWED = {
    "stated": consistency_selection.STATED_COLUMNS,
    "selection": consistency_selection.COLUMNS,
    "performance": consistency_performance.COLUMNS,
    "regression": consistency_regression.COLUMNS,
}


@dataclass(frozen=True)
class Table:
    """A table of printed results: its name, its kind and its rows."""

    name: str
    kind: str
    rows: tuple[Cells, ...]


def read_tables(paths: Sequence[Path]) -> list[Table]:
    """Read tables; of a folder, all of its CSV files.

    Raises
    ------
    MammoroiError
        When there is no table, two have the same name, or the columns of one are of no kind.
    """
    files = [
        file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])
    ]
    if not files:
        raise MammoroiError(f"no CSV file in {', '.join(map(str, paths))}", "name a table")
    twice = [name for name, n in Counter(file.stem for file in files).items() if n > 1]
    if twice:
        raise MammoroiError(f"two tables have the name {twice[0]}", "rename one of the files")
    return [_read(file) for file in files]


def _read(file: Path) -> Table:
    frame = read_spreadsheet(file).fillna("")
    columns = [str(column) for column in frame.columns]
    kind = next((k for k, names in _REQUIRED.items() if set(names) <= set(columns)), None)
    if kind is None:
        kinds = "; ".join(f"{k}: {', '.join(names)}" for k, names in _REQUIRED.items())
        raise MammoroiError(
            f"{file} has the columns {', '.join(columns)}",
            f"a table needs those of a kind: {kinds}",
        )
    for column in columns if kind in _ALLOWED else ():
        if column not in _ALLOWED[kind]:
            raise MammoroiError(
                f"{file}: no column {column!r} in a table of {kind}",
                nearest(column, _ALLOWED[kind]),
            )
    rows = [dict(zip(columns, map(str, row), strict=True)) for row in frame.to_numpy()]
    if not rows:
        raise MammoroiError(f"{file} has no row", "give at least one")
    return Table(file.stem, kind, tuple(rows))


def paper_source() -> str:
    """Reference of the published tables, with its DOI."""
    import yaml

    source = yaml.safe_load((PAPER / "source.yaml").read_text(encoding="utf-8"))
    return f"{source['source']}, doi:{source['doi']}"


def check_tables(tables: Sequence[Table]) -> list[Finding]:
    """Run every check that the columns of the tables allow.

    Parameters
    ----------
    tables : sequence of Table
        ``stated`` tables are compared with the tables that they name.

    Returns
    -------
    list of Finding
        One for every check of every row, also where nothing was found.

    Raises
    ------
    MammoroiError
        For text that is no number, counts that cannot be, or a statement about no table.
    """
    stated: dict[str, dict[str, consistency_selection.Stated]] = {}
    for table in tables:
        if table.kind == "stated":
            for name, told in consistency_selection.statements(table.rows, table.name).items():
                stated.setdefault(name, {}).update(told)
    about = [table.name for table in tables if table.kind in ("counts", "selection")]
    for name in stated:
        if name not in about:
            raise MammoroiError(f"statements about {name!r}", nearest(name, about))
    findings: list[Finding] = []
    for table in tables:
        findings += _checked(table, stated.get(table.name, {}))
    lists = {table.name: table.rows for table in tables if table.kind == "selection"}
    return [*findings, *consistency_selection.check_pairs(lists)]


def _checked(table: Table, stated: Mapping[str, consistency_selection.Stated]) -> list[Finding]:
    if table.kind == "performance":
        return consistency_performance.check(table.name, table.rows)
    if table.kind == "regression":
        return consistency_regression.check(table.name, table.rows)
    if table.kind == "selection":
        return consistency_selection.check(table.name, table.rows, stated)
    if table.kind == "counts":
        sizes = consistency_counts.group_sizes(table.rows, table.name)
        return [
            *consistency_counts.check(table.name, table.rows),
            *consistency_selection.check_sizes(table.name, sizes, stated),
        ]
    return []


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """All findings, a row each; columns are the fields of :class:`Finding`."""
    import pandas as pd

    columns = [field.name for field in fields(Finding)]
    return pd.DataFrame([vars(finding) for finding in findings], columns=columns)


def summary_lines(tables: Sequence[Table], findings: Sequence[Finding]) -> list[str]:
    """What was found, as plain text: table by table, the worst first, and what is in order."""
    lines = ["", "row: printed | what follows from the other numbers"]
    for table in tables:
        own = [finding for finding in findings if finding.table == table.name]
        if not own:
            continue
        lines += ["", f"{table.name} ({table.kind}, {len(table.rows)} rows)"]
        for severity in SEVERITIES[:-1]:
            for name in dict.fromkeys(f.check for f in own if f.severity == severity):
                lines.append(f"  {severity}, {name}: {CHECKS[name]}")
                lines += [
                    f"      {f.row}: {_pair(f)}"
                    for f in own
                    if (f.severity, f.check) == (severity, name)
                ]
        checks = Counter(finding.check for finding in own)
        well = Counter(finding.check for finding in own if finding.severity == "ok")
        lines.append("  ok: " + ", ".join(f"{c} {well[c]}/{n}" for c, n in checks.items()))
    counts = Counter(finding.severity for finding in findings)
    return [*lines[1:], "", ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES)]


def _pair(finding: Finding) -> str:
    printed = finding.printed or "-"
    return f"{printed} | {finding.implied}" if finding.implied else printed
