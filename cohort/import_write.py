"""From the description of a release to a cohort folder: images opened, masks drawn, all written.

=================  ================================================================================
``cohort.csv``     the images that can be used; the files themselves stay where they are, or are
                   gathered in ``images/``
``patients.csv``   their patients
``masks/``         a PNG per image, on its pixels, 255 inside the findings
``excluded.csv``   ``case, stage, error, action``: ``import/image`` is an image that was left out,
                   ``import/patient`` something about a patient that was left empty or is missing
``cohort.json``    where all of it came from, with the SHA-256 of the tables
=================  ================================================================================

Images of the release = rows of ``cohort.csv`` + rows ``import/image`` of ``excluded.csv``. Nothing
is invented: no spacing, no label, no outline.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import Failure, MammoroiError
from ..files import atomic, sha256_file, write_csv, write_failures, write_json
from ..progress import with_bar
from ..resources import cores
from .import_common import IMAGE, PATIENT, Case, Mask, Release, Several, Wanted, left_out
from .import_release import shown_in
from .import_tables import patients_of
from .places import in_full
from .schema import SAFE_ID

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

log = logging.getLogger(__name__)


def write_cohort(release: Release, wanted: Wanted, out: Path) -> Path:
    """Write the cohort folder of a release; the columns are at the head of this module.

    Raises
    ------
    MammoroiError
        When nothing is left to import.
    """
    import pandas as pd

    patients, notes = _patients(release)
    divided = "split" in patients
    excluded = list(release.excluded)
    cases = []
    seen: set[str] = set()
    for case in release.cases:
        if divided and not patients["split"].notna().get(case.patient_id, False):
            found = "its patient is not in one part of the published split only"
            excluded.append(left_out(case.image_id, found, "leave the patient out"))
        elif case.image_id.casefold() in seen or not SAFE_ID.fullmatch(case.image_id):
            found = "its name occurs twice, or cannot be a file name"
            excluded.append(left_out(case.image_id, found, "keep one of the files"))
        else:
            seen.add(case.image_id.casefold())  # to many file systems capitals are the same
            cases.append(case)
    rows: list[dict[str, str | None]] = []
    for result in _in_parallel(cases, wanted, release.mask_kind, out):
        if isinstance(result, Failure):
            excluded.append(result)
        else:
            rows.append(result)
    write_failures(
        out / "excluded.csv", [*excluded, *release.notes, *notes, *_unseen(release, rows)]
    )
    if not rows:
        raise MammoroiError(
            f"nothing to import: {len(excluded)} images of {release.name}, none can be used",
            f"see {out / 'excluded.csv'} for the reasons",
        )
    images = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    kept = patients[patients.index.isin(images["patient_id"])]
    write_csv(out / "patients.csv", kept.reset_index())
    write_json(
        out / "cohort.json",
        {
            "name": release.name,
            "synthetic": False,
            "description": f"DOI {release.doi}. {release.licence}.",
            "source": str(wanted.folder.resolve()),
            "import": {
                "tables_sha256": {path.name: sha256_file(path) for path in release.tables},
                "findings": wanted.findings,
                "several": wanted.several,
                "images_without_mask": wanted.images_without_mask,
                "spacing_mm": wanted.spacing_mm,
                "mask_kind": release.mask_kind,
                "n_images_in": len(rows) + len(excluded),
                "n_images": len(rows),
                "n_images_excluded": len(excluded),
                "n_patients": len(kept),
            },
        },
    )
    write_csv(out / "cohort.csv", images)
    log.info("%d images of %d patients imported into %s", len(images), len(kept), out)
    return out


def _patients(release: Release) -> tuple[pd.DataFrame, list[Failure]]:
    """Bring the rows of each patient together."""
    import pandas as pd

    table = pd.DataFrame(release.patients or {"patient_id": []}, dtype=object)
    table = table.where(table.notna(), None)
    return patients_of(table["patient_id"], table.drop(columns="patient_id"), PATIENT)


def _unseen(release: Release, rows: list[dict[str, Any]]) -> list[Failure]:
    """List the breasts that the tables describe and no imported image shows, or too few."""
    shown = Counter((row["patient_id"], row["laterality"]) for row in rows)
    missing = []
    for (patient, side), expected in sorted(release.expected.items()):
        n = shown[patient, side]
        if n == 0:
            found = f"the table describes the breast {side}, but no imported image shows it"
            action = "see whether image or table has the wrong side"
            missing.append(Failure(patient, PATIENT, found, action))
        elif n < expected:
            found = (
                f"the table tells of {expected} images of the breast {side}, {n} of them imported"
            )
            action = "download those that are not listed here as left out"
            missing.append(Failure(patient, PATIENT, found, action))
    return missing


def _in_parallel(cases: list[Case], wanted: Wanted, mask_kind: str, out: Path) -> Any:
    """Import the images, several at a time: reading and decoding leave Python's lock."""
    from joblib import Parallel, delayed

    jobs = Parallel(n_jobs=cores(), prefer="threads", return_as="generator")(
        delayed(_import_case)(case, wanted, mask_kind, out) for case in cases
    )
    return with_bar(jobs, "Importing images", len(cases))


