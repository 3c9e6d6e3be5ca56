"""Workers of this machine and of a Dask cluster, some of which die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.errors import MammoroiError
from mammoroi.radiomics import cluster, pool
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.extract import extract
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.radiomics.pool import in_processes

PRESET = """
setting: {binWidth: 25}
imageType: {Original: {}, Wavelet: {}}
featureClass: {shape2D: , firstorder: , glcm: }
"""


def square(deadly: set[int]) -> Callable[[int], int]:
    """A function that travels by value: workers need not import this module."""

    def squared(number: int) -> int:
        import os

        if number in deadly:
            os.kill(os.getpid(), 9)
        if number == 5:
            raise ValueError("five")
        return number**2

    return squared


def test_a_process_that_dies_takes_no_other_item_with_it() -> None:
    """7 kills its process, 5 raises: only these two have no square."""
    found = dict(in_processes(square({7}), range(12), workers=2))
    assert sorted(found) == list(range(12))
    assert isinstance(found[5], ValueError)
    assert isinstance(found[7], MammoroiError)
    assert "killed twice" in found[7].found
    assert all(found[number] == number**2 for number in found if number not in (5, 7))


def test_processes_that_always_die_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "DEATHS_IN_A_ROW", 2)
    with pytest.raises(MammoroiError, match="2 processes in a row were killed"):
        list(in_processes(square(set(range(50))), range(50), workers=2))


def make_study(folder: Path, n_images: int) -> Path:
    """A study of small phantoms; every mask is the phantom's disc."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    ids = [f"I{number:03d}" for number in range(n_images)]
    for seed, image_id in enumerate(ids):
        mammogram, mask = textured_phantom(seed=seed)
        Image.fromarray(mammogram.pixels.astype(np.uint16)).save(
            folder / "images" / f"{image_id}.png"
        )
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / f"{image_id}.png")
    images = {
        "image_id": ids,
        "patient_id": ids,
        "view": "CC",
        "laterality": "L",
        "image": [f"images/{image_id}.png" for image_id in ids],
        "mask": [f"masks/{image_id}.png" for image_id in ids],
        "spacing_mm": 0.5,
    }
    pd.DataFrame(images).to_csv(folder / "cohort.csv", index=False)
    pd.DataFrame({"patient_id": ids}).to_csv(folder / "patients.csv", index=False)
    (folder / "own.yaml").write_text(PRESET)
    return folder


@pytest.fixture(scope="module")
def local_cluster() -> Iterator[object]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as started:
        yield started


def test_dask_with_a_killed_worker_gives_the_same_bytes(
    tmp_path: Path, local_cluster: object
) -> None:
    study = make_study(tmp_path / "study", 40)
    preset = str(study / "own.yaml")
    extract(RadiomicsConfig(preset=preset, workers=2), study)
    table = study / "features" / "manual.parquet"
    alone = table.read_bytes(), table.with_suffix(".json").read_bytes()
    for record in (study / "features" / "cache").rglob("*.npz"):
        record.unlink()
    table.unlink()

    killed = []
    run_jobs = cluster.on_cluster

    def with_a_murder(*arguments: object) -> Iterator[object]:
        for number, outcome in enumerate(run_jobs(*arguments)):
            if number == 5:
                victim = next(iter(local_cluster.workers.values()))
                killed.append(victim.pid)
                os.kill(victim.pid, signal.SIGKILL)
            yield outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "on_cluster", with_a_murder)
        address = local_cluster.scheduler_address
        extract(RadiomicsConfig(preset=preset, dask=address), study)
    assert killed
    assert (table.read_bytes(), table.with_suffix(".json").read_bytes()) == alone


def test_a_dask_worker_that_cannot_see_the_files_fails_by_name(
    tmp_path: Path, local_cluster: object
) -> None:
    study = make_study(tmp_path / "study", 2)
    (study / "images" / "I001.png").unlink()
    address = local_cluster.scheduler_address
    extract(RadiomicsConfig(preset=str(study / "own.yaml"), dask=address), study)
    failures = pd.read_csv(study / "features" / "failures.csv")
    assert failures["case"].tolist() == ["I001"]
    assert "does not exist on the worker" in failures["error"][0]
    assert len(pd.read_parquet(study / "features" / "manual.parquet")) == 1


def test_a_case_that_kills_every_dask_worker_is_given_up(
    local_cluster: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_require_equal", lambda client: None)
    call = square({4})
    found = dict(cluster.on_cluster(call, [1, 4, 5], local_cluster.scheduler_address))
    assert found[1] == 1
    assert "workers died" in found[4].found
    assert isinstance(found[5], ValueError)


def other_elsewhere(here: int) -> dict[str, str]:
    return {"numpy": "2.0" if os.getpid() == here else "1.0"}


def test_no_scheduler_and_other_versions(
    local_cluster: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.5)
    with pytest.raises(MammoroiError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        next(cluster.on_cluster(str, [1], "tcp://127.0.0.1:9"))
    monkeypatch.setattr(cluster, "environment", partial(other_elsewhere, os.getpid()))
    with pytest.raises(MammoroiError, match=r"has numpy 1\.0, this process 2\.0"):
        next(cluster.on_cluster(str, [1], local_cluster.scheduler_address))
