"""What the files say about the features: processing of the images, settings, numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from . import wording
from .record import SOURCES, Fact, Record, listed

_NAMES = {
    "shape": "shape (3D)", "shape2D": "shape", "contour": "contour", "firstorder": "first order",
    "glcm": "grey level co-occurrence matrix", "glrlm": "grey level run length matrix",
    "glszm": "grey level size zone matrix", "gldm": "grey level dependence matrix",
    "ngtdm": "neighbouring grey tone difference matrix",
}  # fmt: skip
_SHORT = {"glcm": "GLCM", "glrlm": "GLRLM", "glszm": "GLSZM", "gldm": "GLDM", "ngtdm": "NGTDM"}
_TABLES = (*SOURCES, "reader2")


def extraction(record: Record) -> Fact | None:
    """With what software the features were computed, and that all sources were treated alike."""
    about, _ = record.features()
    if "engine_version" not in about:
        return None
    made = {roi: record.json(f"features/{roi}.json") for roi in _TABLES}
    hashes = {(roi, found.get("settings_sha256")) for roi, found in made.items() if found}
    library = about.get("versions", {}).get("pyradiomics-bhklab")
    text = (
        "Features were computed in two dimensions"
        + (f" by the definitions of pyradiomics {library}" if library else "")
        + f" (preset {about['preset']}, engine {about['engine']} {about['engine_version']})"
    )
    if len(hashes) > 1 and len({one for _, one in hashes}) == 1:
        text += ", with the same settings for all masks"
    return Fact(f"{text}.", tuple(f"features/{roi}.json" for roi in _TABLES if made[roi]))


def preprocessing(record: Record) -> Fact | None:
    """What was done to the pixels before any feature."""
    about, file = record.features()
    settings = about.get("settings")
    if "preparation" not in about or settings is None:
        return None
    how = about["preparation"] or {}
    text = []
    method = how.get("normalise")
    if method:
        region = "the breast" if method.get("within") == "breast" else "the image"
        text.append(
            f"Grey levels were normalised to {method['scale']:g} times their z-score in {region}."
            if method.get("method") == "z-score"
            else f"Grey levels were normalised by {method.get('method')} in {region}."
        )
    elif settings.get("normalize"):
        scale = settings.get("normalizeScale", 1)
        text.append(f"Grey levels were normalised to {scale:g} times their z-score in the image.")
    else:
        text.append("Grey levels were not normalised.")
    if how.get("rings_mm"):
        ends = [0.0, *how["rings_mm"]]
        rings = [f"{a:g} to {b:g} mm" for a, b in pairwise(ends)]
        text.append(f"Besides the lesion, the rings from {listed(rings)} around it were measured.")
    return Fact(" ".join(text), (file,))


def resampling(record: Record) -> Fact | None:
    """Whether and how pixels were resampled."""
    about, file = record.features()
    settings = about.get("settings")
    if "preparation" not in about or settings is None:
        return None
    spacing = (about["preparation"] or {}).get("spacing_mm")
    if spacing:
        text = (
            f"Mammograms were resampled to {spacing:g} mm by cubic B-splines, masks by linear "
            "interpolation (inside where half of the mask or more is)."
        )
    elif settings.get("resampledPixelSpacing"):
        spacing = listed([f"{mm:g}" for mm in settings["resampledPixelSpacing"]])
        text = f"Images were resampled to {spacing} mm within pyradiomics."
    else:
        text = "Images were not resampled."
    return Fact(text, (file,))


def discretisation(record: Record) -> Fact | None:
    """How grey levels were binned."""
    about, file = record.features()
    settings = about.get("settings", {})
    if settings.get("binCount"):
        text = f"Grey levels were binned into {settings['binCount']} bins of equal width"
    elif settings.get("binWidth"):
        text = f"Grey levels were binned with a fixed width of {settings['binWidth']:g}"
    else:
        return None
    own = [
        f"{'a width' if key == 'binWidth' else 'a count'} of {given[key]:g} for {name}"
        for name, given in about.get("image_types", {}).items()
        for key in ("binWidth", "binCount")
        if (given or {}).get(key) is not None
    ]
    return Fact(f"{text} ({listed(own)})." if own else f"{text}.", (file,))


def grey_levels(record: Record) -> Fact | None:
    """How many grey levels came of the discretisation."""
    about, file = record.features()
    bins = about.get("bins", {}).get("original")
    if not bins:
        return None
    return Fact(
        f"In the original images there were {bins['least']} to {bins['greatest']} grey levels in "
        f"the lesion (median {bins['median']:g}).",
        (file,),
    )


def image_types(record: Record) -> Fact | None:
    """From which images features were computed."""
    about, file = record.features()
    types = about.get("image_types")
    if not types:
        return None
    return Fact(
        f"Image types: {listed([_with_parameters(*one) for one in types.items()])}.", (file,)
    )


def _with_parameters(name: str, given: dict[str, Any] | None) -> str:
    return f"{name} ({parameters(given)})" if parameters(given) else name


def parameters(given: dict[str, Any] | None) -> str:
    """The parameters of an image type in one line; binning has a sentence of its own."""
    return "; ".join(
        f"{key} {plain(value)}"
        for key, value in (given or {}).items()
        if key not in ("binWidth", "binCount")
    )


def feature_classes(record: Record) -> Fact | None:
    """Which classes of features, with how many of each."""
    about, file = record.features()
    classes = about.get("feature_classes")
    if not classes:
        return None
    dictionary = record.table("features/dictionary.csv")
    counts = {} if dictionary is None else dictionary["feature_class"].value_counts().to_dict()
    parts = [
        f"{_NAMES.get(name, name)} ({counts[name]})" if name in counts else _NAMES.get(name, name)
        for name in classes
    ]
    files = (file,) if dictionary is None else (file, "features/dictionary.csv")
    return Fact(f"Feature classes: {listed(parts)}.", files)


def feature_kinds(record: Record) -> Fact | None:
    """How many features of how many classes and images, in one sentence."""
    about, file = record.features()
    types, classes = about.get("image_types"), about.get("feature_classes")
    if not types or not classes or "n_features" not in about:
        return None
    filtered = [name for name in types if name != "Original"]
    text = (
        f"Each mask gave {about['n_features']:,} features ("
        f"{listed([_SHORT.get(name, _NAMES.get(name, name)) for name in classes])})"
    )
    if "Original" in types:
        text += " of the original image"
    if filtered:
        kinds = wording.plural(len(filtered), "filter")
        text += f"{' and' if 'Original' in types else ' of'} after {kinds}"
    return Fact(f"{text}.", (file,))


def feature_count(record: Record) -> Fact | None:
    """How many features each mask gave, and of how many masks."""
    about, file = record.features()
    if "n_features" not in about:
        return None
    text = [f"Each mask gave {about['n_features']:,} features."]
    masks = about.get("counts")
    if masks:
        share = wording.share(masks["used"], masks["cases_in"], f"{about['roi']} masks")
        text.append(f"They were computed for {share}; {masks['failed']} failed.")
    useless = len(about.get("degenerate_features", []))
    if useless:
        text.append(f"{wording.plural(useless, 'feature')} had the same value in every image.")
    return Fact(" ".join(text), (file,))


def defaults(record: Record) -> Fact | None:
    """That what is not listed stayed as it is."""
    about, file = record.features()
    settings = about.get("settings")
    if settings is None:
        return None
    given = [f"{name} {plain(value)}" for name, value in settings.items()]
    return Fact(
        f"Settings of the extraction: {listed(given)}; all others are pyradiomics' defaults.",
        (file,),
    )


def plain(value: Any) -> str:
    """A setting as text; the parts of a list with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def ibsi(record: Record) -> Fact | None:
    """How many features IBSI defines, and how many of these have IBSI's value."""
    table = record.table("features/dictionary.csv")
    if table is None or "ibsi" not in table:
        return None
    counts = table["ibsi"].value_counts()
    same, differs, none = (int(counts.get(name, 0)) for name in ("same", "differs", "none"))
    text = (
        f"Of {len(table):,} features, {same:,} follow IBSI's formula, {differs:,} differ from it "
        f"in a documented way, and {none:,} are not defined by IBSI"
    )
    if "image_ibsi" in table:
        plain = table["image_type"] == "Original"
        outside = int((~plain & (table["image_ibsi"] == "none")).sum())
        text += f"; {outside:,} rest on filters that IBSI 2 does not define"
    return Fact(f"{text}.", ("features/dictionary.csv",))


