"""A fitted model on disk, and its use on new patients.

``model.skops`` holds z-score and SVM, reduced to the selected features; ``model.json`` everything
else: ``features`` (name, training median, minimum and maximum, radscore coefficient),
``score_mean`` and ``score_spread`` (:class:`.svm.Scorer`), what ComBat
does to each of them by batch (``harmonisation``: :meth:`.combat.Combat.lines`; null without
ComBat), the sigmoid, threshold, prevalence, how views are combined, the feature preset and its
hash, versions, and the SHA-256 of ``model.skops``. Loading accepts the few types listed in
:data:`ALLOWED_TYPES` and no other, so that a file can hold numbers, never code.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MammoroiError
from ..files import atomic, read_json, sha256_file, write_json
from .calibration import Calibration
from .pipeline import Fit
from .table import check_features, combine_views, feature_names

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

FORMAT = 2
ALLOWED_TYPES = frozenset(
    {
        "builtins.bool",
        "builtins.dict",
        "builtins.float",
        "builtins.int",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "builtins.type",
        "numpy.dtype",
        "numpy.float64",
        "numpy.int32",
        "numpy.int64",
        "numpy.ndarray",
        "sklearn.dummy.DummyClassifier",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.svm._classes.SVC",
    }
)
_LIBRARIES = ("numpy", "scikit-learn", "imbalanced-learn", "skops")


@dataclass(frozen=True)
class Model:
    """A model that was read back.

    Attributes
    ----------
    about : dict
        ``model.json``.
    classifier : Pipeline or DummyClassifier
        z-score and SVM; the dummy where no feature was selected.
    """

    about: dict[str, Any]
    classifier: Any

    def features(self) -> list[str]:
        """Name the features it needs, after views were combined."""
        return [feature["name"] for feature in self.about["features"]]


def save_model(
    folder: Path, fit: Fit, calibration: Calibration, X: pd.DataFrame, about: dict[str, Any]
) -> Path:
    """Write ``model.skops`` and ``model.json``.

    Parameters
    ----------
    folder : Path
        Where to.
    fit : Fit
        The recipe, fitted to all training patients.
    calibration : Calibration
        Its sigmoid.
    X : DataFrame
        Features of the patients it was fitted to, for medians and ranges.
    about : dict
        Further entries of ``model.json``.
    """
    import skops.io
    from sklearn.dummy import DummyClassifier

    path = folder / "model.skops"
    if fit.empty_at:
        y = [0, 1]
        classifier: Any = DummyClassifier(strategy="prior").fit(np.zeros((2, 1)), y)
    else:
        classifier = _reduced(fit)
    with atomic(path) as temporary:
        temporary.write_bytes(_repeatable(skops.io.dumps(classifier)))
    selected = fit.harmonised(X)[fit.selected()]
    combat = fit.steps.get("combat")
    columns = [] if fit.empty_at else fit.indices("lasso").tolist()
    weights = [] if fit.empty_at else fit.steps["lasso"].coef_[fit.steps["lasso"].mask_]
    features = [
        {
            "name": name,
            "median": float(selected[name].median()),
            "minimum": float(selected[name].min()),
            "maximum": float(selected[name].max()),
            "coefficient": float(weight),
        }
        for name, weight in zip(selected, weights, strict=True)
    ]
    return write_json(
        folder / "model.json",
        {
            "format": FORMAT,
            **about,
            "features": features,
            "harmonisation": combat.lines(columns) if combat else None,
            "radscore_intercept": fit.prevalence if fit.empty_at else fit.steps["lasso"].intercept_,
            "score_mean": fit.scorer.mean if fit.scorer else None,
            "score_spread": fit.scorer.spread if fit.scorer else None,
            "calibration": calibration,
            "prevalence": fit.prevalence,
            "outcome": fit.funnel()["outcome"],
            "model_sha256": sha256_file(path),
            "versions": {library: version(library) for library in _LIBRARIES},
        },
    )


def _repeatable(archive: bytes) -> bytes:
    """Write a skops archive so that equal models are equal bytes.

    skops numbers objects by where they lay in memory, and its files have the time. Here they are
    numbered as they come, and dated as those of bundles are.
    """
    with zipfile.ZipFile(BytesIO(archive)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}

    def renumber(node: Any) -> Any:
        if isinstance(node, list):
            return [renumber(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: renumber(value) for key, value in node.items()}
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if node.get("file") in members:
            old = Path(node["file"])
            node["file"] = files.setdefault(old.name, f"{len(files) + 1}{old.suffix}")
        return node

    schema = json.dumps(renumber(json.loads(members.pop("schema.json"))), indent=2)
    written = BytesIO()
    with zipfile.ZipFile(written, "w") as target:
        for name, new in files.items():
            target.writestr(zipfile.ZipInfo(new), members.pop(name))
        target.writestr(zipfile.ZipInfo("schema.json"), schema)
    if members:
        raise ValueError(f"files of a skops archive that nothing names: {', '.join(members)}")
    return written.getvalue()


def load_model(folder: Path) -> Model:
    """Read a model that :func:`save_model` wrote.

    Raises
    ------
    MammoroiError
        When a file is missing, damaged, changed since it was written, of another format, or holds
        a type that is not allowed.
    """
    import skops.io

    about = read_json(folder / "model.json")
    if about.get("format") != FORMAT:
        raise MammoroiError(f"{folder / 'model.json'} is of another format", "fit the model again")
    path = folder / "model.skops"
    if not path.exists():
        raise MammoroiError(f"{path} does not exist", "run the stage 'model'")
    foreign = sorted(types_in(path) - ALLOWED_TYPES)
    if foreign:
        raise MammoroiError(
            f"{path} holds the type {foreign[0]}, which a model of mammoroi never does",
            "do not use this file; get the model from its source again",
        )
    if sha256_file(path) != about["model_sha256"]:
        raise MammoroiError(f"{path} is not the file that model.json describes", "copy both again")
    return Model(about, skops.io.load(path, trusted=[]))


def types_in(path: Path) -> set[str]:
    """List the types that a skops file would create, without creating any.

    Raises
    ------
    MammoroiError
        When it is no skops file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MammoroiError(f"{path} is no skops file: {error}", "copy it again") from None
    return {f"{node['__module__']}.{node['__class__']}" for node in _nodes(schema)}


