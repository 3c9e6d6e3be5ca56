"""Images of other cohorts that take part in a training.

``pretraining_cohort``
    Mammograms to be restored in the pre-training (:mod:`.pretraining`). No mask of theirs is read,
    so those that nobody has outlined can help.
``normal_cohort``
    Mammograms without a lesion (:mod:`.normals`). A line that names a mask, or an image of the
    study, is refused.

Of such a folder only ``cohort.csv`` is needed, with the columns ``image_id``, ``patient_id`` and
``image``, and ``spacing_mm`` for files that do not know their own spacing.

``prepared/others/`` and ``prepared/normals/`` below a training folder hold their arrays as
``prepared`` holds the study's, without masks, and ``index.csv``: ``image_id, patient_id, set, key,
working_rows, working_columns``. ``set`` is ``test`` for the patients of ``normal_cohort`` of whom
its ``patients.csv``, where there is one, says so in a column ``split``. ``failures.csv`` lists the
images that are not ready. An image that the study has too, same ``patient_id`` and ``image_id``,
takes no part in the pre-training a second time. A fold takes none of a patient who tunes, validates
or tests, compared by ``patient_id``.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Failure, MammoroiError
from ..files import read_csv
from ..spreadsheet import read_spreadsheet
from .config import SegmentationConfig
from .mapping import padded_size
from .prepare import NORMALS, SEGMENTATION, STAGE, Source, check_prepared, prepare_cases

if TYPE_CHECKING:
    import pandas as pd

OTHERS = "others"
SETTINGS = {OTHERS: "pretraining_cohort", NORMALS: "normal_cohort"}
"""Folders below ``prepared``, and the settings that name whose images they hold."""
_NEEDED = ("image_id", "patient_id", "image")
_INDEX = ("image_id", "patient_id", "set", "key", "working_rows", "working_columns")


def prepare_others(
    config: SegmentationConfig,
    study: Path,
    place: str = SEGMENTATION,
    kinds: Sequence[str] = tuple(SETTINGS),
) -> None:
    """Prepare the images of the other cohorts; unchanged ones are kept.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    study : Path
        The study folder.
    place : str
        Where in it ``prepared`` lies.
    kinds : sequence of str
        Keys of :data:`SETTINGS`.

    Raises
    ------
    MammoroiError
        When a cohort's table cannot be read, or no image of it can be prepared.
    """
    for kind in kinds:
        folder = Path(study) / place / "prepared" / kind
        cohort = getattr(config, SETTINGS[kind])
        if cohort is None:
            (folder / "failures.csv").unlink(missing_ok=True)
            continue
        images = read_csv(Path(study) / "cohort.csv", dtype=str)
        own = set(zip(images["patient_id"], images["image_id"], strict=True))
        found, failures = sources_of(Path(cohort), own, normal=kind == NORMALS)
        # Whether a patient may train is asked for those without a lesion alone.
        tested = _tested(Path(cohort)) if kind == NORMALS else frozenset()
        cases = [(case, case.patient_id not in tested) for case in found]
        ready = prepare_cases(config, folder, cases, _INDEX, failures)
        if not ready and len(read_csv(folder / "failures.csv")):
            raise MammoroiError(
                f"no image of {cohort} can be prepared",
                f"see {folder / 'failures.csv'} for the reasons",
            )


def check_others(config: SegmentationConfig, folder: Path) -> None:
    """See that the arrays of the other cohorts are those that the settings ask for.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder, or its ``outline``.

    Raises
    ------
    MammoroiError
        As :func:`.prepare.check_prepared`.
    """
    for kind, setting in SETTINGS.items():
        if getattr(config, setting) is not None:
            place = folder / "prepared" / kind
            check_prepared(config.working_spacing_mm, place, read_index(folder, kind))


def sources_of(
    folder: Path, own: Set[tuple[str, str]], normal: bool = False
) -> tuple[list[Source], list[Failure]]:
    """List the images of a cohort folder, and the lines of its table that name none.

    Parameters
    ----------
    own : set of (str, str)
        ``patient_id`` and ``image_id`` of images to be left out.
    normal : bool
        Whether all are to be without a lesion; then those of ``own``, and those with a mask, are
        failures.

    Raises
    ------
    MammoroiError
        When the table is missing, unreadable or lacks a column.
    """
    from ..cohort.cohort import read_cells, records
    from ..cohort.schema import IMAGE_COLUMNS

    table = read_cells(folder / "cohort.csv", IMAGE_COLUMNS, _NEEDED)
    if lacking := [name for name in _NEEDED if name not in table]:
        raise MammoroiError(
            f"{folder / 'cohort.csv'} has no column {', '.join(lacking)}",
            "add what is missing: a training needs an image and its patient",
        )
    found: dict[str, Source] = {}
    failures = []
    for number, row in zip(table.index, records(table), strict=True):
        try:
            source = _source(folder, row)
            if source.image_id in found:
                raise MammoroiError("this image_id is in the table twice", "give each its own")
            if normal and row.get("mask"):
                raise MammoroiError("it has a mask", "keep images with a lesion out of this cohort")
            is_own = (source.patient_id, source.image_id) in own
            if normal and is_own:
                raise MammoroiError(
                    "the study has the same image, with a lesion", "keep it out of one of the two"
                )
        except MammoroiError as error:
            failures.append(Failure.of(row["image_id"] or f"line {number + 2}", STAGE, error))
            continue
        if not is_own:
            found[source.image_id] = source
    return list(found.values()), failures


def _tested(folder: Path) -> frozenset[str]:
    """Name the patients whom a cohort keeps for testing.

    Raises
    ------
    MammoroiError
        When its table has another word than ``train`` or ``test`` for one.
    """
    file = folder / "patients.csv"
    if not file.exists():
        return frozenset()
    table = read_spreadsheet(file, texts=["patient_id", "split"])
    if not {"patient_id", "split"} <= set(table):
        return frozenset()
    words = table["split"].dropna()
    if other := sorted(set(words) - {"train", "test"}):
        raise MammoroiError(
            f"{file} has the split {', '.join(repr(word) for word in other[:3])}",
            "give train or test, or leave the cell empty",
        )
    return frozenset(table["patient_id"][table["split"] == "test"])


def _source(folder: Path, row: dict[str, Any]) -> Source:
    """Read a line of the table."""
    from ..cohort.schema import SAFE_ID, check_spacing

    if lacking := [name for name in _NEEDED if not row[name]]:
        raise MammoroiError(f"{', '.join(lacking)} is empty", "fill the cell")
    if not SAFE_ID.fullmatch(row["image_id"]):
        raise MammoroiError(
            f"the image_id '{row['image_id']}' cannot become the name of a file",
            "use letters, digits, '.', '_' and '-'",
        )
    try:
        spacing = float(row["spacing_mm"]) if row.get("spacing_mm") else None
    except ValueError as error:
        raise MammoroiError(f"spacing_mm is '{row['spacing_mm']}'", "give a number") from error
    check_spacing(spacing)
    return Source(
        image_id=row["image_id"],
        patient_id=row["patient_id"],
        image=folder / row["image"],
        spacing_mm=spacing,
        spacing_source=row.get("spacing_source") or "measured",
        mask=None,
        mask_label=None,
    )


def other_images(
    config: SegmentationConfig, folder: Path, barred: Set[str]
) -> tuple[tuple[str, str], ...]:
    """Name the images of ``pretraining_cohort``: name within ``prepared``, and key.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    barred : set of str
        Patients who take no part.
    """
    if config.pretraining_cohort is None:
        return ()
    index = read_index(folder)
    index = index[~index["patient_id"].isin(barred)]
    return tuple(zip(index["name"], index["key"], strict=True))


def other_patients(folder: Path, images: Sequence[tuple[str, str]]) -> frozenset[str]:
    """Name the patients of those of a fold's images that are of ``pretraining_cohort``."""
    names = {name for name, _ in images if name.startswith(f"{OTHERS}/")}
    if not names:
        return frozenset()
    index = read_index(folder)
    return frozenset(index["patient_id"][index["name"].isin(names)])


