"""The counters of benchmarks/train_speed.py, with loaders and steps of known length."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fit import patch_within

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "train_speed.py"


def benchmark(file: Path) -> ModuleType:
    if not file.exists():
        pytest.skip("the benchmarks are not installed with the package")
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


@pytest.fixture(scope="module")
def train_speed() -> ModuleType:
    return benchmark(BENCHMARK)


class Sleeping:
    """A loader of 12 batches of 4 images, each of which takes a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 12

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(12):
            time.sleep(self.seconds)
            yield [0] * 4


@pytest.mark.parametrize(("loading_s", "step_s"), [(0.03, 0.01), (0.01, 0.03), (0.0, 0.02)])
def test_a_loader_that_sleeps_is_waited_for(
    train_speed: ModuleType, loading_s: float, step_s: float
) -> None:
    counter = train_speed.Counter(warm_up=2, steps=8)
    counter.begin()
    for batch in train_speed.Watched(Sleeping(loading_s), counter):
        time.sleep(step_s)
        counter.ended(len(batch))
    found = counter.result()
    assert counter.images == 8 * 4
    # Sleeping is at least as long as asked for; on a busy machine both sleep longer.
    assert counter.wall_s >= 8 * (loading_s + step_s)
    assert counter.waited_s >= 8 * loading_s
    assert found["waiting"] == pytest.approx(loading_s / (loading_s + step_s), abs=0.15)
    assert found["images_per_s"] == pytest.approx(32 / counter.wall_s)
    assert found["images_per_cpu_s"] > found["images_per_s"]


def test_warm_up_and_what_comes_after_are_not_counted(train_speed: ModuleType) -> None:
    counter = train_speed.Counter(warm_up=3, steps=2)
    counter.begin()
    for _ in range(9):
        counter.waited(1.0)
        counter.ended(5)
    assert counter.images == 10
    assert counter.waited_s == 2.0


def test_one_batch_is_given_as_often_as_steps_need(train_speed: ModuleType) -> None:
    loader = train_speed.OneBatch("batch", size=4, length=3)
    assert list(train_speed.Watched(loader, train_speed.Counter(0, 1))) == ["batch"] * 3
    assert len(loader.sampler) == 12


def test_ways_share_a_process_on_a_gpu_alone(train_speed: ModuleType) -> None:
    limit, host, device, compiled, nnunet_limit, nnunet = train_speed.WAYS.values()
    every = list(train_speed.WAYS.values())
    assert train_speed.processes(every, "cpu") == [[way] for way in every]
    together = [[limit, host, device], [compiled], [nnunet_limit, nnunet]]
    assert train_speed.processes(every, "cuda") == together
    assert train_speed.processes([nnunet, device], "cuda") == [[device], [nnunet]]


def test_a_preset_is_measured_with_its_own_patch_on_images_that_are_smaller(
    train_speed: ModuleType,
) -> None:
    index = pd.DataFrame({"working_rows": [650, 500], "working_columns": [280, 289]})
    for patch, canvas in (((640, 448), [656, 448]), ((1024, 640), [1024, 640]), (None, [656, 304])):
        config = SegmentationConfig(patch=patch)
        assert train_speed.plan_of(config, index)["canvas"] == canvas
        assert patch_within(config, tuple(canvas)) == patch


def test_folds_are_trained_on_the_pixels_of_the_phantoms(tmp_path: Path) -> None:
    check = benchmark(BENCHMARK.with_name("gpu_check.py"))
    made = check.inputs(tmp_path, 4)["phantoms"]
    folds = check.steps(tmp_path, tmp_path)["folds"]
    spacings = {given[given.index("--spacing-mm") + 1] for given in (made, folds)}
    assert len(spacings) == 1


@pytest.mark.slow
def test_folds_speed_runs_as_it_is(train_speed: ModuleType, tmp_path: Path) -> None:
    study = train_speed.make_study(tmp_path / "study", 8, 1.6)
    script = BENCHMARK.with_name("folds_speed.py")
    command = [sys.executable, str(script), str(study), "--spacing-mm", "1.6", "--epochs", "1"]
    command += ["--accelerator", "cpu", "--batch", "2", "--together", "1", "--out"]
    subprocess.run([*command, str(tmp_path / "folds.csv")], check=True, timeout=900)
    assert train_speed.read_csv(tmp_path / "folds.csv")["folds"].tolist() == [4]


def test_all_tests_that_need_a_gpu_are_where_the_check_looks(train_speed: ModuleType) -> None:
    check = BENCHMARK.with_name("gpu_check.py").read_text("utf-8")
    marked = {
        path.name
        for path in Path(__file__).parents[1].rglob("test_*.py")
        if "pytest.mark." + "gpu" in path.read_text("utf-8")
    }
    assert len(marked) == 1
    assert f'"{marked.pop()}"' in check


@pytest.mark.slow
def test_it_runs_as_it_is(train_speed: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "speed.csv"
    command = [sys.executable, str(BENCHMARK), "--patients", "8", "--spacing-mm", "1.6"]
    command += ["--patch", "64", "64", "--batch", "2", "--steps", "2", "--out", str(out)]
    subprocess.run([*command, "--warm-up", "1", "--device", "cpu"], check=True, timeout=900)
    table = train_speed.read_csv(out)
    assert {train_speed.LIMIT, train_speed.HOST, train_speed.DEVICE} <= set(table["way"])
    assert (table["images_per_s"] > 0).all()
    assert table["waiting"].between(0, 1).all()
    waiting = table.set_index("way")["waiting"]
    assert waiting[train_speed.LIMIT] < 0.01 < waiting[train_speed.HOST]
