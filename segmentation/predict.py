"""Draw the masks of a study's patients, by networks that never saw them.

``masks/automatic/<image_id>.png`` is on the mammogram's own grid, 0 or 255; all zero means that
the lesion was missed. ``masks/predictions.csv``: ``image_id, patient_id, fold`` (the fold whose
networks drew the mask, or ``test`` where those of all folds did), ``found`` (whether the mask
has any pixel), ``area_mm2``, ``mean_probability`` (mean within the mask; empty without a mask),
``entropy, expected_dice, member_dice`` (see :mod:`.uncertainty`) and ``model_sha256`` (of the
weights; for several networks, of their digests in order). ``masks/candidates.csv`` has
the regions from which the mask was chosen (see :mod:`.candidates`), and
``masks/probability/<image_id>.png`` the probability on the working array, 8 bits. With two stages
(:mod:`.outline`) all of it is of the probability that both gave together.
``masks/failures.csv`` lists the images without a mask. ``masks/normals/`` has all of this for the
mammograms of ``normal_cohort`` (:mod:`.normals`), where an empty mask is the right one. New
mammograms: :mod:`.new_mammograms`.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Failure
from ..files import (
    read_csv,
    read_json,
    sha256_files,
    sha256_of,
    write_csv,
    write_failures,
    write_json,
)
from .candidates import Candidate, find_candidates, without_faint
from .cases import map_cases
from .config import SegmentationConfig
from .drawing import check_settings
from .folds import drawing_folds
from .learned_from import check_unseen
from .learnt import learnt_settings
from .mapping import Mapping, resize
from .normals import Normals, find_normals
from .others import prepare_others
from .outline import (
    OUTLINE,
    Outlining,
    of_both_stages,
    outline_config,
    refined,
    trained_outline,
    training_places,
)
from .pixel_calibration import write_probability
from .postprocess import draw_regions, threshold_of
from .prepare import NORMALS, load_mapping, prepare
from .probability import on_device, probabilities
from .recalibration import Calibration
from .uncertainty import Uncertainty, uncertainty
from .weights import Model, load_folds

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ..cohort.split import Splits

log = logging.getLogger(__name__)

PREDICTION_VERSION = 3
COLUMNS = (
    "image_id", "patient_id", "fold", "found", "area_mm2", "mean_probability", "entropy",
    "expected_dice", "member_dice", "model_sha256",
)  # fmt: skip
_KINDS = ("automatic", "probability")


def segment(config: SegmentationConfig, study: Path) -> Path:
    """Draw the masks of all images of a study, cross-fitted; give their folder.

    A training patient's masks come from the mean probability of the networks of one fold, which
    were neither trained nor tuned on the patient; a test patient's from that of all networks. So do
    those of mammograms without a lesion, where the settings name any.
    Nothing is drawn again when networks, images, settings and the files drawn are unchanged.

    Raises
    ------
    MammoroiError
        When the networks there are not those that the settings ask for, or weights were changed.
    """
    from ..cohort.split import load_splits
    from .trainer import choose_device

    study = Path(study)
    masks = study / "masks"
    splits = load_splits(study)
    trained = study / "segmentation"
    networks = load_folds(trained, len(splits.folds), config.networks_per_fold)
    models = [model for of_fold in networks for model in of_fold]
    outline = trained_outline(config, trained, len(models))
    check_settings(config, trained, models[0].card)
    own = _own_images(config, study, splits)
    _prepare_normals(config, study)
    places = (trained, study / OUTLINE)[: 1 if outline is None else 2]
    normals = [find_normals(config, place, splits) for place in places]
    images = [own] if config.normal_cohort is None else [own, _normal_images(study, normals[0])]
    drawn = [
        frozenset(one for part in images for one, folds in part.folds.items() if fold in folds)
        for fold in range(len(networks))
    ]
    for place, found in zip(places, normals, strict=True):
        check_unseen(place, drawn, [found.keys_drawn_by(fold) for fold in range(len(networks))])
    key = sha256_of(
        PREDICTION_VERSION,
        config.inference(),
        [learnt_settings(trained, fold) for fold in (None, *range(len(networks)))],
        [model.sha256 for model in models],
        own.index[["image_id", "key"]].to_dict("records"),
        splits,
        *([outline.digest()] if outline else []),
        *(part.index[["image_id", "key", "patient_id"]].to_dict("records") for part in images[1:]),
        *(part.folds for part in images[1:]),
    )
    if _is_drawn(masks, key, images):
        return masks / "automatic"
    (masks / "segment.json").unlink(missing_ok=True)
    device = choose_device(config)

    def draw_image(name: str, folds: tuple[int, ...]) -> Drawn:
        of_one = folds[0] if len(folds) == 1 else None
        return draw(
            [model for fold in folds for model in networks[fold]],
            np.load(trained / "prepared" / f"{name}.npy"),
            load_mapping(study, name),
            config.inference() | learnt_settings(trained, of_one),
            device,
            outline.of_prepared(study, name, folds) if outline else None,
            least_mm2=config.minimum_area_mm2,
        )

    with on_device(of_both_stages(models, outline), device):
        whole = [_draw_images(part, draw_image) for part in images]
    if all(whole):
        write_json(masks / "segment.json", {"key": key, "files": _digest(images)})
    return masks / "automatic"


@dataclass(frozen=True)
class Images:
    """Prepared images of one cohort that are to be drawn.

    Attributes
    ----------
    index : DataFrame
        ``image_id, patient_id, key``, and ``name`` within ``prepared``.
    failures : list of Failure
        Images that could not be prepared.
    folds : dict of str to (int, ...)
        For each patient the folds whose networks draw her.
    masks : Path
        Where the masks and what is known of them are written.
    what : str
        What is drawn, for the bar of progress.
    lesions : bool
        Whether there is one in every image.
    """

    index: pd.DataFrame
    failures: list[Failure]
    folds: dict[str, tuple[int, ...]]
    masks: Path
    what: str
    lesions: bool


def _own_images(config: SegmentationConfig, study: Path, splits: Splits) -> Images:
    """Prepare the study's images."""
    prepared = prepare(config, study)
    if config.outline_spacing_mm is not None:
        prepare(outline_config(config), study, OUTLINE)
    index = read_csv(prepared / "index.csv", dtype={"image_id": str, "patient_id": str})
    folds = {patient: drawing_folds(splits, patient) for patient in index["patient_id"].unique()}
    index = index.assign(name=index["image_id"])
    return Images(index, _failures(prepared), folds, study / "masks", "Drawing masks", True)