def canvas_with_others(
    folder: Path, names: list[str], canvas: tuple[int, int], multiple: int
) -> tuple[int, int]:
    """Give a canvas that holds these images as well; sides are multiples of ``multiple``."""
    if not any(name.startswith(f"{OTHERS}/") for name in names):
        return canvas
    index = read_index(folder)
    sizes = index[index["name"].isin(names)]
    rows, columns = (
        max(side, padded_size(int(sizes[name].max()), multiple))
        for side, name in zip(canvas, ("working_rows", "working_columns"), strict=True)
    )
    return rows, columns


def empty_index() -> pd.DataFrame:
    """Give what :func:`read_index` reads, without images."""
    import pandas as pd

    return pd.DataFrame(columns=[*_INDEX, "name"])


def read_index(folder: Path, kind: str = OTHERS) -> pd.DataFrame:
    """Read ``index.csv``, with a column ``name``: the image's within ``prepared``.

    Raises
    ------
    MammoroiError
        When it is missing: the images are prepared where the cohort lies.
    """
    file = folder / "prepared" / kind / "index.csv"
    if not file.exists():
        raise MammoroiError(
            f"segmentation.{SETTINGS[kind]} is set, but {file} is missing",
            "prepare the images where the cohort lies, or set it to null",
        )
    index = read_csv(file, dtype={"image_id": str, "patient_id": str, "key": str})
    return index.assign(name=kind + "/" + index["image_id"])
