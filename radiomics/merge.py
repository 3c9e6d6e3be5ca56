"""Tables of features that may be used together: checked, and joined.

Values of different settings, engines or engine versions must not meet in one analysis;
:func:`require_same` refuses them by name, here and where they are analysed. :func:`merge` joins the
``features`` folders of parts of a cohort that were computed apart, or of several cohorts, into one
folder of the same form (see :mod:`.extract`), without cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from ..errors import MammoroiError
from ..files import read_csv, read_json, write_csv, write_json
from .dictionary import write_dictionary
from .provenance import warn, what_came
from .tables import ID_COLUMNS, ROW_GROUP, Batch, write_features

ROIS = ("manual", "reader2", "automatic")
_LISTS = ("failures.csv", "missed.csv")
DECIDING = ("settings_sha256", "engine", "engine_version", "names_sha256")
"""What must be equal; a file that lacks one of them was written by an earlier version."""
_FEATURES = {
    "settings_sha256": ("preset", "settings", "image_types", "feature_classes"),
    "names_sha256": ("n_features",),
}


def require_same(paths: Sequence[Path]) -> dict[str, Any]:
    """Check that tables were made alike, and return how.

    Parameters
    ----------
    paths : Sequence[Path]
        ``<roi>.json`` of each table.

    Returns
    -------
    dict[str, Any]
        Content of the first.

    Raises
    ------
    MammoroiError
        For the first two that differ in a setting, the engine, its version or the features, with
        the difference.
    """
    first: dict[str, Any] = read_json(paths[0])
    for path in paths[1:]:
        other = read_json(path)
        for key in DECIDING:
            if first.get(key) != other.get(key):
                raise MammoroiError(
                    f"{paths[0]} and {path} were not made alike: {_difference(first, other, key)}",
                    "extract both with one preset, one engine and one version of mammoroi",
                )
    return first


def _difference(first: dict[str, Any], other: dict[str, Any], key: str) -> str:
    """The difference in words, as far down as it can be told."""
    for name in _FEATURES.get(key, ()):
        one, two = first.get(name), other.get(name)
        if one == two:
            continue
        if isinstance(one, dict) and isinstance(two, dict):
            setting = min(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
            return f"{name}.{setting} is {one.get(setting)} and {two.get(setting)}"
        if name != "preset":
            return f"{name} is {one} and {two}"
    return f"{key} is {first.get(key)} and {other.get(key)}"


def merge(folders: Sequence[Path], out: Path) -> Path:
    """Join folders of features and return the new one.

    Parameters
    ----------
    folders : Sequence[Path]
        Study folders, or their ``features`` folders.
    out : Path
        The folder to write; made when it is not there.

    Raises
    ------
    MammoroiError
        When a folder holds no tables, lacks a file or has a damaged table, the tables were not made
        alike, an image is in two of them, or ``out`` is one of them or holds tables already.
        Nothing is written then.
    """
    parts = list({part.resolve(): part for part in map(_features_folder, folders)}.values())
    if len(parts) < 2:
        raise MammoroiError("there is nothing to merge", "name two different folders or more")
    present = {roi: [part for part in parts if (part / f"{roi}.json").exists()] for roi in ROIS}
    how = require_same([part / f"{roi}.json" for roi in ROIS for part in present[roi]])
    taken = [path.name for path in out.glob("*.parquet")]
    if taken:
        raise MammoroiError(f"{out} holds {taken[0]} already", "name an empty or a new folder")
    if out.resolve() in (folder.resolve() for folder in folders):
        raise MammoroiError(f"{out} is to be merged itself", "name an empty or a new folder")
    lists = {name: [read_csv(part / name, dtype=str) for part in parts] for name in _LISTS}
    _refuse_twice(parts, present, lists)
    tables = {name: pd.concat(found, ignore_index=True) for name, found in lists.items()}
    summaries = [read_json(part / "summary.json") for part in parts]
    cases = {roi: _cases(present[roi], roi) for roi in ROIS if present[roi]}
    for roi in cases:
        _merge_table(roi, present[roi], out, how, cases[roi], tables)
    for name, table in tables.items():
        write_csv(out / name, table)
    counts = {name: sum(summary[name] for summary in summaries) for name in summaries[0]}
    write_json(out / "summary.json", counts)
    write_dictionary(
        out, _names(next(part / f"{roi}.parquet" for roi in ROIS for part in present[roi]))
    )
    return out


def _features_folder(folder: Path) -> Path:
    for found in (folder, folder / "features"):
        if any((found / f"{roi}.json").exists() for roi in ROIS):
            return found
    raise MammoroiError(
        f"{folder} holds no tables of features", "name a study in which `mammoroi extract` has run"
    )


def _refuse_twice(
    parts: Sequence[Path], present: dict[str, list[Path]], lists: dict[str, list[pd.DataFrame]]
) -> None:
    """Raise for an image that one source has in two folders, as a row, missed or failed."""
    owner: dict[tuple[str, str], Path] = {}
    for number, part in enumerate(parts):
        failures, missed = (lists[name][number] for name in _LISTS)
        stages = failures["stage"].str.removeprefix("radiomics/")
        found = [*zip(stages, failures["case"], strict=True)]
        found += zip(missed["roi"], missed["image_id"], strict=True)
        for roi in (roi for roi in ROIS if part in present[roi]):
            found += ((roi, image_id) for image_id in _image_ids(part / f"{roi}.parquet"))
        for case in found:
            if case in owner:
                raise MammoroiError(
                    f"image {case[1]} ({case[0]}) is in {owner[case]} and in {part}",
                    "leave one of them out; image_id must be unique over all parts",
                )
            owner[case] = part


def _image_ids(table: Path) -> list[str]:
    """The images of a table, which is read as a whole: a damaged one is found before any writing.

    Raises
    ------
    MammoroiError
        When it is missing or damaged.
    """
    action = "copy the folder again from where it was extracted, or extract there again"
    try:
        ids: list[str] = []
        for batch in parquet.ParquetFile(table).iter_batches(batch_size=ROW_GROUP):
            ids += batch.column("image_id").to_pylist()
    except FileNotFoundError:
        raise MammoroiError(f"{table} does not exist", action) from None
    except (pa.ArrowException, OSError) as error:
        raise MammoroiError(f"{table} is damaged: {error}", action) from None
    return ids


def _cases(parts: list[Path], roi: str) -> pd.DataFrame:
    found = [read_csv(part / f"{roi}_cases.csv", dtype={"image_id": str}) for part in parts]
    found = [table for table in found if len(table)] or found[:1]  # no row, no kind of column
    return pd.concat(found, ignore_index=True)


def _merge_table(
    roi: str,
    parts: list[Path],
    out: Path,
    how: dict[str, Any],
    cases: pd.DataFrame,
    lists: dict[str, pd.DataFrame],
) -> None:
    tables = [part / f"{roi}.parquet" for part in parts]
    columns = write_features(out / f"{roi}.parquet", _names(tables[0]), _batches(tables))
    write_csv(out / f"{roi}_cases.csv", cases)
    failures, missed = (lists[name] for name in _LISTS)
    came = what_came(
        cases,
        int((missed["roi"] == roi).sum()),
        int((failures["stage"] == f"radiomics/{roi}").sum()),
        columns.degenerate,
        columns.undefined,
    )
    made = [read_json(part / f"{roi}.json") for part in parts]
    used = {part.as_posix(): one["counts"]["used"] for part, one in zip(parts, made, strict=True)}
    about = {**how, "roi": roi, "versions": _versions(made), **came, "merged_from": used}
    write_json(out / f"{roi}.json", about)
    warn(roi, about)


def _versions(made: list[dict[str, Any]]) -> dict[str, str]:
    """The libraries' versions, all of them where the parts differ."""
    names = dict.fromkeys(name for one in made for name in one["versions"])
    found = {name: dict.fromkeys(one["versions"].get(name, "?") for one in made) for name in names}
    return {name: ", ".join(versions) for name, versions in found.items()}


def _names(table: Path) -> list[str]:
    return [name for name in parquet.read_schema(table).names if name not in ID_COLUMNS]


def _batches(tables: Sequence[Path]) -> Iterator[Batch]:
    for table in tables:
        for batch in parquet.ParquetFile(table).iter_batches(batch_size=ROW_GROUP):
            frame = batch.to_pandas()
            yield frame[list(ID_COLUMNS)], frame.drop(columns=list(ID_COLUMNS)).to_numpy(float)
