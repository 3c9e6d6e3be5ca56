"""What the files say about comparisons: of masks, of models, of features."""

from __future__ import annotations

from . import wording
from .record import Fact, Record, listed, span


def paired_comparison(record: Record) -> Fact | None:
    """Whether models from manual and automatic masks were compared on the same patients."""
    table = record.table("comparison/auc.csv")
    if table is None or table.empty or table["p_delong"].isna().all():
        return None
    about = record.json("comparison/summary.json") or {}
    text = (
        "Classifiers from manual and automatic masks were compared on the same patients by "
        "DeLong's paired test"
    )
    files = ["comparison/auc.csv"]
    if "n_bootstrap" in about:
        text += f" and {about['n_bootstrap']} paired bootstrap samples"
        files.append("comparison/summary.json")
    text += ", without correction for multiplicity"
    rules = about.get("rules")
    if rules:
        names = [name.replace("_", " ") for name in rules]
        text += f"; missed lesions: {listed(names)}"
    return Fact(f"{text}.", tuple(files))


def missed_rules(record: Record) -> Fact | None:
    """How patients whose lesion was missed are counted."""
    rules = (record.json("comparison/summary.json") or {}).get("rules")
    if not rules:
        return None
    texts = [f"({name.replace('_', ' ')}) {words}" for name, words in rules.items()]
    return Fact(f"Missed lesions: {' '.join(texts)}", ("comparison/summary.json",))


def comparison_results(record: Record) -> Fact | None:
    """The differences in test AUC."""
    table = record.table("comparison/auc.csv")
    if table is None:
        return None
    rows = table[(table["set"] == "test") & table["difference"].notna()]
    parts = [
        f"{row['target']} ({str(row['rule']).replace('_', ' ')}, "
        f"n = {row['n']:.0f}) "
        f"{wording.interval(row['difference'], row['lower'], row['upper'], 3)}, "
        f"{wording.p_value(row['p_delong'])}"
        for _, row in rows.iterrows()
    ]
    if not parts:
        return None
    text = f"AUC with automatic minus AUC with manual masks in the test set: {'; '.join(parts)}."
    return Fact(text, ("comparison/auc.csv",))


def noninferiority(record: Record) -> Fact | None:
    """Which margin of non-inferiority was declared."""
    table = record.table("comparison/noninferiority.csv")
    if table is None or table.empty or table["margin"].nunique() != 1:
        return None
    return Fact(
        f"The margin of non-inferiority was {table['margin'].iloc[0]:g} in AUC.",
        ("comparison/noninferiority.csv",),
    )


def comparators(record: Record) -> Fact | None:
    """Which other estimators there are."""
    found = simple_comparison(record)
    if found is None:
        return None
    names: dict[str, None] = {}
    for file in found.files:
        table = record.table(file)
        assert table is not None
        names |= dict.fromkeys(table["estimator"].astype(str).str.replace("-", " ")[1:])
    return Fact(
        f"For comparison, {listed(list(names))} went through the same folds, with all stable "
        "features.",
        found.files,
    )


def simple_comparison(record: Record) -> Fact | None:
    """Which other estimators went through the same folds."""
    parts, files = [], []
    for model in record.models():
        table = record.table(model.file("comparators.csv"))
        if table is None or len(table) < 2:
            continue
        shown = [
            f"{row['estimator']} "
            + wording.interval(row["test_auc"], row["test_auc_lower"], row["test_auc_upper"])
            for _, row in table.iterrows()
        ]
        parts.append(f"{model.name} {listed(shown)}")
        files.append(model.file("comparators.csv"))
    if not parts:
        return None
    return Fact(
        f"Other estimators went through the same folds; AUC in the test set: {'; '.join(parts)}.",
        tuple(files),
    )


def regressions(record: Record) -> Fact | None:
    """Which regressions of the labels on clinical variables were made."""
    words = {
        "univariable": "one variable at a time",
        "multivariable": "all together",
        "multivariable_preoperative": "those known before surgery together",
    }
    labels: dict[str, list[str]] = {}
    files, methods, several = [], set(), False
    for name in record.names("tables/table[0-9]*_*.csv"):
        table = record.table(name)
        if table is None or not {"analysis", "odds_ratio", "method", "n"} <= set(table):
            continue
        table = table[table["odds_ratio"].notna()]
        kinds = [kind for kind in words if (table["analysis"] == kind).any()]
        if not kinds:
            continue
        several = several or len(kinds) > 1
        shown = [words[kind] for kind in kinds]
        number, label = name.removesuffix(".csv").split("_", 1)
        n = span(table["n"].tolist())
        ordered = record.has(f"{number}_proportionality.csv")
        model = "proportional odds" if ordered else "logistic regression"
        labels.setdefault(f"({model}) with {listed(shown)} (n = {n})", []).append(label)
        methods |= set(table["method"].dropna())
        files.append(name)
    if not files:
        return None
    parts = [f"{listed(of_them)} {how}" for how, of_them in labels.items()]
    cut = " Numbers were cut in two." if record.clinical().get("cut_numbers") else ""
    text = (
        f"Odds ratios of clinical variables were estimated for {' and for '.join(parts)}, by "
        f"{listed(sorted(methods))}.{cut}{entered(record) if several else ''}"
    )
    return Fact(text, tuple(files))


def entered(record: Record) -> str:
    """Which variables a model of several has, where they were chosen; empty where all entered."""
    how = record.clinical()
    if how.get("entry") != "univariable":
        return ""
    return (
        f" Only variables with P < {how['entry_p']:g} alone entered a model of several: the P "
        "values left are too small."
    )


def feature_agreement(record: Record) -> Fact | None:
    """How stable features are against the source of the mask."""
    table = record.table("comparison/icc_summary.csv")
    about = record.json("comparison/summary.json") or {}
    if table is None:
        return None
    words = {
        "reader2-manual": "the two readers", "perturbed-manual": "the manual masks and their "
        "perturbations", "automatic-manual": "manual and automatic masks",
    }  # fmt: skip
    above = f" above {about['icc_threshold']:g}" if "icc_threshold" in about else " stable"
    parts = [
        f"between {words[row['comparison']]} a median of {wording.number(row['median'])}, "
        f"{wording.share(int(row['n_stable']), int(row['n_features']), 'features')}{above}"
        for _, row in table[table["group"] == "all"].iterrows()
        if row["comparison"] in words
    ]
    if not parts:
        return None
    files = ("comparison/icc_summary.csv", "comparison/summary.json")
    return Fact(
        f"The intraclass correlation of the features was {'; '.join(parts)}.",
        files if about else files[:1],
    )


def icc_method(record: Record) -> Fact | None:
    """How the features of different masks were compared."""
    about = record.json("comparison/summary.json") or {}
    if not about.get("icc"):
        return None
    kinds: dict[str, list[str]] = {}
    for words in about["icc"].values():
        kind, _, whose = str(words).split(", over")[0].partition(" of ")
        kinds.setdefault(kind, []).append(whose)
    parts = [f"{kind} of {listed([one for one in of if one])}" for kind, of in kinds.items()]
    return Fact(
        f"Features were compared between masks by {listed(parts)}.",
        ("comparison/summary.json",),
    )


FACTS = (
    regressions, paired_comparison, missed_rules, comparison_results, noninferiority, comparators,
    simple_comparison, feature_agreement, icc_method,
)  # fmt: skip
