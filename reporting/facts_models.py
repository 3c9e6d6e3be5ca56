"""What the files say about the classifiers and how they were validated."""

from __future__ import annotations

import json
import zipfile
from typing import Any

from ..errors import MammoroiError
from . import wording
from .facts_selection import fitted
from .record import Fact, ModelFiles, Record, listed, span

_ESTIMATORS = {
    "SVC": "support vector machine", "LogisticRegression": "logistic regression",
    "RandomForestClassifier": "random forest",
}  # fmt: skip
_PARAMETERS = ("kernel", "C", "gamma", "class_weight", "penalty", "l1_ratio", "n_estimators")
_PERIPHERAL = ("lightning", "segmentation-models-pytorch", "SimpleITK", "pydicom", "pandas")
_OF_CLASSIFIERS = ("pyradiomics-bhklab", "imbalanced-learn")
_OF_NETWORKS = ("torch", "monai")
_NO_ESTIMATORS = ("sklearn.pipeline", "sklearn.preprocessing", "sklearn.dummy")


def estimators(record: Record, model: ModelFiles) -> list[tuple[str, str, dict[str, Any]]]:
    """The scikit-learn objects in a model's file: module, class and plain parameters.

    Nothing is loaded: the description inside the file is read.

    Raises
    ------
    MammoroiError
        When the file is there and is no skops file.
    """
    path = record.folder / model.file("model.skops")
    if not path.is_file():
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise MammoroiError(f"{path} is no skops file: {error}", "copy it again") from None
    found = []

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for child in node:
                walk(child)
        elif isinstance(node, dict):
            module = str(node.get("__module__", ""))
            content = node.get("content")
            if module.startswith("sklearn.") and isinstance(content, dict):
                inner = content.get("content")
                given = inner if isinstance(inner, dict) else {}
                found.append((module, str(node["__class__"]), {
                    name: json.loads(value["content"])
                    for name, value in given.items()
                    if isinstance(value, dict) and value.get("is_json")
                }))  # fmt: skip
            for child in node.values():
                walk(child)

    walk(schema)
    return found


def scaling(record: Record) -> Fact | None:
    """Whether the models scale their features."""
    models = [
        model
        for model in record.models()
        if any(name == "StandardScaler" for _, name, _ in estimators(record, model))
    ]
    if not models:
        return None
    return Fact(
        "Features were z-scored within the patients being fitted.",
        tuple(model.file("model.skops") for model in models),
    )


def classifier(record: Record) -> Fact | None:
    """Which classifiers the files hold, with the range of their parameters."""
    given: dict[str, dict[str, list[Any]]] = {}
    files, empty = [], 0
    for model in record.models():
        held = estimators(record, model)
        for module, name, values in held:
            if module.startswith("sklearn.dummy"):
                empty += 1
                files.append(model.file("model.skops"))
            if module.startswith(_NO_ESTIMATORS):
                continue
            files.append(model.file("model.skops"))
            of_kind = given.setdefault(_ESTIMATORS.get(name, name), {})
            for key in _PARAMETERS:
                unused = key == "gamma" and values.get("kernel") == "linear"
                if values.get(key) is not None and not unused:
                    of_kind.setdefault(key, []).append(values[key])
    if empty and not given:
        return Fact(
            "In none of the final models was a feature left: every patient has the prevalence as "
            "risk.",
            tuple(files),
        )
    if not given:
        return None
    kinds = [
        f"{name}s ({', '.join(f'{key} {_values(values)}' for key, values in settings.items())})"
        for name, settings in given.items()
    ]
    text = f"The final models are {listed(kinds)}"
    if empty:
        text += (
            f"; for {empty} of {len(files)} no feature was left, and every patient has the "
            "prevalence as risk"
        )
    return Fact(f"{text}.", tuple(files))


def _values(values: list[Any]) -> str:
    """``0.001 to 1`` of numbers, ``linear and rbf`` of words."""
    if all(isinstance(value, (int, float)) for value in values):
        low, high = min(values), max(values)
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return listed(sorted({str(value) for value in values}))


def class_balance(record: Record) -> Fact | None:
    """How many patients are positive, by set."""
    parts: list[str] = []
    files: list[str] = []
    for model in {one.target: one for one in reversed(record.models())}.values():
        train, test = (model.metrics.get(key, {}) for key in ("train_out_of_fold", "test"))
        if "n_positive" not in train or "n_positive" not in test:
            continue
        shares = [
            f"{wording.share(one['n_positive'], one['n'], name)}"
            for one, name in ((train, "training patients"), (test, "test patients"))
        ]
        parts.insert(0, f"{model.target}: {listed(shares)}")
        files.insert(0, model.file("metrics.json"))
    return Fact(f"Positive were: {'; '.join(parts)}.", tuple(files)) if parts else None


def imbalance(record: Record) -> Fact | None:
    """What was done about classes of unequal size."""
    recipe, file = record.recipe()
    models = fitted(record)
    if not models or "smote" not in recipe:
        return None
    runs = [run for model in models for run in (model.funnel, *model.funnel.get("folds", []))]
    used = sorted({run["smote_neighbours"] for run in runs if run.get("smote_neighbours")})
    done = []
    if used:
        done.append(
            "synthetic patients (SMOTE, "
            f"{span(used)} neighbours) of the smaller class, made from the patients being fitted "
            "and used only to fit the support vector machine"
        )
    if recipe.get("class_weights"):
        done.append("weights by the inverse of the class's frequency")
    text = (
        f"Classes of unequal size were balanced by {listed(done)}."
        if done
        else "Classes were neither resampled nor weighted."
    )
    return Fact(text, (*(model.file("funnel.json") for model in models), file))


