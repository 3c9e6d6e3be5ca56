"""docs/columns.md says what the schema says, and the example tables of docs/study.md obey it."""

import csv
import io
import re

import pytest

from mammoroi.cohort.schema import IMAGE_COLUMNS, PATIENT_COLUMNS, Column

from .documents import ROOT, blocks

TABLES = {"cohort.csv": IMAGE_COLUMNS, "patients.csv": PATIENT_COLUMNS}


def described(column: Column) -> str:
    """The row of docs/columns.md for a column."""
    cells = {
        "choice": ", ".join(f"`{value}`" for value in column.values),
        "integer": f"whole number, {column.minimum:g} to {column.maximum:g}",
        "number": f"{column.minimum:g} to {column.maximum:g} {column.unit}",
        "path": "path of a file",
    }.get(column.kind, "text")
    name = f"**`{column.name}`**" if column.required else f"`{column.name}`"
    empty = "not allowed" if column.required else column.missing
    return f"| {name} | {column.meaning} | {cells} | {empty} |"


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described_as_the_schema_has_it(name):
    page = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    section = page.split(f"## {name}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if re.match(r"\| (\*\*)?`", line)]
    assert rows == [described(column) for column in TABLES[name]]


def test_the_example_tables_of_the_guide_obey_the_schema():
    examples = [block for block in blocks(ROOT / "docs" / "study.md") if block.language == "csv"]
    assert sorted(block.title for block in examples) == 2 * ["cohort.csv"] + 2 * ["patients.csv"]
    for block in examples:
        columns = {column.name: column for column in TABLES[block.title]}
        rows = list(csv.DictReader(io.StringIO(block.text)))
        assert {column.name for column in columns.values() if column.required} <= set(rows[0])
        for row in rows:
            assert None not in row
            for name, cell in row.items():
                column = columns.get(name)
                if column is not None:
                    fault = column.fault(cell) if cell else None
                    assert fault is None
                    assert cell or not column.required
