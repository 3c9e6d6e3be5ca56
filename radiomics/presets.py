"""Which features are computed: a pyradiomics parameter file, checked before the first case.

A preset is a YAML file in pyradiomics' own format (``setting``, ``imageType``, ``featureClass``)
with four optional keys more:

========================  =======================================================================
``description``           one sentence
``features``              how many features it must yield; a run that would yield another number
                          does not start
``preparation``           resampling, normalisation and peritumoral rings
                          (:mod:`.preparation_config`)
``slice_thickness_mm``    thickness of the one slice on which the 3D class ``shape`` is computed;
                          required when ``shape`` is among the feature classes
========================  =======================================================================

and one feature class more, ``contour`` (:mod:`.contour`). A parameter file that was written for
pyradiomics therefore works as it is.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..cohort.schema import nearest
from ..configuration import refuse_repeated_keys
from ..errors import MammoroiError
from ..files import sha256_of
from . import contour
from .preparation_config import Preparation, is_positive, read_preparation, refuse_unknown

FOLDER = Path(__file__).resolve().parent.parent / "configs" / "radiomics"
DEFAULT = "mammography-1311"

SHAPE_CLASSES = ("shape", "shape2D", contour.CLASS)
"""Feature classes that look at the mask only."""

_OWN_KEYS = ("description", "features", "slice_thickness_mm", "preparation")
_PYRADIOMICS_KEYS = ("setting", "imageType", "featureClass")

# What the fast engine computes; anything else in a parameter file goes to the reference.
_EXACT_IMAGE_TYPES = frozenset(
    {
        "Original",
        "Wavelet",
        "LoG",
        "Square",
        "SquareRoot",
        "Logarithm",
        "Exponential",
        "Gradient",
        "LBP2D",
    }
)
_NOT_EXACT_SETTINGS = frozenset(
    {
        "correctMask",
        "normalize",
        "normalizeScale",
        "removeOutliers",
        "resampledPixelSpacing",
        "interpolator",
        "padDistance",
        "force2D",
        "force2Ddimension",
        "resegmentRange",
        "resegmentMode",
        "resegmentShape",
        "preCrop",
    }
)


@dataclass(frozen=True)
class Preset:
    """Settings, image types and feature classes of one extraction.

    Attributes
    ----------
    name : str
        A preset's name, or the file's path.
    description : str
        One sentence; may be empty.
    settings : Mapping
        pyradiomics' ``setting``.
    image_types : Mapping
        pyradiomics' ``imageType``: settings of each, which override ``settings``.
    feature_classes : Mapping
        pyradiomics' ``featureClass``: names of the features of each, or None for all; may hold
        ``contour``, which is none of pyradiomics'.
    slice_thickness_mm : float | None
        Thickness of the slice of the 3D class ``shape``.
    features : int | None
        The number of features promised.
    preparation : Preparation | None
        What is done with pixels and mask first.
    """

    name: str
    description: str
    settings: Mapping[str, Any]
    image_types: Mapping[str, Mapping[str, Any]]
    feature_classes: Mapping[str, list[str] | None]
    slice_thickness_mm: float | None
    features: int | None
    preparation: Preparation | None = None

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of everything that decides a value; name and description do not."""
        return sha256_of(
            dict(self.settings),
            {name: dict(custom) for name, custom in self.image_types.items()},
            dict(self.feature_classes),
            self.slice_thickness_mm,
            *([self.preparation] if self.preparation else []),
        )

    @functools.cached_property
    def exact(self) -> bool:
        """Whether the fast engine covers all of it; else the reference computes it."""
        used = set(self.settings).union(*self.image_types.values())
        named = {(key, name) for key, names in self.feature_classes.items() for name in names or []}
        return (
            set(self.image_types) <= _EXACT_IMAGE_TYPES
            and not used & _NOT_EXACT_SETTINGS
            and not (named and named & _deprecated())
        )

    @property
    def minimum_pixels(self) -> int:
        """The smallest number of pixels of an ROI (pyradiomics' minimumROISize is excluded)."""
        return int(self.settings.get("minimumROISize", 0)) + 1

    def without(self, feature_classes: Iterable[str]) -> Preset:
        """The same for pixels and masks that are prepared, less some of the feature classes."""
        left_out = set(feature_classes)
        kept = {key: value for key, value in self.feature_classes.items() if key not in left_out}
        return replace(self, feature_classes=kept, features=None, preparation=None)

    def parameters(self, feature_classes: Iterable[str]) -> dict[str, Any]:
        """The parameters that pyradiomics' extractor takes, for some of the feature classes."""
        return {
            "setting": dict(self.settings),
            "imageType": {name: dict(custom) for name, custom in self.image_types.items()},
            "featureClass": {name: self.feature_classes[name] for name in feature_classes},
        }


@functools.cache
def _deprecated() -> frozenset[tuple[str, str]]:
    """Classes and features that pyradiomics computes only for those who name them."""
    import radiomics

    return frozenset(
        (key, name)
        for key, own in radiomics.getFeatureClasses().items()
        for name, deprecated in own.getFeatureNames().items()
        if deprecated
    )


