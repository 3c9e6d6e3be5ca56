"""Does a breast's other view help to find the lesion: masks of one view with the other's map.

Needs a study whose masks are drawn (``mammoroi segment``) and that kept its prepared arrays::

    python benchmarks/both_views.py STUDY [STUDY ...]

A lesion lies about as far from the nipple in the craniocaudal as in the mediolateral oblique view.
For every breast with both views, the probability map of one is raised where the other has high
probability at the same distance from the nipple, and lowered elsewhere: the logit gets
``weight * log(other)``, ``other`` being the other map's maximum at that distance, smoothed over
``smoothing`` mm. The nipple is taken as the breast's point farthest from the chest wall. The mask
is drawn from both maps alike, at the largest expected Dice with all regions of 25 mm2 or more.

Nothing is trained: maps are those of networks that never saw the patient, and weight and
smoothing are given, not chosen by these masks.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammoroi.files import read_csv
from mammoroi.segmentation.bootstrap import mean_and_median
from mammoroi.segmentation.pixel_calibration import read_probability
from mammoroi.segmentation.postprocess import draw_mask
from mammoroi.segmentation.prepare import load_mapping
from mammoroi.segmentation.store import load_array

Map = NDArray[np.float32]
AIR = 0.02
FAR_MM = 400
FLOOR = 0.02
"""The other view lowers a probability by no more than this share's logarithm."""


@dataclass(frozen=True)
class View:
    """One view on its working array: probability, manual mask, distance from the nipple in mm."""

    probability: Map
    manual: NDArray[np.bool_]
    distance: Map
    pixel_mm2: float

    def dice(self, probability: Map) -> float:
        """Dice of the mask that is drawn from a probability."""
        drawn = draw_mask(probability, self.pixel_mm2, "expected-dice", 0, 25.0)
        total = int(drawn.sum()) + int(self.manual.sum())
        return 2 * int((drawn & self.manual).sum()) / total if total else 1.0


def load_view(study: Path, image_id: str) -> View:
    prepared = study / "segmentation" / "prepared"
    image = load_array(prepared / f"{image_id}.npy").astype(np.float32)
    mapping = load_mapping(study, image_id)
    row_mm = mapping.height * mapping.row_mm / mapping.working_rows
    column_mm = mapping.width * mapping.column_mm / mapping.working_columns
    rows, columns = np.indices(image.shape)
    tip = columns[image > AIR].max()
    nipple = rows[(image > AIR) & (columns >= tip - 2)].mean()
    distance = np.hypot((rows - nipple) * row_mm, (columns - tip) * column_mm)
    return View(
        probability=read_probability(study / "masks" / "probability" / f"{image_id}.png"),
        manual=load_array(prepared / f"{image_id}.mask.npy") > 0,
        distance=distance.astype(np.float32),
        pixel_mm2=mapping.working_pixel_area_mm2,
    )


def with_other(view: View, other: View, weight: float, smoothing: float) -> Map:
    """Give the probability of a view after looking at the other one."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.special import expit, logit

    highest = np.zeros(FAR_MM)
    np.maximum.at(highest, other.distance.astype(int).ravel(), other.probability.ravel())
    smooth = gaussian_filter1d(highest, smoothing)
    smooth *= highest.max() / max(smooth.max(), 1e-6)
    factor = np.clip(smooth[view.distance.astype(int)], FLOOR, 1)
    # Halving is neutral: the other view's map is seldom above 1/2 without a lesion.
    changed = expit(logit(view.probability.clip(1e-4, 1 - 1e-4)) + weight * np.log(2 * factor))
    return np.where(view.probability > 0, changed, 0).astype(np.float32)


def measure(study: Path, weight: float, smoothing: float) -> None:
    cohort = read_csv(study / "cohort.csv", dtype=str)
    drawn = set(read_csv(study / "masks" / "predictions.csv", dtype=str)["image_id"])
    cohort = cohort[cohort["image_id"].isin(drawn)]
    before, after, owners, distances = [], [], [], []
    for (patient, _), images in cohort.groupby(["patient_id", "laterality"]):
        if sorted(images["view"]) != ["CC", "MLO"]:
            continue
        pair = [load_view(study, image_id) for image_id in images["image_id"]]
        distances.append([float(view.distance[view.manual].mean()) for view in pair])
        for view, other in (pair, pair[::-1]):
            before.append(view.dice(view.probability))
            after.append(view.dice(with_other(view, other, weight, smoothing)))
            owners.append(patient)
    change = np.subtract(after, before)
    mean, _ = mean_and_median(change, np.array(owners, dtype=object), 1000, 15)
    one, two = np.transpose(distances)
    print(
        f"{study}: {len(distances)} breasts; distance from the nipple in both views: correlation "
        f"{np.corrcoef(one, two)[0, 1]:.2f}, median difference {np.median(abs(one - two)):.0f} mm; "
        f"Dice {np.mean(before):.3f} alone, {np.mean(after):.3f} with the other view, "
        f"{mean.value:+.3f} ({mean.lower:+.3f} to {mean.upper:+.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("studies", type=Path, nargs="+", metavar="STUDY")
    parser.add_argument("--weight", type=float, default=0.5)
    parser.add_argument("--smoothing", type=float, default=15.0, help="in mm")
    given = parser.parse_args()
    for study in given.studies:
        measure(study, given.weight, given.smoothing)


if __name__ == "__main__":
    main()
