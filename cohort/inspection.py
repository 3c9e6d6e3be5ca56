"""What the files of one image say: can they be read, do they fit each other and their row."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import Failure, MammoroiError
from .schema import IMAGE_COLUMNS, label_cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.mammogram import Mammogram

Severity = Literal["error", "warning"]
Result = TypeVar("Result")

LARGE_MASK = 0.5
"""A mask over more than this share of the image is suspected to be inverted."""

IN_AIR = 0.5
"""A mask of which more than this share lies outside the breast is suspected to be misplaced."""

MASK_VALUES = 8
"""A mask with more values than this, besides 0, is suspected to be a picture."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a row: an error excludes it, a warning does not."""

    severity: Severity
    found: str
    action: str


@dataclass(frozen=True)
class Inspection:
    """What was seen of one image.

    Attributes
    ----------
    digest : str or None
        SHA-256 of the decoded pixels and their shape; None when the image cannot be read.
    findings : tuple of Finding
        What is wrong, in the order of the columns.
    person : str
        Patient ID (0010,0020) of a mammogram that is DICOM; empty where there is none.
    """

    digest: str | None
    findings: tuple[Finding, ...]
    person: str = ""


def inspect_image(folder: Path, row: dict[str, Any]) -> Inspection:
    """Read the mammogram and the masks of one row of ``cohort.csv`` and compare them with it.

    Parameters
    ----------
    folder : Path
        Where relative paths start.
    row : dict
        The cells as text, empty ones None. Those that the schema does not allow are passed over:
        they are reported by :mod:`.check`.
    """
    from ..imaging.breast import breast_region
    from ..imaging.dicom import patient_of
    from ..imaging.formats import Format, identify
    from ..imaging.read import read_mammogram

    spacing_given = row.get("spacing_mm") is not None
    row = _sound_cells(row)
    findings: list[Finding] = []

    def read_image(path: Path) -> Mammogram:
        spacing = float(row["spacing_mm"]) if row.get("spacing_mm") else None
        source = row.get("spacing_source") or "measured"
        return read_mammogram(path, spacing_mm=spacing, spacing_source=source)

    mammogram = _attempt(findings, "image", folder, row.get("image"), read_image)
    if mammogram is None:
        for column in ("mask", "mask_reader2"):
            _attempt(findings, column, folder, row.get(column), lambda path: path)
        return Inspection(None, tuple(findings))
    findings += _against_row(mammogram, row)
    if mammogram.spacing is None and not spacing_given:
        findings.append(
            Finding(
                "warning",
                f"neither the file {row['image']} nor the column spacing_mm gives a pixel spacing",
                "fill the column spacing_mm; features in mm are refused without it",
            )
        )
    pixels = mammogram.pixels
    breast = functools.cache(
        lambda: _attempt(findings, "image", folder, row["image"], lambda _: breast_region(pixels))
    )
    masks = []
    for column in ("mask", "mask_reader2"):
        mask = _mask(findings, column, folder, row, mammogram)
        if mask is not None:
            in_air = _in_air(mask, pixels, breast)
            findings += _mask_findings(column, folder, row, mammogram, mask, in_air)
            masks.append(mask)
    if len(masks) == 2 and masks[0].any() and (masks[0] == masks[1]).all():
        findings.append(
            Finding(
                "warning",
                f"mask_reader2 '{row['mask_reader2']}' is the same as mask, to the pixel",
                "see whether it is a copy: the readers' agreement would be that of one reader",
            )
        )
    digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    is_dicom = identify(mammogram.source) is Format.DICOM
    person = patient_of(mammogram.source) if is_dicom else ""
    return Inspection(digest, tuple(findings), person)


def _sound_cells(row: dict[str, Any]) -> dict[str, str]:
    """Keep the filled cells that the schema lists and allows."""
    return {
        column.name: row[column.name]
        for column in IMAGE_COLUMNS
        if row.get(column.name) and not column.fault(row[column.name])
    }


def _attempt(
    findings: list[Finding],
    column: str,
    folder: Path,
    value: str | None,
    read: Callable[[Path], Result],
) -> Result | None:
    """Read the file that a column names; what goes wrong becomes a finding."""
    if not value:
        return None
    try:
        path = folder / value
        if not path.exists():
            raise MammoroiError(f"{column} '{value}' does not exist", _where_it_may_be(path, value))
        return read(path)
    except Exception as error:  # noqa: BLE001 - one bad file must not hide the other problems
        failure = Failure.of(str(value), "check", error)
        findings.append(Finding("error", failure.error, failure.action))
        return None


def _where_it_may_be(path: Path, value: str) -> str:
    """Advise on a path that leads nowhere: the nearest name that is there."""
    if "\\" in value and Path(str(path).replace("\\", "/")).is_file():
        return "write the path with / instead of \\"
    if not path.parent.is_dir():
        return f"correct the path; there is no folder {path.parent}"
    names = sorted(entry.name for entry in path.parent.iterdir())
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(path.name.casefold(), folded, n=1, cutoff=0.6)
    if not near:
        return "correct the path; nothing in its folder has a name like it"
    return f"correct the path; the nearest name in its folder is '{folded[near[0]]}'"


