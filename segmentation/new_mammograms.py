"""Draw masks for new mammograms: with the networks of all folds, into a folder of their own."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from textwrap import fill
from typing import Any

from ..cohort.given_spacing import GivenSpacing, check_given, spacing_of
from ..errors import Failure, MammoroiError
from ..files import check_writable, claim_folder, sha256_files, sha256_of, write_json
from ..imaging.spacing import GIVEN
from .cases import map_cases
from .config import SegmentationConfig
from .drawing import load_to_draw
from .outline import load_outline, of_both_stages
from .predict import draw, write_results
from .prepare import working_array
from .probability import on_device
from .weights import Model, place_of_networks

log = logging.getLogger(__name__)

ENDINGS = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".nrrd", ".mha")
_LONGEST = 200
"""Bytes of a name with folders, so that it fits with an ending into the 255 of a file system."""
_LONGEST_OWN = 240
"""Bytes of a file's own name, for the same reason."""


def image_name(path: Path) -> str:
    """Give an image's name: its file's without an ending that says the format.

    Other points stay: DICOM files are often named by a UID, ``1.2.840.113619``.
    """
    for ending in (".nii.gz", *ENDINGS):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def image_names(paths: Sequence[Path]) -> list[str]:
    """Give each image a name of its own, by :func:`image_name`.

    Where several would have the same, as in ``A/IM0001.dcm`` and ``B/IM0001.dcm``, the folders
    below the one that all of these share stand before it: ``A-IM0001`` and ``B-IM0001``.

    Raises
    ------
    MammoroiError
        When two would still have the same name, or one is too long for results to be named by it.
    """
    names = [image_name(path) for path in paths]
    for name in names:
        if len(os.fsencode(name)) > _LONGEST_OWN:
            raise MammoroiError(
                f"the name {name[:40]}... has more than {_LONGEST_OWN} bytes",
                "rename the file: its results have its name with an ending",
            )
    again = {name for name, count in Counter(names).items() if count > 1}
    if again:
        # Links are not followed: what they point to may be named by a hash.
        at = [Path(os.path.abspath(path)).parent for path in paths]  # noqa: PTH100
        shared = os.path.commonpath([at[k] for k, name in enumerate(names) if name in again])
        for k in [k for k, name in enumerate(names) if name in again]:
            longer = "-".join([*at[k].relative_to(shared).parts, names[k]])
            if len(os.fsencode(longer)) <= _LONGEST:
                names[k] = longer
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise MammoroiError(
            f"several files are named {', '.join(repeated[:5])}",
            "rename them, or take them in several runs into different folders",
        )
    return names


def segment_images(
    model_folder: Path, images: list[Path], out: Path, spacing_mm: GivenSpacing | None = None
) -> list[Failure]:
    """Draw the masks of new mammograms with the mean probability of all folds' networks.

    Writes for every image ``<name>.png`` (0 or 255, on its own grid) and
    ``overlays/<name>.png``, and ``predictions.csv`` and ``failures.csv`` as a study has them
    (``image_id`` is the file's name without its ending, see :func:`image_names`, ``patient_id`` is
    empty, ``fold`` is ``new``). ``models.json`` holds the cards of the networks; a notice in them
    is logged and stands on the overlays. ``inputs.json`` says of which images and networks the
    results are; those of an earlier run with the same ones are replaced.

    Parameters
    ----------
    model_folder : Path
        A study folder, its ``segmentation``, or a copy of the ``fold-*`` folders therein, and of
        ``outline`` where the study draws in two stages.
    images : list of Path
        Files that :func:`mammoroi.imaging.read.read_mammogram` reads.
    out : Path
        Folder for the results.
    spacing_mm : float or mapping, optional
        Pixel size, for files that do not say it themselves, or that of each
        (:mod:`mammoroi.cohort.given_spacing`); what a file says counts.

    Returns
    -------
    list of Failure
        Images without a mask; of a case that failed, none is left.

    Raises
    ------
    MammoroiError
        When two files get the same name, the spacing cannot be meant, the networks cannot be
        trusted, or the folder holds results of other images or networks.
    OSError
        When nothing can be written to ``out``.
    """
    from ..imaging.mask import refuse_mask, write_mask
    from ..imaging.read import read_display, read_mammogram
    from .overlays import draw_overlay
    from .trainer import choose_device

    check_given(images, spacing_mm)
    out = Path(out)
    names = image_names(images)
    check_writable(out)
    model_folder = place_of_networks(Path(model_folder))
    models = load_to_draw(model_folder)
    notices = list(dict.fromkeys(model.notice for model in models if model.notice))
    for notice in notices:
        log.warning(notice)
    outline = load_outline(model_folder, len(models))
    networks = of_both_stages(models, outline)
    device = choose_device(SegmentationConfig())
    _claim(out, dict(zip(names, map(Path, images), strict=True)), networks)

    def draw_case(image_id: str, path: Path) -> dict[str, Any]:
        given = spacing_of(path, spacing_mm)
        mammogram = read_mammogram(path, spacing_mm=given, spacing_source=GIVEN)
        refuse_mask(mammogram)
        array, mapping, limits = working_array(mammogram, models[0].working_spacing_mm)
        outlining = outline.of_mammogram(mammogram, mapping, limits) if outline else None
        drawn = draw(models, array, mapping, models[0].card["inference"], device, outlining)
        write_mask(out / f"{image_id}.png", drawn.mask)
        draw_overlay(
            out / "overlays" / f"{image_id}.png",
            read_display(path),
            mapping,
            title="\n".join([image_id, *(fill(notice, 72) for notice in notices)]),
            automatic=drawn.mask,
        )
        return {"image_id": image_id, "patient_id": None, "fold": "new", **drawn.row()}

    cases = [(name, (name, path)) for name, path in zip(names, map(Path, images), strict=True)]
    with on_device(networks, device):
        results = list(map_cases(draw_case, cases, "segmentation/segment", "Drawing masks"))
    write_json(out / "models.json", [model.card for model in networks])
    failures = write_results(out, results, [])
    for failure in failures:  # what was written of a case before it failed is no result
        for path in (out / f"{failure.case}.png", out / "overlays" / f"{failure.case}.png"):
            path.unlink(missing_ok=True)
    return failures


def _claim(out: Path, images: dict[str, Path], networks: list[Model]) -> None:
    """Refuse a folder with masks of other images or networks; remove those of the same."""
    made_of = {
        "images": sha256_files(images),
        "model": sha256_of([model.card for model in networks]),
    }
    tables = ("predictions.csv", "failures.csv", "models.json", "overlays/*.png")
    claim_folder(out, made_of, [*tables, *(f"{escape(name)}.png" for name in images)])
