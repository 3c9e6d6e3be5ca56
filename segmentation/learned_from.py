"""From whom a network has learned: ``learned_from.csv`` beside its weights.

The table's columns are ``patient_id`` and ``role``: ``training`` and ``tuning`` of the study's own
patients, ``normal`` and ``pretraining`` of other cohorts', ``start`` of those from whom the network
had learned with which the training began; and ``key``, that of the prepared image, of a patient's
mammograms without a lesion (a row for each). With it a study refuses to draw a patient's masks, or
such a mammogram, by a network that has seen it, wherever the network comes from. It is of the
training folder alone: no bundle and no export holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import read_csv, write_csv
from .weights import network_folders

if TYPE_CHECKING:
    import pandas as pd

FILE = "learned_from.csv"
_SHOWN = 3


def note_learned_from(
    folder: Path,
    patients: Mapping[str, Sequence[str] | Set[str]],
    normals: Sequence[tuple[str, str, str]] = (),
) -> Path:
    """Write the table of a network.

    Parameters
    ----------
    folder : Path
        Where its ``model.safetensors`` is, or is to be.
    patients : mapping of str to names
        Patients by role.
    normals : sequence of (str, str, str)
        Name, key and patient of mammograms without a lesion.
    """
    import pandas as pd

    rows: list[tuple[str, str, str | None]] = [
        (name, role, None) for role, names in patients.items() for name in sorted(names)
    ]
    rows += sorted((patient, "normal", key) for _, key, patient in normals)
    table = pd.DataFrame(rows, columns=["patient_id", "role", "key"])
    return write_csv(folder / FILE, table, to_disk=True)


def learned_from(folder: Path) -> frozenset[str] | None:
    """Give the patients from whom a network has learned; None where that is not known."""
    table = _table(folder)
    return None if table is None else frozenset(table["patient_id"])


def _table(folder: Path) -> pd.DataFrame | None:
    """Read the table of a network; one from before there were keys has none."""
    if not (folder / FILE).exists():
        return None
    table = read_csv(folder / FILE, dtype=str)
    return table if "key" in table else table.assign(key=None)


def check_unseen(folder: Path, drawn: Sequence[Set[str]], normals: Sequence[Set[str]]) -> None:
    """See that no network of a study has learned from a patient whose masks it is to draw.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder, or its ``outline``.
    drawn : sequence of set of str
        For each fold the patients whose masks its networks draw.
    normals : sequence of set of str
        For each fold the keys of the mammograms without a lesion that they draw: their patients may
        have been named anew since.

    Raises
    ------
    MammoroiError
        When one has, or when it is not known from whom it has learned.
    """
    for name, place in network_folders(folder).items():
        table = _table(place)
        if table is None:
            raise MammoroiError(
                f"it is not known from whom {place} has learned: {FILE} is missing there",
                "run mammoroi train",
            )
        if both := sorted(set(table["patient_id"]) & drawn[name.fold]):
            more = ", ..." if len(both) > _SHOWN else ""
            raise MammoroiError(
                f"{place} has learned from {len(both)} of the patients whose masks it is to draw "
                f"({', '.join(both[:_SHOWN])}{more}): the patients were divided anew since",
                "run mammoroi train",
            )
        if same := set(table["key"].dropna()) & normals[name.fold]:
            raise MammoroiError(
                f"{place} has learned from {len(same)} of the mammograms without a lesion that it "
                "is to draw: their patients were named or divided anew since",
                "run mammoroi train",
            )
