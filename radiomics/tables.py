"""Tables of features on their way to disk: many rows, little memory.

Rows wait in a file without a name, which the system removes even when the process is killed; a
table is written from there in the order of the cohort, :data:`ROW_GROUP` rows at a time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from ..errors import Failure
from ..files import atomic
from .provenance import BINS, FEWEST_BINS, MOST_BINS, Case

ID_COLUMNS = ("image_id", "patient_id", "view", "laterality")
ROW_GROUP = 2048
Batch = tuple[pd.DataFrame, NDArray[np.float64]]
"""Identifiers and features of some rows."""


class Collected:
    """What one source of masks yielded, by the position of the image in the cohort.

    Attributes
    ----------
    failures : list[tuple[int, Failure]]
        With the position of their image.
    missed : list[int]
        Positions of images whose automatic mask is empty.
    from_cache : int
        How many cases had a record.
    cpu_seconds : list[float]
        Of the cases that were computed.
    """

    def __init__(self, n_images: int, n_features: int, folder: Path) -> None:
        self.failures: list[tuple[int, Failure]] = []
        self.missed: list[int] = []
        self.from_cache = 0
        self.cpu_seconds: list[float] = []
        self._n_features = n_features
        self._rows = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  lives as long as this
        self._used = np.zeros(n_images, dtype=bool)
        self._integers = {
            name: np.zeros(n_images, dtype=np.int32)
            for name in ("roi_pixels", "regions", "undefined_features")
        }
        self._spacings = np.zeros((n_images, 2))
        self._spacing_sources = [""] * n_images
        self._bins: dict[str, NDArray[np.int32]] = {}
        self._facts: dict[str, NDArray[np.float64]] = {}

    def add(self, position: int, case: Case) -> None:
        """Take in one case."""
        if case.failure is not None:
            self.failures.append((position, case.failure))
        if case.missed:
            self.missed.append(position)
        if case.row is None or case.spacing is None:
            return
        self.from_cache += case.from_cache
        if not case.from_cache:
            self.cpu_seconds.append(case.cpu_seconds)
        self._used[position] = True
        self._rows.seek(position * self._n_features * 8)
        self._rows.write(case.row.astype("<f8").tobytes())
        self._integers["roi_pixels"][position] = case.pixels
        self._integers["regions"][position] = case.regions
        self._integers["undefined_features"][position] = np.count_nonzero(np.isnan(case.row))
        self._spacings[position] = case.spacing.row_mm, case.spacing.column_mm
        self._spacing_sources[position] = sys.intern(case.spacing.source)
        for name, levels in case.bins.items():
            if name not in self._bins:
                self._bins[name] = np.zeros(len(self._used), dtype=np.int32)
            self._bins[name][position] = levels
        for name, fact in case.facts.items():
            if name not in self._facts:
                self._facts[name] = np.full(len(self._used), np.nan)
            self._facts[name][position] = fact

    @property
    def n_cases(self) -> int:
        """Cases in: used, missed and failed."""
        return int(self._used.sum()) + len(self.missed) + len(self.failures)

    def cases(self, image_ids: pd.Series) -> pd.DataFrame:
        """A row for each image that was used; the columns are described in :mod:`.extract`."""
        used = np.flatnonzero(self._used)
        table = pd.DataFrame({"image_id": image_ids.to_numpy()[used]})
        for name, numbers in self._integers.items():
            table[name] = numbers[used]
        table["spacing_row_mm"], table["spacing_column_mm"] = self._spacings[used].T
        sources = [self._spacing_sources[position] for position in used]
        table["spacing_source"] = pd.Series(sources, dtype=object)
        for name, levels in self._bins.items():
            table[BINS + name] = levels[used]
        for name, facts in self._facts.items():
            table[f"prepared_{name}"] = facts[used]
        table.insert(4, "flags", _flags(table))
        return table

    def batches(self, images: pd.DataFrame) -> Iterator[Batch]:
        """The rows that were used, in the order of the cohort's images."""
        for start in range(0, len(self._used), ROW_GROUP):
            used = np.flatnonzero(self._used[start : start + ROW_GROUP])
            if not used.size:
                continue
            self._rows.seek(start * self._n_features * 8)
            content = self._rows.read((int(used[-1]) + 1) * self._n_features * 8)
            rows = np.frombuffer(content, dtype="<f8").reshape(-1, self._n_features)
            yield images[list(ID_COLUMNS)].iloc[start + used], rows[used]


def _flags(cases: pd.DataFrame) -> list[str]:
    """What deserves a second look, as words; empty for most."""
    levels = cases.filter(regex=f"^{BINS}")
    original = cases.get(f"{BINS}original")
    found = {
        "several_regions": cases["regions"] > 1,
        "estimated_spacing": cases["spacing_source"].str.contains("estimated"),
        "undefined_features": cases["undefined_features"] > 0,
        "one_grey_level": (levels == 1).any(axis=1),
    }
    if original is not None:
        found[f"fewer_than_{FEWEST_BINS}_grey_levels"] = original < FEWEST_BINS
        found[f"more_than_{MOST_BINS}_grey_levels"] = original > MOST_BINS
    marks = np.stack([np.asarray(found[name], dtype=bool) for name in found], axis=1)
    return [" ".join(np.array(list(found))[row]) for row in marks]


@dataclass
class Columns:
    """What is noticed about each feature while a table is written.

    Attributes
    ----------
    names : tuple[str, ...]
        The features.
    n_rows : int
        Rows so far.
    """

    names: tuple[str, ...]
    n_rows: int = 0
    _first: NDArray[np.float64] | None = field(default=None, repr=False)
    _constant: NDArray[np.bool_] = field(init=False, repr=False)
    _undefined: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._constant = np.ones(len(self.names), dtype=bool)
        self._undefined = np.zeros(len(self.names), dtype=np.int64)

    def add(self, rows: NDArray[np.float64]) -> None:
        """Take in some rows."""
        if self._first is None:
            self._first = rows[0].copy()
        missing = np.isnan(rows)
        same = (rows == self._first) | (missing & np.isnan(self._first))
        self._constant &= same.all(axis=0)
        self._undefined += missing.sum(axis=0)
        self.n_rows += len(rows)

    @property
    def degenerate(self) -> list[str]:
        """Features with one value (or none) in all of two or more rows."""
        if self.n_rows < 2:
            return []
        return [self.names[column] for column in np.flatnonzero(self._constant)]

    @property
    def undefined(self) -> dict[str, int]:
        """Rows without a value, for the features that have such."""
        return {
            self.names[column]: int(self._undefined[column])
            for column in np.flatnonzero(self._undefined)
        }


def write_features(path: Path, names: Sequence[str], batches: Iterable[Batch]) -> Columns:
    """Write a table of features, a row group for each batch; a missing value is null."""
    columns = Columns(tuple(names))
    schema = pa.schema(
        [(name, pa.string()) for name in ID_COLUMNS] + [(name, pa.float64()) for name in names]
    )
    with (
        atomic(path) as temporary,
        parquet.ParquetWriter(
            temporary, schema, compression="zstd", use_dictionary=list(ID_COLUMNS)
        ) as writer,
    ):
        for images, rows in batches:
            columns.add(rows)
            texts = [pa.array(images[name], pa.string(), from_pandas=True) for name in ID_COLUMNS]
            numbers = [pa.array(column, from_pandas=True) for column in rows.T]
            writer.write_table(pa.Table.from_arrays(texts + numbers, schema=schema))
    return columns