def _against_row(mammogram: Mammogram, row: dict[str, Any]) -> list[Finding]:
    """Compare what the image file says about itself with the row."""
    findings = []
    view, *modifiers = mammogram.view.split("+") if mammogram.view else [None]
    for column, in_file in (("view", view), ("laterality", mammogram.laterality)):
        if in_file and row.get(column) and in_file != row[column]:
            findings.append(
                Finding(
                    "error",
                    f"{column} is '{row[column]}', but the file {row['image']} says '{in_file}'",
                    f"correct {column}, or name the right file",
                )
            )
    if modifiers:
        findings.append(
            Finding(
                "warning",
                f"the file {row['image']} is no standard view, but '{mammogram.view}'",
                "see whether such views belong in the study",
            )
        )
    if mammogram.implant:
        findings.append(
            Finding(
                "warning",
                f"the file {row['image']} says that there is a breast implant",
                "see whether such breasts belong in the study",
            )
        )
    return findings


def _mask(
    findings: list[Finding],
    column: str,
    folder: Path,
    row: dict[str, Any],
    mammogram: Mammogram,
) -> NDArray[np.bool_] | None:
    """Read one mask; what goes wrong becomes a finding."""
    from ..imaging.mask import read_mask

    rows, columns = mammogram.pixels.shape
    cell = label_cell(row, column)
    label = int(float(cell)) if cell else None
    return _attempt(
        findings,
        column,
        folder,
        row.get(column),
        lambda path: read_mask(path, (rows, columns), label),
    )


def _in_air(
    mask: NDArray[np.bool_],
    pixels: NDArray[np.float32],
    breast: Callable[[], NDArray[np.bool_] | None],
) -> float:
    """Tell which share of a mask lies outside the breast.

    The breast, which takes a while, is sought only where the mask is no brighter than the image.
    """
    import numpy as np

    if not mask.any() or np.median(pixels[mask]) > np.median(pixels[::8, ::8]):
        return 0.0
    region = breast()
    return 0.0 if region is None else 1 - float(region[mask].mean())


def _mask_findings(
    column: str,
    folder: Path,
    row: dict[str, Any],
    mammogram: Mammogram,
    mask: NDArray[np.bool_],
    in_air: float,
) -> list[Finding]:
    """Examine one mask: of this image, in its breast, not empty, in one piece, no picture.

    ``in_air`` is the share of it that lies outside the breast.
    """
    from scipy import ndimage

    from ..imaging.mask import drawn_on_another, turned_against, values_in

    findings: list[Finding] = []
    value = row[column]
    if drawn_on_another(folder / value, mammogram.source):
        findings.append(
            Finding(
                "warning",
                f"{column} '{value}' names another image as its source than the file "
                f"{row['image']}",
                "see whether it is the mask of this image, unless only one of them has new UIDs",
            )
        )
    if turned_against(folder / value, mammogram.source):
        findings.append(
            Finding(
                "warning",
                f"the header of {column} '{value}' gives its rows or columns another direction "
                f"than that of {row['image']}",
                "see whether it is mirrored: both are read as their pixels are stored",
            )
        )
    share = mask.mean()
    if not mask.any():
        findings.append(
            Finding(
                "error",
                f"{column} '{value}' is empty: every pixel is 0",
                "draw the lesion, or remove the row",
            )
        )
    elif share > LARGE_MASK:
        findings.append(
            Finding(
                "warning",
                f"{column} '{value}' covers {share:.0%} of the image",
                "see whether it is inverted",
            )
        )
    else:
        regions = ndimage.label(mask, structure=[[1, 1, 1]] * 3)[1]
        if regions > 1:
            findings.append(
                Finding(
                    "warning",
                    f"{column} '{value}' has {regions} separate regions",
                    "see whether all belong to the lesion; features describe them as one",
                )
            )
    if in_air > IN_AIR:
        findings.append(
            Finding(
                "warning",
                f"{column} '{value}' lies outside the breast, {in_air:.0%} of it",
                "see whether it is mirrored or another image's, or whether the image is a negative",
            )
        )
    values = [] if label_cell(row, column) else values_in(folder / value)
    if len(values) > MASK_VALUES:
        findings.append(
            Finding(
                "warning",
                f"{column} '{value}' has {len(values)} different values, all of which count as "
                "lesion",
                "see whether it is a picture, or a mask with blurred edges; threshold it, or name "
                "the lesion's value in mask_label",
            )
        )
    elif len(values) > 1:
        findings.append(
            Finding(
                "warning",
                f"{column} '{value}' has the values {', '.join(values)}, all of which count as "
                "lesion",
                "name the lesion's value in mask_label, unless all of them are",
            )
        )
    return findings