def ibsi_method(record: Record) -> Fact | None:
    """How many features follow IBSI, and where the others are marked."""
    table = record.table("features/dictionary.csv")
    if table is None or "ibsi" not in table:
        return None
    same = int((table["ibsi"] == "same").sum())
    return Fact(
        f"{same:,} of {len(table):,} follow the formulas of IBSI.",
        ("features/dictionary.csv",),
    )


def views(record: Record) -> Fact | None:
    """How the images of a patient became one row."""
    how, file = record.setting("modeling.views")
    words = {
        "mean": "the mean of each feature over her images",
        "maximum": "the largest value of each feature over her images",
        "minimum": "the smallest value of each feature over her images",
        "largest": "the features of the image with the largest lesion",
        "concat": "the features of CC and MLO side by side",
    }
    if how not in words:
        return None
    return Fact(f"A patient was described by {words[how]}.", (file,))


def feature_files(record: Record) -> Fact | None:
    """Which tables of features there are to be shared."""
    files = record.names("features/*.parquet")
    if not files:
        return None
    return Fact(f"The run wrote the feature tables {listed(files)}.", tuple(files))


FACTS = (
    extraction, preprocessing, resampling, discretisation, grey_levels, image_types,
    feature_classes, feature_kinds, feature_count, defaults, ibsi, ibsi_method, views,
    feature_files,
)  # fmt: skip
