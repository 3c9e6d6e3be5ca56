"""docs/consistency.md shows what the command prints, and explains every check."""

from mammoroi.cli import main
from mammoroi.modeling.consistency import CHECKS

from .documents import ROOT, blocks

PAGE = ROOT / "docs" / "consistency.md"


def test_page_shows_what_the_command_prints(capsys):
    assert main(["consistency"]) == 3
    (shown,) = (block for block in blocks(PAGE) if block.title == "mammoroi consistency")
    assert shown.text.strip() == capsys.readouterr().out.strip()


def test_page_explains_every_check():
    text = PAGE.read_text(encoding="utf-8").split("## The checks")[1].split("## The published")[0]
    assert [name for name in CHECKS if f"`{name}`" not in text] == []
