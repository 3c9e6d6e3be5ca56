"""The importers: five published data sets in the layouts of their releases, and any other.

``DATASETS`` names the data sets; each has a module that reads its release and one core that writes
the cohort (:mod:`.import_write`). Everything else that lies in two folders with a table is brought
in by :func:`import_images`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..errors import MammoroiError
from .import_cbis_ddsm import read_cbis_ddsm
from .import_cdd_cesm import read_cdd_cesm
from .import_cmmd import read_cmmd
from .import_common import Release, Several, Wanted, WithoutMask
from .import_folders import import_images
from .import_inbreast import read_inbreast
from .import_vindr_mammo import read_vindr_mammo
from .import_write import write_cohort

__all__ = ["DATASETS", "import_dataset", "import_images"]

DATASETS: dict[str, tuple[str, Callable[[Wanted], Release]]] = {
    "cbis-ddsm": ("digitised film, outlined masses or calcifications", read_cbis_ddsm),
    "inbreast": ("digital mammograms, outlined findings", read_inbreast),
    "vindr-mammo": ("digital mammograms, boxes around findings", read_vindr_mammo),
    "cmmd": ("digital mammograms with molecular subtypes, no masks", read_cmmd),
    "cdd-cesm": ("low-energy images of contrast mammography, outlined findings", read_cdd_cesm),
}
"""Name of a data set to what it is and the function that reads its release."""
WITH_NORMALS = ("inbreast", "vindr-mammo", "cdd-cesm")
"""Data sets that say of some images that nothing is to be seen in them."""


def import_dataset(
    dataset: Literal["cbis-ddsm", "inbreast", "vindr-mammo", "cmmd", "cdd-cesm"],
    folder: Path,
    out: Path,
    *,
    findings: tuple[str, ...] = ("Mass",),
    several: Several = "unite",
    images_without_mask: WithoutMask = "exclude",
    spacing_mm: float | None = None,
    gather: bool = False,
    subtracted: bool = False,
) -> Path:
    """Make a cohort folder from a published data set as it was downloaded.

    Parameters
    ----------
    dataset : {"cbis-ddsm", "inbreast", "vindr-mammo", "cmmd", "cdd-cesm"}
        Which one.
    folder : Path
        Where it lies; its tables directly in it, under their published names.
    out : Path
        The cohort folder to write; one that holds a cohort already is refused.
    findings : tuple of str
        Which findings count, in the words of the data set.
    several : {"unite", "largest", "exclude"}
        What becomes of an image with several of them: one mask of all, the largest alone, or the
        image is left out.
    images_without_mask : {"exclude", "keep", "normal"}
        Whether images without such findings are left out, or imported without a mask; `normal`
        imports those alone of which the release says that nothing is to be seen in them.
    spacing_mm : float
        A pixel spacing in mm for the images whose files state none; it is recorded as estimated.
        For CDD-CESM it counts for the images of its machine 1 only.
    gather : bool
        Bring the images together in ``out/images``, named by their ``image_id``, as hard links
        where the disk allows it and as copies elsewhere; otherwise they stay where they are.
    subtracted : bool
        CDD-CESM: the subtracted images too, not the low-energy ones alone.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    MammoroiError
        When the release is not complete, a finding does not exist, ``out`` holds a cohort,
        nothing is left to import, or subtracted or normal images are wanted of a data set without
        any.
    """
    folder, out = Path(folder), Path(out)
    if (out / "cohort.csv").exists():
        raise MammoroiError(f"{out} holds a cohort already", "choose another folder or delete it")
    if not folder.is_dir():
        raise MammoroiError(f"{folder} is no folder", "name the folder of the data set")
    if not findings:
        raise MammoroiError("no findings are asked for", "name at least one, such as Mass")
    if subtracted and dataset != "cdd-cesm":
        raise MammoroiError(f"{dataset} has no subtracted images", "leave out subtracted")
    if images_without_mask == "normal" and dataset not in WITH_NORMALS:
        raise MammoroiError(
            f"{dataset} tells of no image that it is normal",
            f"take images_without_mask: exclude or keep, or one of {', '.join(WITH_NORMALS)}",
        )
    wanted = Wanted(
        folder, tuple(findings), several, images_without_mask, spacing_mm, gather, subtracted
    )
    _, read = DATASETS[dataset]
    return write_cohort(read(wanted), wanted, out)
