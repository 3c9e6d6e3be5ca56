"""docs/python.md: what it shows runs, block after block."""

import logging

import pytest

from .documents import ROOT, blocks

BLOCKS = [block for block in blocks(ROOT / "docs" / "python.md") if block.language == "python"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the page's blocks leave, all in one empty folder."""
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        patch.setattr(logging, "basicConfig", lambda **_: None)  # pytest listens as it is
        for block in BLOCKS:
            exec(compile(block.text, "docs/python.md", "exec"), names)
    return names


def test_every_block_runs_and_gives_what_it_says(shown):
    assert len(BLOCKS) == 6
    assert shown["problems"] == []
    assert len(shown["features"]) == 1311
    assert 0.7 < shown["readers"].dice < 1
    assert (len(shown["patients"]), shown["failures"]) == (4, [])
    assert shown["fallen_out"] == 0
    assert shown["lower"] < shown["auc"] < shown["upper"]
    assert shown["difference"].first - shown["difference"].second == pytest.approx(
        shown["difference"].difference
    )
    assert len(shown["curve"]) > 50
    assert 0 < shown["agreement"][0] < 1