def _prepare_normals(config: SegmentationConfig, study: Path) -> None:
    """Prepare the mammograms without a lesion; remove what earlier settings drew of some."""
    if config.normal_cohort is None:
        shutil.rmtree(study / "masks" / NORMALS, ignore_errors=True)
        return
    for settings, place in training_places(config):
        prepare_others(settings, study, place, (NORMALS,))


def _normal_images(study: Path, normals: Normals) -> Images:
    """Say where the mammograms without a lesion are drawn."""
    failures = _failures(study / "segmentation" / "prepared" / NORMALS)
    masks, what = study / "masks" / NORMALS, "Looking at normal mammograms"
    return Images(normals.index, failures, normals.folds, masks, what, False)


def _failures(prepared: Path) -> list[Failure]:
    """Read the images that could not be prepared."""
    return [
        Failure(**{str(name): value for name, value in row.items()})
        for row in read_csv(prepared / "failures.csv", dtype=str).to_dict("records")
    ]


def _draw_images(images: Images, draw_image: Callable[[str, tuple[int, ...]], Drawn]) -> bool:
    """Draw the masks of one cohort and write what is known of them; tell whether all could be."""
    from ..imaging.mask import write_mask

    masks = images.masks
    candidates: dict[str, list[Candidate]] = {}

    def draw_case(image_id: str, patient_id: str, name: str) -> dict[str, Any]:
        folds = images.folds[patient_id]
        drawn = draw_image(name, folds)
        write_mask(masks / "automatic" / f"{image_id}.png", drawn.mask)
        write_probability(masks / "probability" / f"{image_id}.png", drawn.probability)
        candidates[image_id] = drawn.candidates
        fold = str(folds[0]) if len(folds) == 1 else "test"
        return {"image_id": image_id, "patient_id": patient_id, "fold": fold, **drawn.row()}

    rows = images.index[["image_id", "patient_id", "name"]].itertuples(index=False)
    cases = [(row[0], tuple(row)) for row in rows]
    results = list(map_cases(draw_case, cases, "segmentation/segment", images.what))
    failed = {failure.case for failure in write_results(masks, results, images.failures)}
    for failure in failed:
        candidates.pop(failure, None)
    # A mask that an earlier run drew must not stand for the one that failed now, nor be left of an
    # image that is no longer there.
    _keep_masks(masks, set(images.index["image_id"]) - failed)
    write_candidates(masks / "candidates.csv", candidates)
    if images.lesions:
        _tell_empty(results)
    return not any(isinstance(result, Failure) for result in results)


def _keep_masks(masks: Path, image_ids: set[str]) -> None:
    """Remove what was drawn of all other images."""
    for kind in _KINDS:
        for path in (masks / kind).glob("[!.]*.png"):
            if path.stem not in image_ids:
                path.unlink(missing_ok=True)


def _tell_empty(results: list[dict[str, Any] | Failure]) -> None:
    """Say how many of the masks that were drawn have no pixel."""
    drawn = [result for result in results if not isinstance(result, Failure)]
    empty = sum(not row["found"] for row in drawn)
    if empty:
        log.warning(
            "in %d of %d mammograms the networks found nothing%s",
            empty,
            len(drawn),
            ": train longer, or lower segmentation.threshold" if empty == len(drawn) else "",
        )