def available() -> tuple[str, ...]:
    """Names of the presets that come with mammoroi."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def preset_file(name: str) -> Path:
    """Where a preset is to be found: a YAML file of the user's, or a shipped one by its name."""
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        return Path(name).expanduser()
    return FOLDER / f"{name}.yaml"


def load_preset(name: str = DEFAULT) -> Preset:
    """Read a preset by its name, or a YAML file by its path, and check every key.

    Raises
    ------
    MammoroiError
        When there is no such preset or file, it is no YAML mapping, a key stands twice, or a key,
        image type, feature class, feature or value is none of pyradiomics'; the nearest valid one
        is named.
    """
    path = preset_file(name)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        refuse_repeated_keys(yaml.compose(text, yaml.SafeLoader), path)
    except FileNotFoundError:
        shipped = path.parent == FOLDER
        advice = nearest(name, available(), "presets") if shipped else "check the path"
        raise MammoroiError(f"there is no radiomics preset {name}", advice) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise MammoroiError(f"{path} is not YAML: {error}", "mend the file") from None
    if not isinstance(content, dict):
        raise MammoroiError(f"{path} holds no keys", f"give {', '.join(_PYRADIOMICS_KEYS)}")
    _check_keys(path, content)
    preset = Preset(
        name=name,
        description=str(content.get("description", "")),
        settings=_given(content.get("setting")),
        image_types={key: _given(value) for key, value in content["imageType"].items()},
        feature_classes={key: value or None for key, value in content["featureClass"].items()},
        slice_thickness_mm=content.get("slice_thickness_mm"),
        features=content.get("features"),
        preparation=read_preparation(path, content["preparation"])
        if "preparation" in content
        else None,
    )
    _check_values(path, preset)
    return preset


def _given(settings: dict[str, Any] | None) -> dict[str, Any]:
    """The settings that have a value; one without is left to pyradiomics' default."""
    return {key: value for key, value in (settings or {}).items() if value is not None}


def _check_keys(path: Path, content: dict[str, Any]) -> None:
    import radiomics

    schema = yaml.safe_load(Path(radiomics.getParameterValidationFiles()[0]).read_text("utf-8"))
    known_settings = schema["mapping"]["setting"]["mapping"]
    names = {key: own.getFeatureNames() for key, own in radiomics.getFeatureClasses().items()}
    names[contour.CLASS] = contour.NAMES
    refuse_unknown(path, "key", content, _PYRADIOMICS_KEYS + _OWN_KEYS)
    for key in ("imageType", "featureClass"):
        if not isinstance(content.get(key), dict):
            raise MammoroiError(
                f"{path}: {key} is missing", "list what to compute, one a line: 'Original: {}'"
            )
    refuse_unknown(path, "setting", content.get("setting") or {}, known_settings)
    refuse_unknown(path, "image type", content["imageType"], radiomics.getImageTypes())
    for name, custom in content["imageType"].items():
        refuse_unknown(path, f"setting of {name}", custom or {}, known_settings)
    refuse_unknown(path, "feature class", content["featureClass"], names)
    for name, features in content["featureClass"].items():
        if not isinstance(features or [], list):
            raise MammoroiError(
                f"{path}: {name} is {features!r}", "list features, or leave it empty for all"
            )
        refuse_unknown(path, f"feature of {name}", features or [], names[name])


def _check_values(path: Path, preset: Preset) -> None:
    from pykwalify.errors import PyKwalifyException
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    if preset.settings.get("label", 1) != 1:
        raise MammoroiError(
            f"{path}: setting label is {preset.settings['label']}",
            "leave it out: which value of a mask is the lesion is said in column mask_label",
        )
    if type(preset.features) not in (int, type(None)):
        raise MammoroiError(
            f"{path}: features is {preset.features!r}", "give a whole number, or leave it out"
        )
    thickness = preset.slice_thickness_mm
    if thickness is not None and not is_positive(thickness):
        raise MammoroiError(f"{path}: slice_thickness_mm is {thickness!r}", "give mm such as 1.0")
    if "shape" in preset.feature_classes and thickness is None:
        raise MammoroiError(
            f"{path}: the feature class shape is 3D, and a mammogram has no third dimension",
            "use shape2D, or state slice_thickness_mm for a volume of one slice",
        )
    prepared = preset.preparation
    for ours, theirs in (("normalise", "normalize"), ("spacing_mm", "resampledPixelSpacing")):
        if prepared and getattr(prepared, ours) and preset.settings.get(theirs):
            raise MammoroiError(
                f"{path}: preparation has {ours}, and pyradiomics' setting {theirs} does the same",
                "leave one of them out",
            )
    if prepared and prepared.rings_mm and not set(preset.feature_classes) - set(SHAPE_CLASSES):
        raise MammoroiError(
            f"{path}: preparation has rings_mm, of which the shape is not computed",
            "add a feature class of grey levels, such as firstorder, or leave rings_mm out",
        )
    # It reports at INFO that it reads what it was given.
    logging.getLogger(RadiomicsFeatureExtractor.__module__).setLevel(logging.WARNING)
    try:
        RadiomicsFeatureExtractor(
            preset.parameters(preset.without([contour.CLASS]).feature_classes)
        )
    except (PyKwalifyException, TypeError, ValueError) as error:
        message = " ".join(str(error).split())
        raise MammoroiError(f"{path}: {message}", "mend the value") from None
