"""Networks are trained where there are no mammograms, and are known again at home."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

from mammoroi.cli import main
from mammoroi.files import read_json
from mammoroi.segmentation.cases import map_cases
from mammoroi.segmentation.weights import load_models

from .conftest import write_study

SETTINGS = """
out: study
cohort: {folder: cohort, n_folds: 2, stratify: []}
segmentation:
  working_spacing_mm: 3.0
  outline_spacing_mm: 2.0
  outline_patch: [32, 32]
  channels: [2, 2, 2, 4, 4]
  epochs: 1
  batch_size: 4
  tuning_fraction: 0.3
  accelerator: cpu
  workers: 1
"""


def digests(study: Path) -> list[str]:
    folders = (study / "segmentation", study / "segmentation" / "outline")
    return [model.sha256 for folder in folders for model in load_models(folder)]


def where(_: int) -> Path:
    return Path.cwd()


def test_arrays_lie_in_the_study_wherever_worker_processes_were_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    cohort = write_study(home / "cohort", patients=8, test=2, folds=2)
    names = "".join(f"P{number:02d}\n" for number in range(8))
    (cohort / "patients.csv").write_text(f"patient_id\n{names}")
    (home / "my.yaml").write_text(SETTINGS.replace("workers: 1", "workers: 2"))
    elsewhere.mkdir()
    monkeypatch.setattr("mammoroi.segmentation.cases._CASES_PER_PROCESS", 1)
    monkeypatch.chdir(home)
    assert main(["accept", "my.yaml"]) == 0
    get_reusable_executor().shutdown()
    monkeypatch.chdir(elsewhere)
    cases = [(str(number), (number,)) for number in range(4)]
    assert set(map_cases(where, cases, "x", "Looking", 2)) == {elsewhere}
    monkeypatch.chdir(home)
    assert main(["prepare", "my.yaml"]) == 0
    assert len(list((home / "study" / "segmentation" / "prepared").glob("*-CC.npy"))) == 8
    assert not list(elsewhere.iterdir())
    get_reusable_executor().shutdown()


def test_a_machine_without_mammograms_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, box = tmp_path / "home", tmp_path / "box"
    cohort = write_study(home / "cohort", patients=8, test=2, folds=2)
    names = "".join(f"P{number:02d}\n" for number in range(8))
    (cohort / "patients.csv").write_text(f"patient_id\n{names}")
    (home / "my.yaml").write_text(SETTINGS)
    monkeypatch.chdir(home)
    assert main(["accept", "my.yaml"]) == 0
    removed = home / "cohort" / "P01-R-CC.png"
    removed.rename(tmp_path / "removed.png")
    assert main(["prepare", "my.yaml"]) == 3
    assert "failures.csv: 1 lines" in capsys.readouterr().err
    (tmp_path / "removed.png").rename(removed)
    assert main(["prepare", "my.yaml"]) == 0
    assert "then train --prepared" in capsys.readouterr().out

    shutil.copytree(home / "study" / "segmentation", box / "study" / "segmentation")
    shutil.copy(home / "study" / "splits.json", box / "study")
    shutil.copy(home / "my.yaml", box)
    monkeypatch.chdir(box)
    assert main(["train", "my.yaml", "--prepared"]) == 0
    made = digests(box / "study")
    assert len(made) == 4

    shutil.rmtree(home / "study" / "segmentation")
    shutil.copytree(box / "study" / "segmentation", home / "study" / "segmentation")
    monkeypatch.chdir(home)
    assert main(["train", "my.yaml"]) == 0
    assert digests(home / "study") == made
    assert main(["segment", "my.yaml"]) == 0
    record = read_json(home / "study" / "run.json")["stages"][-1]
    counts = record["used"] + record["missed"], record["failed"]
    assert (record["stage"], *counts) == ("segment", 16, 0)
