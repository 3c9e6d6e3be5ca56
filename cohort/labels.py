"""HER2 expression from immunohistochemistry and in situ hybridisation.

The rule is that of the paper (Zhao et al. 2025, section 2.2), after the 2018 ASCO/CAP guideline:

========  =================  ==========
IHC       FISH               HER2
========  =================  ==========
0         not asked          zero
1+        not asked          low
2+        negative           low
2+        positive           positive
2+        not done           cannot be determined (missing)
3+        not asked          positive
unknown   any                cannot be determined (missing)
========  =================  ==========
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Her2 = Literal["zero", "low", "positive"]

_BY_IHC: dict[str, Her2] = {"0": "zero", "1+": "low", "3+": "positive"}
_BY_FISH: dict[str, Her2] = {"negative": "low", "positive": "positive"}


def her2_expression(ihc: str | None, fish: str | None) -> Her2 | None:
    """Classify one patient; None where the two tests do not determine the class.

    Parameters
    ----------
    ihc : {"0", "1+", "2+", "3+"} or None
        Score of immunohistochemistry; None when it is not known.
    fish : {"negative", "positive"} or None
        Amplification; None when the test was not done. Read at IHC 2+ only.
    """
    if ihc == "2+":
        return _BY_FISH.get(fish) if fish else None
    return _BY_IHC.get(ihc) if ihc else None


def derive_her2(patients: pd.DataFrame) -> pd.DataFrame:
    """Fill the empty cells of the column ``her2`` where IHC and FISH determine it.

    A table without the column ``her2_ihc`` is returned as it is. What is already filled stays;
    what cannot be determined stays empty.
    """
    import pandas as pd

    if "her2_ihc" not in patients:
        return patients
    tests = zip(_cells(patients, "her2_ihc"), _cells(patients, "her2_fish"), strict=True)
    given = _cells(patients, "her2")
    filled = [label or her2_expression(*test) for label, test in zip(given, tests, strict=True)]
    return patients.assign(her2=pd.Series(filled, index=patients.index, dtype=object))


def _cells(patients: pd.DataFrame, name: str) -> list[str | None]:
    """Give a text column as a list with None for what is missing, also when all of it is."""
    if name not in patients:
        return [None] * len(patients)
    return [cell if isinstance(cell, str) else None for cell in patients[name]]


def contradiction(
    her2: str | None, ihc: str | None, fish: str | None
) -> tuple[Literal["error", "warning"], str, str] | None:
    """Compare a patient's label and tests: severity, what was found, what to do; None if at one.

    A label that the tests exclude is an error. Warnings: a label at 2+ without FISH (it cannot be
    verified), a class that cannot be determined, and a FISH result against a clear IHC score.
    """
    derived = her2_expression(ihc, fish)
    tests = f"IHC {ihc or 'unknown'}, FISH {fish or 'not done'}"
    if her2 and ((derived and derived != her2) or (ihc == "2+" and her2 == "zero")):
        meaning = f"means {derived}" if derived else "excludes it"
        return (
            "error",
            f"her2 is '{her2}', but {tests} {meaning}",
            "correct her2, her2_ihc or her2_fish; leave her2 empty to have it derived",
        )
    if ihc == "2+" and not fish:
        if her2:
            return "warning", f"her2 is '{her2}', but {tests}", "fill her2_fish to verify the label"
        return "warning", f"HER2 cannot be determined: {tests}", "fill her2_fish, or leave it out"
    if (ihc in ("0", "1+") and fish == "positive") or (ihc == "3+" and fish == "negative"):
        return (
            "warning",
            f"{tests} disagree; HER2 follows IHC ({derived})",
            "verify both results; ASCO/CAP ask for a repeat test",
        )
    return None
