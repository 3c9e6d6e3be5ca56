"""Reads README.md and docs/ as a user would: which files to write, which commands to type."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import mammoroi

ROOT = Path(mammoroi.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)?([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title (a file's name) and its text."""

    language: str
    title: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a bash block, each split into words; comments are left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: Path) -> list[Block]:
    found = []
    for language, rest, text in FENCE.findall(page.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]+)"', rest)
        found.append(Block(language, title.group(1) if title else "", text))
    return found
