"""What every feature is: meaning, IBSI code, unit and source, by its name in the tables.

Two tables beside the presets hold the knowledge:

``features.csv``
    A row per feature of pyradiomics and of :mod:`.contour`. ``ibsi``: ``same`` (IBSI's number, see
    docs/features.md), ``differs`` (``note`` says how) or ``none`` (not defined by IBSI). ``source``
    is filled where the formula is neither IBSI's nor in pyradiomics' documentation.
``image-types.csv``
    A row per image type; ``pattern`` is a regular expression of its name, the named groups of
    which are its parameters.

IBSI: Zwanenburg et al., reference manual, arXiv:1612.07003; filters: Depeursinge et al.,
arXiv:2006.05470.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from ..cohort.schema import nearest
from ..errors import MammoroiError
from ..files import read_csv, write_csv
from .presets import FOLDER

FILE_NAME = "dictionary.csv"

IBSI_FAMILIES = {
    "HCUG": "morphology",
    "UHIW": "intensity statistics",
    "ZVCW": "intensity histogram",
    "LFYI": "grey level co-occurrence",
    "TP0I": "grey level run length",
    "9SAK": "grey level size zone",
    "REK0": "neighbouring grey level dependence",
    "IPET": "neighbourhood grey tone difference",
}


@dataclass(frozen=True)
class FeatureDescription:
    """One feature; text is empty where there is nothing to say.

    Attributes
    ----------
    name : str
        As in the tables of features.
    region : str
        What stands before the image type, such as ``ring-5mm``; empty for the ROI itself.
    image_type, parameters, image : str
        The image type by its name in a preset, its parameters as ``key=value``, its meaning.
    image_ibsi_code, image_ibsi : str
        Code of the filter in IBSI 2, and whether it is the ``same``, ``differs`` or is ``none``.
    feature_class, feature, meaning : str
        pyradiomics' class and name, and one sentence.
    family, ibsi_family, ibsi_code, ibsi : str
        IBSI's family, its code, the feature's code, and ``same``, ``differs`` or ``none``.
    unit : str
        ``intensity`` is the unit of the image type's pixels, ``level`` a grey level after binning.
    binned, scales_with_size : str
        ``yes`` when computed after binning; when it grows (or falls) with the ROI by definition.
    source : str
        Where the formula is.
    note : str
        What else to know.
    """

    name: str
    region: str
    image_type: str
    parameters: str
    image: str
    image_ibsi_code: str
    image_ibsi: str
    feature_class: str
    feature: str
    meaning: str
    family: str
    ibsi_family: str
    ibsi_code: str
    ibsi: str
    unit: str
    binned: str
    scales_with_size: str
    source: str
    note: str


Row = dict[str, str]


@functools.cache
def feature_rows() -> dict[tuple[str, str], Row]:
    """The rows of ``features.csv`` by class and feature."""
    return {(row["feature_class"], row["feature"]): row for row in _read("features.csv")}


@functools.cache
def image_type_rows() -> tuple[Row, ...]:
    """The rows of ``image-types.csv``."""
    return tuple(_read("image-types.csv"))


def describe(name: str) -> FeatureDescription:
    """Describe a feature by its name, such as ``wavelet-LH_glcm_JointEntropy``.

    Raises
    ------
    MammoroiError
        When the name has not the form ``[region_]image-type_class_feature``, or the image type or
        the feature is in no table.
    """
    parts = name.split("_")
    if len(parts) not in (3, 4):
        raise MammoroiError(
            f"{name!r} is no name of a feature",
            "give one like original_firstorder_Mean: image type, class, feature",
        )
    image, feature_class, feature = parts[-3:]
    image_type, parameters = _image_type(name, image)
    about = _feature(name, feature_class, feature)
    return FeatureDescription(
        name=name,
        region=parts[0] if len(parts) == 4 else "",
        image_type=image_type["image_type"],
        parameters=parameters,
        image=image_type["meaning"],
        image_ibsi_code=image_type["ibsi_code"],
        image_ibsi=image_type["ibsi"],
        feature_class=feature_class,
        feature=feature,
        meaning=about["meaning"],
        family=IBSI_FAMILIES.get(about["ibsi_family"], ""),
        ibsi_family=about["ibsi_family"],
        ibsi_code=about["ibsi_code"],
        ibsi=about["ibsi"],
        unit=about["unit"],
        binned=about["binned"],
        scales_with_size=about["scales_with_size"],
        source=about["source"] or _source(about),
        note="; ".join(note for note in (about["note"], image_type["note"]) if note),
    )


def dictionary(names: Iterable[str]) -> pd.DataFrame:
    """Describe many features: a row each, in their order.

    A feature that no table describes keeps its row, with the reason as its ``note`` and the other
    columns empty: documentation that is missing is no cause to lose a table of features.
    """
    columns = [field.name for field in fields(FeatureDescription)]
    return pd.DataFrame([_row(name) for name in names], columns=columns).fillna("")


def write_dictionary(folder: Path, names: Iterable[str]) -> Path:
    """Write :func:`dictionary` beside the tables of features, as ``dictionary.csv``."""
    return write_csv(folder / FILE_NAME, dictionary(names))


def _row(name: str) -> Row:
    try:
        return asdict(describe(name))
    except MammoroiError as error:
        return {"name": name, "note": f"not described: {error.found}"}


def _read(file_name: str) -> list[Row]:
    table = read_csv(FOLDER / file_name, dtype=str).fillna("")
    return [
        {str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def _image_type(name: str, image: str) -> tuple[Row, str]:
    for row in image_type_rows():
        found = re.fullmatch(row["pattern"], image)
        if found:
            groups = found.groupdict().items()
            return row, ", ".join(f"{key}={text.replace('-', '.')}" for key, text in groups if text)
    known = [row["image_type"] for row in image_type_rows()]
    raise MammoroiError(f"{name!r}: no image type {image!r}", nearest(image, known))


def _feature(name: str, feature_class: str, feature: str) -> Row:
    rows = feature_rows()
    if (feature_class, feature) in rows:
        return rows[feature_class, feature]
    classes = list(dict.fromkeys(key[0] for key in rows))
    if feature_class not in classes:
        raise MammoroiError(
            f"{name!r}: no feature class {feature_class!r}", nearest(feature_class, classes)
        )
    raise MammoroiError(
        f"{name!r}: no feature {feature!r} of {feature_class}",
        nearest(feature, [key[1] for key in rows if key[0] == feature_class]),
    )


def _source(about: Row) -> str:
    if about["ibsi"] == "same":
        return f"IBSI (arXiv:1612.07003), {about['ibsi_code']}"
    return f"pyradiomics documentation, {about['feature_class']}.{about['feature']}"
