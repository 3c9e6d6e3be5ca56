"""The same figures in history.csv and where they are watched."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv
from mammoroi.segmentation.loggers import build_logger
from mammoroi.segmentation.train import train

from .test_train import TINY, run_fold


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_names_the_extra(
    name: str, tmp_path: Path, without: Callable[..., None]
) -> None:
    without(name, "tensorboardX")
    with pytest.raises(MammoroiError, match=rf"mammoroi\[{name}\]"):
        build_logger(replace(TINY, logger=name), tmp_path)


def test_an_unknown_logger_is_refused_with_the_nearest() -> None:
    with pytest.raises(MammoroiError, match="did you mean 'tensorboard'"):
        replace(TINY, logger="tensorbord")


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="the extra `tensorboard` is missing"
)
def test_tensorboard_shows_what_history_says(study: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    target = run_fold(study, replace(TINY, logger="tensorboard", epochs=2))
    events = EventAccumulator(str(target / "tensorboard"))
    events.Reload()
    history = read_csv(target / "history.csv")
    for name in ("train_loss", "tuning_loss", "tuning_dice"):
        shown = [event.value for event in events.Scalars(name)]
        assert shown == pytest.approx(history[name].tolist(), abs=1e-6)


def test_mlflow_keeps_what_history_says_in_a_database_beside_the_folds(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is missing")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = train(replace(TINY, logger="mlflow", epochs=2, workers=2), study)  # side by side
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mammoroi")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["fold-0", "fold-1"]
    for name, run in runs.items():
        history = read_csv(folder / name / "history.csv")
        for metric in ("train_loss", "tuning_loss", "tuning_dice"):
            kept = [one.value for one in client.get_metric_history(run.info.run_id, metric)]
            assert kept == pytest.approx(history[metric].tolist(), abs=1e-6)
