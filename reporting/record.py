"""What a run left behind, read without insisting: a file that is not there is no evidence.

The checklists, the model cards and the methods section say only what stands in files. They read
through :class:`Record`, for which a missing file or key is None. A file that is there and cannot
be read stops them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from ..files import read_csv, read_json, sha256_file

if TYPE_CHECKING:
    import pandas as pd

_TEXT = dict.fromkeys(("image_id", "patient_id", "case", "fold", "group", "centre", "device"), str)
SOURCES = ("manual", "automatic")
"""Sources of masks; what else stands beside them under ``models/<target>/`` is no radiomic model
of one source (a clinical one, or both together)."""


CLASSIFYING = ("radiomics", "stability", "modeling", "comparison", "clinical")
"""The settings that mean nothing in a study without classifiers."""
OF_AUTOMATIC = ("segmentation", "comparison")
"""Those that mean nothing in a study of manual masks alone."""


@dataclass(frozen=True)
class Fact:
    """One thing that the files of a run say.

    Attributes
    ----------
    text : str
        One or more plain sentences.
    files : tuple of str
        Where it stands, relative to the study folder.
    shown : bool
        False where the sentence says that something was *not* done: true, but no evidence for a
        checklist.
    """

    text: str
    files: tuple[str, ...]
    shown: bool = True


@dataclass(frozen=True)
class ModelFiles:
    """The files of one fitted model; a dictionary is empty where its file is missing.

    Attributes
    ----------
    target, roi : str
        The folder ``models/<target>/<roi>``.
    heading : str
        The question in words, such as ``HER2 expression: zero against low or positive``.
    about, metrics, funnel : dict
        ``model.json``, ``metrics.json`` and ``funnel.json``.
    """

    target: str
    roi: str
    heading: str
    about: dict[str, Any]
    metrics: dict[str, Any]
    funnel: dict[str, Any]

    @property
    def name(self) -> str:
        """What sentences call it: ``sln with manual masks``."""
        return f"{self.target} with {self.roi} masks"

    def file(self, name: str) -> str:
        """Path of one of its files, relative to the study folder."""
        return f"models/{self.target}/{self.roi}/{name}"


@dataclass(frozen=True)
class Record:
    """The files of one study folder; each is read once.

    Attributes
    ----------
    folder : Path
        The study folder.
    """

    folder: Path
    _read: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def classifiers(self) -> bool:
        """Whether the study is of classifiers, too: not where its settings name no task."""
        modeling = (self.json("config.json") or {}).get("modeling") or {}
        return bool(modeling.get("tasks") != [])

    @property
    def automatic(self) -> bool:
        """Whether the study has automatic masks: not where its settings say ``masks: manual``."""
        return bool((self.json("config.json") or {}).get("masks") != "manual")

    @property
    def unused(self) -> tuple[str, ...]:
        """The sections of the settings that mean nothing in this study."""
        without = () if self.classifiers else CLASSIFYING
        return without if self.automatic else (*without, *OF_AUTOMATIC)

    def json(self, name: str) -> Any:
        """A JSON file, or None.

        Raises
        ------
        MammoroiError
            When it is there and is no JSON.
        """
        return self._once(name, lambda path: read_json(path))

    def table(self, name: str) -> pd.DataFrame | None:
        """A CSV file, or None.

        Raises
        ------
        MammoroiError
            When it is there and is no table.
        """
        table: pd.DataFrame | None = self._once(name, lambda path: read_csv(path, dtype=_TEXT))
        return table

    def digest(self, name: str) -> str | None:
        """SHA-256 of a file, or None."""
        digest: str | None = self._once(name, sha256_file, "digest")
        return digest

    def _once(self, name: str, read: Any, what: str = "content") -> Any:
        if (what, name) not in self._read:
            path = self.folder / name
            self._read[what, name] = read(path) if path.is_file() else None
        return self._read[what, name]

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.folder / name).is_file()

    def names(self, pattern: str) -> list[str]:
        """The files of a pattern, relative to the study folder, in order."""
        return sorted(
            path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern)
        )

    def setting(self, path: str) -> tuple[Any, str]:
        """A resolved setting such as ``modeling.lasso_rule``, and its file; None where unknown.

        The models' own files say it best, then ``run.json``. A setting in which the models differ
        is unknown, and so is one of classifiers or networks in a study without them.
        """
        room, _, name = path.partition(".")
        if room in self.unused:
            return None, ""
        if room == "modeling":
            given = [(model.about.get("settings", {}), model) for model in self.models()]
            values = [settings[name] for settings, _ in given if name in settings]
            if values and len(values) == len(given) and values.count(values[0]) == len(values):
                return values[0], given[0][1].file("model.json")
            if values:
                return None, ""
        found: Any = (self.json("run.json") or {}).get("config")
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return found, "run.json" if found is not None else ""

    def recipe(self) -> tuple[dict[str, Any], str]:
        """The steps of the models, and the file that says so; empty where unknown.

        A recipe that is given by name is looked up.
        """
        given, file = self.setting("modeling.recipe")
        if isinstance(given, str):
            from ..modeling.recipes import PRESET_RECIPES

            known = PRESET_RECIPES.get(given)
            return (asdict(known), file) if known else ({}, "")
        return (given, file) if isinstance(given, dict) else ({}, "")

    def clinical(self) -> dict[str, Any]:
        """The settings of the clinical tables, one by name looked up; empty where unknown."""
        given, _ = self.setting("clinical")
        if isinstance(given, str):
            from ..modeling.clinical_config import PRESET_CLINICAL

            known = PRESET_CLINICAL.get(given)
            return asdict(known) if known else {}
        return given if isinstance(given, dict) else {}

    def models(self) -> list[ModelFiles]:
        """The radiomic models, in the order of ``models/targets.json``."""
        return [model for model in self.all_models() if model.roi in SOURCES]

    def all_models(self) -> list[ModelFiles]:
        """Every folder ``models/<target>/<roi>`` with a ``metrics.json``."""
        entries = {entry["target"]: entry for entry in self.json("models/targets.json") or []}
        order = {name: at for at, name in enumerate(entries)}
        rois = {name: at for at, name in enumerate(SOURCES)}
        found = []
        for name in self.names("models/*/*/metrics.json"):
            _, target, roi, _ = name.split("/")
            found.append(
                ModelFiles(
                    target,
                    roi,
                    heading(entries.get(target, {"target": target})),
                    *(
                        self.json(f"models/{target}/{roi}/{part}.json") or {}
                        for part in ("model", "metrics", "funnel")
                    ),
                )
            )
        return sorted(
            found,
            key=lambda one: (order.get(one.target, len(order)), rois.get(one.roi, 9), one.roi),
        )

    def features(self) -> tuple[dict[str, Any], str]:
        """How the features of the manual masks were made, and the file; empty where unknown."""
        for roi in SOURCES:
            about = self.json(f"features/{roi}.json")
            if about:
                return about, f"features/{roi}.json"
        return {}, ""


def heading(entry: dict[str, Any]) -> str:
    """The question of an entry of ``models/targets.json`` in words."""
    title = str(entry.get("title") or entry["target"])
    if "positive" not in entry:
        return title
    title = title.removesuffix(f": {entry['positive']} against the rest")
    return f"{title}: {entry['positive']} against {entry.get('negative', 'the rest')}"


def coded(value: Any) -> str:
    """A class as it was written: one coded by a number is ``1``, also beside missing values."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def span(values: Sequence[float], digits: int = 0) -> str:
    """``7`` or ``7 to 12``: the range of some numbers."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def known(value: Any) -> TypeGuard[float]:
    """Whether a number is there."""
    return isinstance(value, (int, float)) and math.isfinite(value)