def predict_risk(
    model_folder: Path, features: pd.DataFrame, batches: pd.Series | None = None
) -> pd.DataFrame:
    """Apply a model to new patients.

    Parameters
    ----------
    model_folder : Path
        ``models/<target>/<roi>``.
    features : DataFrame
        A row for each image: ``image_id, patient_id, view, laterality``, then features made with
        the preset that ``model.json`` names (its hash is for the caller to compare).
    batches : Series, optional
        Each patient's centre or device, by ``patient_id``: needed by a model with ComBat. Features
        of patients of none that it knows (:func:`known_batches`) stay as they are.

    Returns
    -------
    DataFrame
        A row for each patient: ``patient_id, n_images, score, risk, radscore, positive (risk at
        or above the threshold), n_filled (features that were missing and became the training
        median), n_outside (features outside the range seen in training)``.

    Raises
    ------
    MammoroiError
        When the table is no feature table or lacks a feature, or batches are needed and not given.
    """
    return apply_model(load_model(model_folder), features, batches)


def apply_model(
    model: Model, features: pd.DataFrame, batches: pd.Series | None = None
) -> pd.DataFrame:
    """Apply a model that was read already; see :func:`predict_risk`."""
    import pandas as pd

    about, names = model.about, model.features()
    patients = taken_values(model, features, batches)
    values = patients.to_numpy(dtype=np.float64)
    median, minimum, maximum, weight = (
        np.array([feature[key] for feature in about["features"]], dtype=np.float64)
        for key in ("median", "minimum", "maximum", "coefficient")
    )
    missing = ~np.isfinite(values)
    filled = np.where(missing, median, values)
    if names:
        values = model.classifier.decision_function(filled)
        scores = (values - about["score_mean"]) / about["score_spread"]
        risks = Calibration(**about["calibration"]).risk(scores)
        radscores = model.classifier["scale"].transform(filled) @ weight
    else:
        scores = radscores = np.zeros(len(patients))
        risks = np.full(len(patients), about["prevalence"])
    n_images = features.groupby("patient_id").size().loc[patients.index]
    return pd.DataFrame(
        {
            "patient_id": patients.index,
            "n_images": n_images.to_numpy(),
            "score": scores,
            "risk": risks,
            "radscore": radscores + about["radscore_intercept"],
            "positive": risks >= about["threshold"],
            "n_filled": missing.sum(axis=1),
            "n_outside": ((filled < minimum) | (filled > maximum)).sum(axis=1),
        }
    )


