"""Which study's networks benchmarks/segmentation_accuracy.py starts from, and what they cost."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mammoroi.files import read_json, write_json
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.folds import network_names
from mammoroi.segmentation.outline import outline_config
from mammoroi.segmentation.prepare import prepare, working_array

TWO = SegmentationConfig(working_spacing_mm=2.0, outline_spacing_mm=1.0)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    if not BENCHMARKS.exists():
        pytest.skip("the benchmarks are not installed with the package")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("segmentation_accuracy")


def finished(out: Path, name: str, config: SegmentationConfig, networks: int) -> Path:
    """A study that is done: its cards and its cost."""
    for network in network_names(2, networks):
        write_json(
            out / name / "segmentation" / network.folder / "model.json", {"settings": config}
        )
    write_json(out / name / "cost.json", {"cpu_s": 100.0 * networks, "wall_s": 50.0, "name": name})
    return out / name


def test_a_study_starts_from_equal_networks_as_many_as_there_are(
    tmp_path: Path, benchmark: ModuleType
) -> None:
    config = SegmentationConfig(epochs=3)
    three = SegmentationConfig(epochs=3, networks_per_fold=3, threshold=0.2)
    assert benchmark.same_networks(three, tmp_path) is None
    one = finished(tmp_path, "one", config, 1)
    finished(tmp_path, "other", SegmentationConfig(epochs=4), 1)
    assert benchmark.same_networks(three, tmp_path) == one
    two = finished(tmp_path, "two", config, 2)
    finished(tmp_path, "four", config, 4)
    assert benchmark.same_networks(three, tmp_path) == two
    assert benchmark.same_networks(config, tmp_path) == one


def test_it_trains_only_the_stage_that_is_missing(tmp_path: Path, benchmark: ModuleType) -> None:
    def networks(folder: Path, config: SegmentationConfig) -> None:
        write_json(folder / "fold-0" / "model.json", {"settings": asdict(config)})

    def study(name: str, config: SegmentationConfig) -> Path:
        networks(tmp_path / name / "segmentation", config)
        if config.outline_spacing_mm is not None:
            outline = tmp_path / name / "segmentation" / "outline"
            networks(outline, outline_config(config))
            write_json(outline / "outline.json", {})
        write_json(tmp_path / name / "cost.json", {})
        return tmp_path / name

    once = replace(TWO, outline_spacing_mm=None)
    small = study("small", once)
    study("another", replace(once, epochs=3))
    coarse = study("coarse", replace(TWO, outline_spacing_mm=1.5))
    # The first stage is that of the recipe of one stage; one with another second stage is not lent.
    assert benchmark.same_networks(TWO, tmp_path) == small
    assert benchmark.missing(TWO, small / "segmentation") == 1
    assert benchmark.missing(TWO, coarse / "segmentation") == 1
    assert benchmark.same_networks(replace(once, threshold=0.7), tmp_path) == small
    assert benchmark.missing(once, small / "segmentation") == 0
    both = study("both", TWO)
    drawn_otherwise = replace(TWO, max_components=3)
    assert benchmark.same_networks(drawn_otherwise, tmp_path) == both
    assert benchmark.missing(drawn_otherwise, both / "segmentation") == 0
    # Further networks are trained beside those that are there.
    assert benchmark.same_networks(replace(once, networks_per_fold=3), tmp_path) == small
    assert benchmark.missing(replace(once, networks_per_fold=3), small / "segmentation") == 2
    assert benchmark.same_networks(replace(TWO, epochs=99), tmp_path) is None


@pytest.mark.parametrize(("networks", "cost"), [(1, 100.0), (2, 107.0)])
def test_the_cost_of_further_networks_is_added(
    tmp_path: Path,
    benchmark: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    networks: int,
    cost: float,
) -> None:
    finished(tmp_path, "one", SegmentationConfig(), 1)
    seen: list[list[str]] = []
    seconds = iter([3.0, 10.0])
    monkeypatch.setattr(benchmark, "cpu_seconds", lambda: next(seconds))
    for name in ("accept", "segment", "agree"):
        monkeypatch.setattr(benchmark, name, lambda *_: None)

    def train(_: SegmentationConfig, study: Path) -> None:
        seen.append(sorted(path.name for path in (study / "segmentation").iterdir()))

    monkeypatch.setattr(benchmark, "train", train)
    config = SegmentationConfig(networks_per_fold=networks, overlays=0)
    benchmark.run(config, tmp_path, tmp_path, "more, of them")
    assert seen == [["fold-0", "fold-1"]]
    told = read_json(tmp_path / "more--of-them" / "cost.json")
    assert (told["cpu_s"], told["name"]) == (cost, "more, of them")


def test_what_the_product_does_to_an_image_can_be_left_out(
    study: Path, benchmark: ModuleType
) -> None:
    config = replace(TWO, outline_spacing_mm=None)
    recipes = importlib.import_module("segmentation_recipes")

    def prepared(*change: Any) -> dict[str, Any]:
        folder = study / "segmentation" / "prepared"
        shutil.rmtree(folder, ignore_errors=True)
        if change:
            benchmark.prepare_otherwise(*change, config, study)
        prepare(config, study)  # what is there is kept
        return {path.stem: np.load(path) for path in folder.glob("*[LR]-*[CO].npy")}

    usual = prepared()
    right = [name for name in usual if "-R-" in name]
    assert right
    as_usual = prepared(lambda _, mapping, limits: (mapping, limits))
    assert all(np.array_equal(as_usual[name], usual[name]) for name in usual)
    as_it_lies = prepared(recipes.as_it_lies)
    for name, array in usual.items():
        turned = array[:, ::-1] if name in right else array
        assert np.array_equal(as_it_lies[name], turned)
    whole = prepared(recipes.whole_picture)
    for name, array in whole.items():
        rows, columns = np.asarray(Image.open(study / f"{name}.png")).shape
        assert array.shape == (round(rows / 2), round(columns / 2))  # pixels of 1 mm become 2 mm
        assert array.size > usual[name].size
    ranges = prepared(recipes.whole_range)
    assert all(ranges[name].mean() != usual[name].mean() for name in usual)
    assert benchmark.preparing.working_array is working_array


def test_recipes_can_be_meant(benchmark: ModuleType) -> None:
    for recipe in benchmark.RECIPES.values():
        SegmentationConfig(**recipe)
    small, two = (
        SegmentationConfig(**benchmark.RECIPES[name])
        for name in ("small", "small, two networks per fold")
    )
    assert two.training() == small.training()