@dataclass(frozen=True)
class Drawn:
    """A mask on the mammogram's grid and what is known of it.

    Attributes
    ----------
    mask : bool (rows, columns)
        All false: the lesion was missed.
    area_mm2 : float
        Its area.
    mean_probability : float or None
        Mean probability within the mask; None without one.
    uncertainty : Uncertainty
        How sure the networks are of it.
    candidates : list of Candidate
        The regions that may be lesions, before the mask kept the best of them.
    probability : float32 (working rows, working columns)
        Mean probability on the working array.
    model_sha256 : str
        SHA-256 of the network's weights; of several networks, that of their digests in order,
        those of the second stage last.
    n_regions : int
        Regions that reach the threshold and are large enough, from which the mask was made.
    """

    mask: NDArray[np.bool_]
    area_mm2: float
    mean_probability: float | None
    uncertainty: Uncertainty
    candidates: list[Candidate]
    probability: NDArray[np.float32]
    model_sha256: str
    n_regions: int

    def row(self) -> dict[str, Any]:
        """Give the columns of ``predictions.csv`` that describe the mask."""
        return {
            "found": bool(self.mask.any()),
            "area_mm2": self.area_mm2,
            "mean_probability": self.mean_probability,
            **vars(self.uncertainty),
            "model_sha256": self.model_sha256,
        }


def draw(
    models: list[Model],
    array: NDArray[np.float16],
    mapping: Mapping,
    inference: dict[str, Any],
    device: torch.device,
    outlining: Outlining | None = None,
    least_mm2: float | None = None,
) -> Drawn:
    """Draw the mask of one working array.

    The networks' mean probability on the working array is brought back to the mammogram's grid;
    there it becomes a mask (see :func:`.postprocess.draw_mask`).

    Parameters
    ----------
    models : list of Model
        One or several networks, on ``device``.
    array : float16 (working rows, working columns)
        See :func:`.prepare.working_array`.
    mapping : Mapping
        The way back.
    inference : dict
        ``threshold, max_components, minimum_area_mm2, test_time_augmentation, test_time_scales``,
        and where they are learnt ``calibration`` and ``minimum_score``.
    device : torch.device
        Where the networks are.
    outlining : Outlining, optional
        The second stage and the array that it sees; then the probability is that of both.
    least_mm2 : float, optional
        Area of the smallest candidates; by default that of ``inference``, which may be learnt for
        the sake of the mask.
    """
    members = [one for m in models for one in probabilities(m, array, inference, device)]
    if outlining is not None:
        members = refined(members, outlining, inference, device)
        mapping = outlining.mapping
        models = [*models, *outlining.models]
    working: NDArray[np.float32] = np.mean(members, axis=0)
    if calibration := inference.get("calibration"):
        calibrated = Calibration(**calibration)
        working, members = calibrated(working), [calibrated(member) for member in members]
    original = mapping.to_original(working)
    mask, n_regions = draw_regions(
        without_faint(original, inference.get("minimum_score", 0.0)),
        mapping.pixel_area_mm2,
        threshold_of(original, inference["threshold"]),
        inference["max_components"],
        inference["minimum_area_mm2"],
    )
    digests = [model.sha256 for model in models]
    least_mm2 = inference["minimum_area_mm2"] if least_mm2 is None else least_mm2
    return Drawn(
        mask=mask,
        area_mm2=float(mask.sum() * mapping.pixel_area_mm2),
        mean_probability=float(original[mask].mean()) if mask.any() else None,
        uncertainty=uncertainty(
            original, mask, [one >= threshold_of(one, inference["threshold"]) for one in members]
        ),
        candidates=find_candidates(original, mapping.pixel_area_mm2, least_mm2),
        probability=resize(working, array.shape) if outlining is not None else working,
        model_sha256=digests[0] if len(digests) == 1 else sha256_of(digests),
        n_regions=n_regions,
    )


def write_results(
    folder: Path, results: list[dict[str, Any] | Failure], earlier: list[Failure]
) -> list[Failure]:
    """Write ``predictions.csv`` and ``failures.csv``; give all failures."""
    import pandas as pd

    rows = [result for result in results if not isinstance(result, Failure)]
    failures = earlier + [result for result in results if isinstance(result, Failure)]
    write_csv(folder / "predictions.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    write_failures(folder / "failures.csv", failures)
    return failures


def write_candidates(path: Path, candidates: dict[str, list[Candidate]]) -> None:
    """Write ``candidates.csv``: a row per region, images in their order."""
    import pandas as pd

    names = [field.name for field in fields(Candidate)]
    rows = [{"image_id": image, **vars(one)} for image, many in candidates.items() for one in many]
    write_csv(path, pd.DataFrame(rows, columns=["image_id", *names]))


def _is_drawn(masks: Path, key: str, images: list[Images]) -> bool:
    """Tell whether what is there was drawn with this key, and is as it was written."""
    done = masks / "segment.json"
    was = read_json(done) if done.exists() else {}
    return was.get("key") == key and was.get("files") == _digest(images)


def _digest(images: list[Images]) -> str:
    """Digest all that is written of the images."""
    files = {
        f"{part.masks.name}/{name}": part.masks / name
        for part in images
        for name in (
            *("predictions.csv", "candidates.csv"),
            *(f"{kind}/{one}.png" for kind in _KINDS for one in part.index["image_id"]),
        )
    }
    return sha256_of(sha256_files(files))