def taken_values(
    model: Model, features: pd.DataFrame, batches: pd.Series | None = None
) -> pd.DataFrame:
    """Give the values that a model takes: its features, views combined, moved by ComBat.

    Returns
    -------
    DataFrame
        A row for each patient, indexed by ``patient_id``; what is missing is NaN.

    Raises
    ------
    MammoroiError
        As :func:`predict_risk`.
    """
    import pandas as pd

    about, names = model.about, model.features()
    check_features(features, "the feature table")
    needed = {name.rpartition("@")[0] or name for name in names}
    absent = sorted(needed - set(feature_names(features)))
    if absent:
        raise MammoroiError(
            f"the feature table lacks '{absent[0]}' ({len(absent)} of {len(needed)} are missing)",
            f"extract features with the preset {about.get('preset')}",
        )
    patients = combine_views(features, about["views"])
    values = _moved(patients[names], about, batches)
    return pd.DataFrame(values, index=patients.index, columns=names)


def known_batches(about: dict[str, Any]) -> list[str]:
    """Name the centres or devices that a model's ComBat knows; none without ComBat.

    Parameters
    ----------
    about : dict
        ``model.json``.
    """
    return list(about.get("harmonisation") or {})


def _moved(
    X: pd.DataFrame, about: dict[str, Any], batches: pd.Series | None
) -> NDArray[np.float64]:
    """Give the features as the model takes them, moved by ComBat where it was fitted so."""
    values = X.to_numpy(dtype=np.float64, copy=True)
    known = about.get("harmonisation")
    if not known:
        return values
    if batches is None:
        by = about["settings"]["harmonise_by"]
        raise MammoroiError(
            f"this model was fitted to features harmonised by {by}, and no {by} was given",
            f"give the {by} of each patient, one of: {', '.join(known)}",
        )
    batch = batches.reindex(X.index)
    for name, line in known.items():
        rows = (batch == name).to_numpy()
        values[rows] = values[rows] * np.array(line["slope"]) + np.array(line["offset"])
    return values


def _reduced(fit: Fit) -> Pipeline:
    """Keep z-score and SVM of the selected features only: the same decision values."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    whole = fit.steps["scale"]
    kept = np.flatnonzero(fit.steps["t_test"].mask_)[fit.steps["lasso"].mask_]
    scaler = StandardScaler()
    scaler.mean_, scaler.var_, scaler.scale_ = (
        array[kept] for array in (whole.mean_, whole.var_, whole.scale_)
    )
    scaler.n_features_in_ = len(kept)
    scaler.n_samples_seen_ = whole.n_samples_seen_
    return Pipeline([("scale", scaler), ("svm", fit.scorer.svm if fit.scorer else None)])


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Walk a skops schema for everything that names a class."""
    if isinstance(node, dict):
        if "__class__" in node:
            yield node
        for child in node.values():
            yield from _nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child)
