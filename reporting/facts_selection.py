"""What the files say about the selection of features."""

from __future__ import annotations

from . import wording
from .record import Fact, ModelFiles, Record, known, listed, span

_SOURCE = {
    "reader2": "ICC(2,1) between the two readers",
    "perturbation": "ICC(1,1) between the manual masks and their perturbations",
}


def fitted(record: Record) -> list[ModelFiles]:
    """The radiomic models that say how many features each step left."""
    return [model for model in record.models() if model.funnel]


def _left(models: list[ModelFiles], step: str) -> str:
    """How many features a step left, over the models; empty where none reached it."""
    counts = [n for model in models if (n := model.funnel.get(step)) is not None]
    return span(counts) if counts else ""


def stability_filter(record: Record) -> Fact | None:
    """Whether features that depend on the outline were removed, and by what measure."""
    models = fitted(record)
    if not models or any("icc_source" not in model.funnel for model in models):
        return None
    files = tuple(model.file("funnel.json") for model in models)
    sources = {model.funnel["icc_source"] for model in models}
    if sources == {None}:
        other = any(map(record.has, ("features/reader2.json", "stability/perturbed.parquet")))
        why = (
            "too few training patients were outlined more than once"
            if other
            else "there were neither masks of a second reader nor perturbed ones"
        )
        return Fact(f"No filter for stability was applied: {why}.", files, shown=False)
    threshold, file = record.setting("modeling.icc_threshold")
    if len(sources) > 1 or threshold is None:
        return None
    (name,) = sources
    who = "outlined twice" if name == "reader2" else "whose masks were perturbed"
    n = span([model.funnel["icc_patients"] for model in models])
    return Fact(
        f"Features were kept when their {_SOURCE.get(name, name)} exceeded {threshold:g} in the "
        f"{n} training patients {who}; {_left(models, 'stable')} of "
        f"{_left(models, 'extracted')} were left.",
        (*files, file),
    )


def incomplete_features(record: Record) -> Fact | None:
    """How many features were removed that a training patient lacks, or that do not vary."""
    models = [one for one in fitted(record) if one.funnel.get("complete") is not None]
    if not models:
        return None
    removed = span([model.funnel["stable"] - model.funnel["complete"] for model in models])
    if removed == "0":
        return None
    return Fact(
        "Features that were undefined for a training patient, or the same for all, were removed "
        f"({removed}).",
        tuple(model.file("funnel.json") for model in models),
    )


def t_test(record: Record) -> Fact | None:
    """Whether features passed a t-test first; None where the filter was off."""
    recipe, file = record.recipe()
    models, alpha = fitted(record), recipe.get("t_test_alpha")
    if alpha is None or alpha >= 1 or not models or not _left(models, "t_test"):
        return None
    return Fact(
        f"Features went on when Welch's t-test between the classes gave P < {alpha:g}; "
        f"{_left(models, 't_test')} were left.",
        (*(model.file("funnel.json") for model in models), file),
    )


def tuning(record: Record) -> Fact | None:
    """How the penalty, and the SVM's kernel and C where there was a choice, were chosen."""
    recipe, file = record.recipe()
    models = fitted(record)
    wanted = ("n_alphas", "alpha_ratio", "lasso_folds", "lasso_rule")
    if not models or not _left(models, "lasso") or any(name not in recipe for name in wanted):
        return None
    rule = {
        "min": "the one with the smallest squared error",
        "1se": "the largest one within one standard error of the smallest squared error",
    }.get(recipe["lasso_rule"], f"the rule {recipe['lasso_rule']}")
    top = recipe.get("alpha_max")
    start = f"{top:g}" if top else "the smallest one that leaves no feature"
    text = [
        f"The LASSO selected from these: of {recipe['n_alphas']} penalties from {start} down to "
        f"{recipe['alpha_ratio']:g} times that, {rule} in stratified cross-validation within the "
        f"patients being fitted (at most {recipe['lasso_folds']} folds)."
    ]
    kernels, costs = recipe.get("kernels", ()), recipe.get("costs", ())
    if len(kernels) * len(costs) > 1:
        values = f"{min(costs):g} to {max(costs):g}" if len(costs) > 1 else f"{costs[0]:g}"
        text.append(
            f"Kernel ({' or '.join(kernels)}) and C ({values}) of the support vector machine were "
            "chosen on these folds."
        )
    return Fact(" ".join(text), (*(model.file("funnel.json") for model in models), file))


