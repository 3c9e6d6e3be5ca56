"""The counters of benchmarks/train_speed.py, with loaders and steps of known length."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "train_speed.py"


@pytest.fixture(scope="module")
def train_speed() -> ModuleType:
    if not BENCHMARK.exists():
        pytest.skip("the benchmarks are not installed with the package")
    sys.path.insert(0, str(BENCHMARK.parent))
    spec = importlib.util.spec_from_file_location("train_speed", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARK.parent))
    return module


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
