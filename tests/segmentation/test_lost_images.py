"""An image that is lost once the cohort was accepted: named, and counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammoroi import study as whole
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.config import CohortConfig
from mammoroi.errors import MammoroiError
from mammoroi.fallen_out import fallen_out_lines
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.prepare import prepare
from mammoroi.stages import StudyConfig
from mammoroi.study import run_study

TINY = SegmentationConfig(
    working_spacing_mm=2.0, channels=(4, 4, 8, 8, 8), epochs=1, accelerator="cpu", workers=1
)


@pytest.fixture
def accepted(study: Path, tmp_path: Path) -> tuple[StudyConfig, str, Path]:
    """A study whose cohort was accepted, an image's name and its file."""
    names = read_csv(study / "patients.csv")[["patient_id"]]  # other values are not standard ones
    names.to_csv(study / "patients.csv", index=False)
    config = StudyConfig(
        out=tmp_path / "out",
        cohort=CohortConfig(folder=study, n_folds=2, stratify=()),
        segmentation=TINY,
    )
    assert run_study(config, only="accept") == 0
    cohort = load_cohort(config.out)
    row = cohort.images.iloc[0]
    return config, row["image_id"], cohort.path(row["image"])


def records(out: Path) -> dict[str, dict[str, int]]:
    return {stage["stage"]: stage for stage in read_json(out / "run.json")["stages"]}


def test_the_train_stage_counts_and_names_it(accepted: tuple[StudyConfig, str, Path]) -> None:
    config, name, image = accepted
    image.unlink()
    assert run_study(config, only="train") == 1  # so that the command ends with code 3
    train = records(config.out)["train"]
    assert (train["cases_in"], train["used"], train["failed"]) == (20, 19, 1)
    told = f"  {name}: {image} does not exist -> correct the path or restore the file"
    assert told in fallen_out_lines(config.out)
    assert run_study(config, only="segment") == 1
    assert fallen_out_lines(config.out).count(told) == 1


def test_a_whole_study_counts_it_once(
    accepted: tuple[StudyConfig, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, image = accepted

    def refuse(path: Path) -> None:
        if path == image:
            raise MammoroiError(f"{path} cannot be read", "restore it")

    monkeypatch.setattr("mammoroi.segmentation.prepare.identify", refuse)
    monkeypatch.setattr(whole, "STAGES", whole.STAGES[:3])
    assert run_study(config) == 1
    done = records(config.out)
    assert done["train"]["failed"] == done["segment"]["failed"] == 1
    assert run_study(config) == 1


def test_a_missing_mask_is_named(study: Path) -> None:
    mask = load_cohort(study).path(load_cohort(study).images.iloc[-1]["mask"])
    mask.unlink()
    (row,) = read_csv(prepare(TINY, study) / "failures.csv").to_dict("records")
    assert row["error"] == f"{mask} does not exist"
    assert row["action"] == "correct the path or restore the file"
