"""Cases that fell out of a study: how many of each stage, in which files, and what is said of them.

Every stage lists its own in a table ``case, stage, error, action``; here they are counted and told.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from .errors import Failure
from .files import read_csv, read_json

PREPARED_FAILURES = "segmentation/prepared/failures.csv"
"""Images that could not be prepared; those of a second stage are the same."""

OTHERS_FAILURES = (
    "segmentation/prepared/others/failures.csv",
    "segmentation/prepared/normals/failures.csv",
)
"""Images of other cohorts, which only the training wants; those of a second stage are the same."""

NORMALS_FAILURES = "masks/normals/failures.csv"
"""Mammograms without a lesion that were not drawn: first those that could not be prepared."""

MASKS_FAILURES = "masks/failures.csv"
"""Images without an automatic mask: first those that could not be prepared."""

EXCLUDED = "excluded.csv"

FAILURES = (
    EXCLUDED,
    PREPARED_FAILURES,
    *OTHERS_FAILURES,
    MASKS_FAILURES,
    NORMALS_FAILURES,
    "agreement_failures.csv",
    "features/failures.csv",
    "stability/failures.csv",
    "models/failures.csv",
)
"""The files of a study that list the cases that fell out, in the order of the stages."""


def count_cases(stage: str, out: Path) -> dict[str, int]:
    """Cases of a stage: ``cases_in = used + excluded + missed + failed``.

    A case is an image; in ``extract`` it is an image with one source of its mask, in ``perturb``
    one with one perturbation, in ``model`` a target with one source; in ``train`` an image of
    another cohort that could not be prepared counts, too, in ``segment`` every mammogram without a
    lesion. What could not be prepared fails in ``train`` and again in ``segment``. ``missed``
    counts automatic masks without any pixel (not of mammograms without a lesion) and perturbed ones
    that are too small: results, not failures.
    """

    def rows(name: str) -> int:
        path = out / name
        return len(read_csv(path)) if path.exists() else 0

    used = excluded = missed = failed = 0
    if stage == "accept":
        cohort = read_json(out / "cohort.json")
        used = cohort["n_images_used"]
        excluded = cohort["n_images_in"] - used
    elif stage == "train":
        unprepared = rows(PREPARED_FAILURES)
        used, failed = rows("cohort.csv") - unprepared, unprepared + sum(map(rows, OTHERS_FAILURES))
    elif stage == "segment":
        found = read_csv(out / "masks/predictions.csv")["found"].astype(bool)
        missed = int((~found).sum())
        used = int(found.sum()) + rows("masks/normals/predictions.csv")
        failed = rows(MASKS_FAILURES) + rows(NORMALS_FAILURES)
    elif stage == "extract":
        import pyarrow.parquet as parquet

        tables = (out / "features").glob("[!.]*.parquet")
        used = sum(parquet.read_metadata(table).num_rows for table in tables)
        missed, failed = rows("features/missed.csv"), rows("features/failures.csv")
    elif stage == "perturb":
        counts = read_json(out / "stability" / "perturbed.json")["counts"]
        used, missed, failed = counts["used"], counts["too_small"], counts["failed"]
    elif stage == "model":
        used = sum(len(target["rois"]) for target in read_json(out / "models" / "targets.json"))
        failed = rows("models/failures.csv")
    elif stage == "agree":
        failed = rows("agreement_failures.csv")
        used = rows("cohort.csv") - failed
    else:
        used = rows("cohort.csv")
    return {
        "cases_in": used + excluded + missed + failed,
        "used": used,
        "excluded": excluded,
        "missed": missed,
        "failed": failed,
    }


def fallen_out_lines(out: Path, most: int = 3) -> list[str]:
    """Say what fell out of a study, file by file: how many rows, and the first of them.

    A row that a file before has is not said again.

    Parameters
    ----------
    out : Path
        The study folder.
    most : int
        How many rows of each file are told in full.
    """
    lines: list[str] = []
    told: set[Failure] = set()
    for name in FAILURES:
        rows = [row for row in _failures(out / name) if row not in told]
        told.update(rows)
        if rows:
            both = " (images and patients)" if name == EXCLUDED else ""
            lines.append(f"{out / name}: {len(rows)} lines{both}")
            lines += [f"  {row.case}: {row.error} -> {row.action}" for row in rows[:most]]
        if len(rows) > most:
            lines.append(f"  and {len(rows) - most} more")
    return lines


def _failures(path: Path) -> list[Failure]:
    """Read a table of cases that fell out; none where there is no table."""
    if not path.exists():
        return []
    table = read_csv(path, dtype=str)[[field.name for field in fields(Failure)]]
    return [Failure(*row) for row in table.itertuples(index=False)]


def told_again(out: Path) -> int:
    """Count the images that fell out of ``segment`` because ``train`` could not prepare them."""
    trained, drawn = (
        {one for name in names for one in _failures(out / name)}
        for names in (
            (PREPARED_FAILURES, *OTHERS_FAILURES),
            (MASKS_FAILURES, NORMALS_FAILURES),
        )
    )
    return len(trained & drawn)
