"""How far the figures can be trusted: patients needed, and what leakage would have bought."""

from __future__ import annotations

from . import wording
from .facts_leakage import AUDIT, audited
from .facts_size import CRITERIA, sizes
from .record import Record
from .tables import Table

NO_AUDIT = (
    "What steps out of place would have bought was not tried on these features: `mammoroi leakage` "
    "does so, and the next report shows it."
)
OUTDATED = (
    f"{AUDIT} is left out: it is of other features, views, patients, divisions or targets than "
    "this study now has, or does not say of which. `mammoroi leakage` makes it anew."
)


def no_audit(record: Record) -> str:
    """Why the report shows no leakage audit; empty where it shows one."""
    if audited(record) is not None:
        return ""
    return OUTDATED if record.has(AUDIT) else NO_AUDIT


def size_table(record: Record) -> Table | None:
    """Was the study large enough: patients needed, at hand, events per candidate, shrinkage."""
    import pandas as pd

    found = sizes(record)
    if not found:
        return None
    frame = pd.DataFrame(
        {
            "target": one.model.target,
            "roi": one.model.roi,
            "candidates": one.candidates,
            "n": one.n,
            "n_positive": one.n_positive,
            "auc": one.auc,
            "events_per_candidate": one.events_per_candidate,
            "needed": one.needed,
            "shrinkage": one.shrinkage,
        }
        for one in found
    ).astype({"needed": "Int64"})
    cells = [
        [
            one.model.target,
            one.model.roi,
            f"{one.candidates:,}",
            f"{one.n} ({one.n_positive})",
            wording.number(one.auc),
            wording.DASH if one.needed is None else f"{one.needed:,}",
            wording.number(one.events_per_candidate, 3),
            wording.number(one.shrinkage),
        ]
        for one in found
    ]
    return Table(
        "sample_size",
        "Was the study large enough?",
        f"Patients needed by {CRITERIA} (BMJ 2020;368:m441): for the prevalence to within 0.05, a "
        "shrinkage of at least 0.9 and an optimism of Nagelkerke's R2 of at most 0.05, were all "
        "candidate features in a regression that reaches the out-of-fold AUC of this run. "
        "Candidates are counted before any selection; selection and penalties make do with fewer "
        "patients, how many fewer nobody can say beforehand. Shrinkage: what coefficients would "
        "have to be multiplied by to hold in other patients; 1 is no overfitting. A dash: from an "
        "AUC whose interval includes 0.5 no number follows. Calculated afterwards, not planned.",
        frame,
        [
            "Target",
            "Masks",
            "Candidate features",
            "Training patients (positive)",
            "AUC out of fold",
            "Patients needed",
            "Smaller class per candidate",
            "Shrinkage",
        ],
        cells,
    )


def leakage_table(record: Record) -> Table | None:
    """The optimism that each order of steps would have bought on shuffled labels."""
    frame = audited(record)
    if frame is None:
        return None
    cells = [
        [
            str(row["target"]),
            str(row["recipe"]),
            str(row["description"]),
            f"{row['features']:.0f}",
            wording.number(row["train_auc"]),
            f"{wording.number(row['test_auc'])} ({wording.number(row['test_auc_sd'])})",
            wording.number(row["optimism"]),
        ]
        for _, row in frame.iterrows()
    ]
    first = frame.iloc[0]
    return Table(
        "leakage",
        "What leakage would have bought",
        "The optimism that each order of steps would have bought on this study's own features: "
        f"labels were shuffled {first['replicates']} times among the patients, so that an honest "
        "test AUC is 0.5 on average and anything beyond it was bought. Means over the shuffles "
        "(standard deviation). Optimism is the test AUC less that of A, or, with images as rows, "
        "less that of the division by patient.",
        frame,
        ["Target", "", "Order of steps", "Features", "Training AUC", "Test AUC", "Optimism"],
        cells,
    )