def lasso(record: Record) -> Fact | None:
    """How many features the LASSO left."""
    models = [model for model in fitted(record) if model.funnel.get("lasso") is not None]
    if not models:
        return None
    return Fact(
        f"The LASSO left {_left(models, 'lasso')} features in the final models.",
        tuple(model.file("funnel.json") for model in models),
    )


def funnel(record: Record) -> Fact | None:
    """How many features each step left, by model."""
    steps = {
        "extracted": "extracted", "stable": "stable", "complete": "complete",
        "t_test": "after the t-test", "lasso": "after the LASSO",
    }  # fmt: skip
    recipe, _ = record.recipe()
    if recipe.get("t_test_alpha", 1) >= 1:
        del steps["t_test"]
    models = [model for model in fitted(record) if "extracted" in model.funnel]
    if not models:
        return None
    text = []
    for model in models:
        counts = [
            f"{model.funnel[step]:,} {word}"
            for step, word in steps.items()
            if model.funnel.get(step) is not None
        ]
        text.append(f"{model.name}: {listed(counts)}.")
    return Fact(" ".join(text), tuple(model.file("funnel.json") for model in models))


def events(record: Record) -> Fact | None:
    """How many events there are for how many features, over the models."""
    smaller, candidates, kept, each, files = [], [], [], [], []
    for model in fitted(record):
        train, offered = model.metrics.get("train_out_of_fold", {}), model.funnel.get("extracted")
        if "n_positive" not in train or not offered:
            continue
        n = min(train["n_positive"], train["n"] - train["n_positive"])
        smaller.append(n)
        candidates.append(offered)
        left = model.funnel.get("lasso")
        if left is not None:
            kept.append(left)
        if left:
            each.append(n / left)
        files += [model.file("metrics.json"), model.file("funnel.json")]
    if not smaller:
        return None
    text = (
        f"Over {wording.plural(len(smaller), 'model')}: {span(smaller)} training patients of the "
        f"smaller class, {span(candidates)} candidate features"
    )
    if kept:
        text += f", {span(kept)} selected"
    if each:
        text += f" ({span(each, 1)} patients for each)"
    return Fact(f"{text}.", tuple(files))


def selected_features(record: Record) -> Fact | None:
    """Which features weigh most, and how often the folds selected the same."""
    parts, files = [], []
    for model in record.models():
        table = record.table(model.file("selection.csv"))
        if table is None or table.empty:
            continue
        order = table["coefficient"].abs().sort_values(ascending=False).index
        top = [f"{table['feature'][at]} ({table['coefficient'][at]:.3f})" for at in order[:3]]
        text = f"{model.name}: {wording.plural(len(table), 'feature')}, led by {listed(top)}"
        if "frequency" in table and table["frequency"].notna().any():
            text += (
                f", selected again in a median of {table['frequency'].median():.0%} of the refits"
            )
        parts.append(text)
        files.append(model.file("selection.csv"))
    return Fact(f"Selected features (weight): {'; '.join(parts)}.", tuple(files)) if parts else None


def selection_stability(record: Record) -> Fact | None:
    """How alike the refits selected, by Nogueira's index."""
    models = [
        model
        for model in fitted(record)
        if known((model.funnel.get("stability") or {}).get("value"))
    ]
    if not models:
        return None
    parts = [
        f"{wording.interval(one['value'], one.get('lower'), one.get('upper'))} for {model.name}"
        for model in models
        for one in (model.funnel["stability"],)
    ]
    return Fact(
        "The stability of the selection over the refits (Nogueira's index; 1 is always the same "
        f"features, 0 is chance) was {listed(parts)}.",
        tuple(model.file("funnel.json") for model in models),
    )


def stability_measure(record: Record) -> Fact | None:
    """That the stability of the selection was measured, without the figures."""
    found = selection_stability(record)
    if found is None:
        return None
    return Fact("Stability of the selection is Nogueira's index.", found.files)


def multiplicity(record: Record) -> Fact | None:
    """Whether the features' P values come with a false discovery rate."""
    files = [
        model.file("selection.csv")
        for model in record.models()
        if (table := record.table(model.file("selection.csv"))) is not None
        and "t_q_value" in table
        and table["t_q_value"].notna().any()
    ]
    if not files:
        return None
    return Fact(
        "P values of features come with Benjamini and Hochberg's false discovery rate.",
        tuple(files),
    )


FACTS = (
    stability_filter, incomplete_features, t_test, tuning, lasso, funnel, events,
    selected_features, selection_stability, stability_measure, multiplicity,
)  # fmt: skip