def _import_case(
    case: Case, wanted: Wanted, mask_kind: str, out: Path
) -> dict[str, str | None] | Failure:
    """Make the row of one image, and write its mask."""
    try:
        return _row(case, wanted, mask_kind, out)
    except Exception as error:  # noqa: BLE001 - the boundary of one case: recorded, others go on
        return Failure.of(case.image_id, IMAGE, error)


def _row(case: Case, wanted: Wanted, mask_kind: str, out: Path) -> dict[str, str | None]:
    from ..imaging.mask import write_mask

    only_normal = wanted.images_without_mask == "normal"
    if only_normal and not case.normal:
        raise MammoroiError(
            "the release does not say that it is normal",
            "nothing, or take all without a mask: images_without_mask: keep",
        )
    if not case.image.is_file():
        raise MammoroiError(f"{case.image} does not exist", "download the release again")
    inside = _in_file(case.image)
    view = _agreed("view", case.view, inside.view)
    laterality = _agreed("laterality", case.laterality, inside.laterality)
    masks = case.outlines(inside.shape) if case.outlines and not only_normal else []
    mask = None
    if masks:
        mask = write_mask(out / "masks" / f"{case.image_id}.png", _one(masks, wanted.several))
    elif wanted.images_without_mask == "exclude":
        raise MammoroiError(
            f"no finding is outlined in it that is asked for ({', '.join(wanted.findings)})",
            "nothing, or choose other findings, or images_without_mask: keep",
        )
    spacing = None if inside.states_spacing or not case.spacing_holds else wanted.spacing_mm
    return {
        "image_id": case.image_id,
        "patient_id": case.patient_id,
        "view": view,
        "laterality": laterality,
        "image": _gathered(case, out) if wanted.gather else str(in_full(case.image)),
        "mask": mask.relative_to(out).as_posix() if mask else None,
        "mask_kind": mask_kind if mask else None,
        "spacing_mm": None if spacing is None else f"{spacing:.6g}",
        "spacing_source": None if spacing is None else "estimated",
        "n_findings": str(len(masks)),
        **case.columns,
    }


class _InFile(NamedTuple):
    """What an image file says of itself: rows and columns, view, side, whether it has a spacing."""

    shape: tuple[int, int]
    view: str | None = None
    laterality: str | None = None
    states_spacing: bool = False


def _in_file(path: Path) -> _InFile:
    """Look into a file; its pixels are decoded only where it is a picture, which has no header."""
    from ..imaging.dicom import check_length, open_mammogram
    from ..imaging.formats import Format, identify
    from ..imaging.raster import read_raster
    from ..imaging.spacing import dicom_spacing

    if identify(path) is not Format.DICOM:
        rows, columns = read_raster(path).shape
        return _InFile((rows, columns))
    header = open_mammogram(path)
    check_length(path, header)
    shape = (int(header.Rows), int(header.Columns))
    return _InFile(shape, *shown_in(header), dicom_spacing(header) is not None)


def _gathered(case: Case, out: Path) -> str:
    """Link or copy an image into ``out`` under its name, and give its relative path."""
    path = out / "images" / f"{case.image_id}{case.image.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        path.hardlink_to(case.image.resolve())
    except OSError:  # another disk, or one that knows no links
        with atomic(path) as temporary:
            shutil.copyfile(case.image, temporary)
    return path.relative_to(out).as_posix()


def _agreed(column: str, stated: str | None, in_file: str | None) -> str:
    """Compare what the release and the header of the file say; at least one must speak."""
    if stated and in_file and stated != in_file:
        raise MammoroiError(
            f"{column} is '{stated}' by the release, but '{in_file}' by the file's header",
            "look at the image; report it to those who publish the data",
        )
    if not (stated or in_file):
        raise MammoroiError(
            f"neither the release nor the file's header says the {column}", "leave the image out"
        )
    return str(stated or in_file)


def _one(masks: list[Mask], several: Several) -> Mask:
    """Make one mask of those of an image's findings."""
    if not all(mask.any() for mask in masks):
        raise MammoroiError("the mask of a finding is empty", "leave the image out")
    if len(masks) > 1 and several == "exclude":
        raise MammoroiError(
            f"{len(masks)} findings are outlined in it", "choose several: unite or largest"
        )
    if several == "largest":
        return max(masks, key=np.count_nonzero)
    return np.asarray(np.logical_or.reduce(masks))
