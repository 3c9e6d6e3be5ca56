"""What README.md and docs/ tell a user to type works."""

import re
import subprocess

import pytest

from mammoroi.cli import COMMANDS

from .documents import PAGES, ROOT, blocks


def test_every_command_of_the_pages_ends_well(documented):
    assert len(documented.codes) >= 10
    assert set(documented.codes.values()) == {0}, documented.codes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    """Every command of every page is one that exists; make targets are tried with `make -n`."""
    for block in blocks(page):
        if block.language != "bash":
            continue
        for words in block.commands:
            if words[0] == "make":
                subprocess.run(
                    ["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True
                )
            elif words[0].endswith("mammoroi"):
                assert words[1] in COMMANDS, f"{page.name}: {words}"
            else:
                assert words[0] in ("git", "cd", "sudo", "python3"), f"{page.name}: {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