def risk_calibration(record: Record) -> Fact | None:
    """How scores became risks."""
    models = [model for model in record.models() if model.about.get("calibration")]
    if not models:
        return None
    return Fact(
        "Scores became risks by a sigmoid (Platt), fitted to patients unseen by the scoring model.",
        tuple(model.file("model.json") for model in models),
    )


def threshold(record: Record) -> Fact | None:
    """From which risk on a patient is called positive."""
    models = [model for model in record.models() if model.metrics.get("threshold") is not None]
    if not models:
        return None
    cuts = span([model.metrics["threshold"] for model in models], 3)
    return Fact(
        "Patients were called positive from the risk that maximises Youden's index out of fold in "
        f"the training patients ({cuts}). Out of fold it was, for each patient, the mean of the "
        "thresholds that her folds' models had by the inner folds, without her.",
        tuple(model.file("metrics.json") for model in models),
    )


def inside_folds(record: Record) -> Fact | None:
    """That whole models were refitted in the folds, counted in the files."""
    splits, models = record.json("splits.json"), fitted(record)
    if not splits or not models:
        return None
    repeats = {int(model.metrics.get("repeats", 1)) for model in models}
    fits = {len(model.funnel.get("folds", [])) for model in models}
    n_folds = len(splits["folds"])
    if len(repeats) > 1 or fits != {n_folds * max(repeats)}:
        return None
    (n,) = repeats
    often = f" ({n} repeats with new folds)" if n > 1 else ""
    mean = "; risks are means over the repeats, which can rank better than one model" * (n > 1)
    text = (
        "Selection, scaling, classifier and calibration were fitted anew on the training patients "
        f"alone of each of the {n_folds} folds{often}{mean}."
    )
    if all(model.metrics.get("all_out_of_fold") for model in models):
        text += " The same was done over all patients."
    return Fact(
        text,
        ("splits.json", *(model.file("funnel.json") for model in models)),
    )


def final_model(record: Record) -> Fact | None:
    """On how many patients the final models were fitted."""
    models = [model for model in record.models() if "n_train" in model.about]
    if not models:
        return None
    n = span([model.about["n_train"] for model in models])
    return Fact(
        f"Final models were fitted likewise to all {n} training patients with label and features, "
        "never to test patients.",
        tuple(model.file("model.json") for model in models),
    )


def left_out(record: Record) -> Fact | None:
    """Which patients the models left out, and why."""
    rows = record.json("models/cases.json")
    if not rows:
        return None
    reasons = {
        "without_label": "left out for want of a label",
        "without_features": "left out for want of features",
        "missed": "given the prevalence as risk, since automatic masks measured nothing",
    }
    lost = []
    for key, words in reasons.items():
        counts = [row[key] for row in rows]
        if any(counts):
            lost.append(f"{span(counts)} {words}")
    text = f"Of {rows[0]['patients']} patients, over the models: {listed(lost)}."
    return Fact(text if lost else "No patient was left out of a model.", ("models/cases.json",))


def predictions(record: Record) -> Fact | None:
    """How a risk is calculated for a new patient."""
    models = [
        model
        for model in record.models()
        if "features" in model.about and record.has(model.file("model.skops"))
    ]
    if not models:
        return None
    return Fact(
        "A risk is calculated from model.skops (scaling and classifier) and model.json (features "
        "in order, how a patient's images are combined, sigmoid, threshold); `mammoroi infer` does "
        "so for new mammograms.",
        tuple(model.file(name) for model in models for name in ("model.json", "model.skops")),
    )


def model_files(record: Record) -> Fact | None:
    """Which files hold the models, with their digests."""
    models = [model for model in record.models() if model.about.get("model_sha256")]
    if not models:
        return None
    parts = [
        f"{model.file('model.skops')} (SHA-256 {model.about['model_sha256'][:12]}...)"
        for model in models
    ]
    return Fact(
        f"The final models, whole, are {listed(parts)}, each with its model.json.",
        tuple(model.file("model.json") for model in models),
    )


def software(record: Record) -> Fact | None:
    """Versions of everything."""
    run = record.json("run.json") or {}
    if "mammoroi" not in run:
        return None
    unused = _PERIPHERAL if record.classifiers else (*_PERIPHERAL, *_OF_CLASSIFIERS)
    unused = (*unused, *_OF_NETWORKS) if "segmentation" in record.unused else unused
    names = {name: version for name, version in run.get("versions", {}).items()
             if version != "not installed" and name not in unused}  # fmt: skip
    parts = [f"Python {run['python']}"] if run.get("python") else []
    parts += [f"{name} {version}" for name, version in names.items()]
    text = f"The analysis was made with mammoroi {run['mammoroi']}"
    text += f" ({', '.join(parts)})" if parts else ""
    seeds = {room: seed for room, seed in run.get("seeds", {}).items() if room not in record.unused}
    if seeds:
        text += f"; seeds: {listed([f'{name} {seed}' for name, seed in seeds.items()])}"
    return Fact(f"{text}. All settings and versions stand in run.json.", ("run.json",))


FACTS = (
    scaling, classifier, class_balance, imbalance, risk_calibration, threshold, inside_folds,
    final_model, left_out, predictions, model_files, software,
)  # fmt: skip
