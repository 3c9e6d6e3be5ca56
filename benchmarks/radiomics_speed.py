r"""CPU seconds per case: our engine, pyradiomics on the whole image, pyradiomics on a crop.

The three run in turn on the same phantom, one thread each; the median of the rounds is shown,
beside the largest relative difference from the whole image over all features, and how many differ
by more than 1e-6::

    OMP_NUM_THREADS=1 python benchmarks/radiomics_speed.py
    OMP_NUM_THREADS=1 python benchmarks/radiomics_speed.py \
        --shape 3328 2560 --spacing 0.07 --radius 144
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mammoroi.imaging.mammogram import Mammogram
from mammoroi.radiomics.engine import features_of
from mammoroi.radiomics.filters import Box
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.radiomics.presets import DEFAULT, Preset, load_preset
from mammoroi.radiomics.reference import reference_features

CROP_MARGIN = 60
Extraction = Callable[[Mammogram, NDArray[np.bool_], Preset], dict[str, float]]


def engine(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> dict[str, float]:
    return features_of(mammogram, mask, preset).by_name


def cropped(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> dict[str, float]:
    box = Box.around(mask).widened(CROP_MARGIN, CROP_MARGIN, mask.shape)
    part = replace(mammogram, pixels=box.cut(mammogram.pixels))
    return reference_features(part, box.cut(mask), preset)


WAYS: dict[str, Extraction] = {
    "whole image": reference_features,
    f"crop + {CROP_MARGIN} px": cropped,
    "mammoroi": engine,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default=DEFAULT)
    parser.add_argument("--shape", type=int, nargs=2, default=(700, 400), metavar=("ROWS", "COLS"))
    parser.add_argument("--spacing", type=float, default=0.3, help="mm per pixel")
    parser.add_argument("--radius", type=float, nargs="+", default=(33, 62), help="of the ROI, px")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    warnings.simplefilter("ignore", UserWarning)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    preset = load_preset(arguments.preset)
    table = Table(title=f"{preset.name}, {arguments.shape[0]} x {arguments.shape[1]} pixels")
    table.add_column("")
    for heading in ("ROI px", "features", "CPU s", "largest diff.", "> 1e-6"):
        table.add_column(heading, justify="right")
    for radius in arguments.radius:
        for row in compare(tuple(arguments.shape), radius, arguments, preset):
            table.add_row(*row)
        table.add_section()
    Console().print(table)


def compare(
    shape: tuple[int, int], radius: float, arguments: argparse.Namespace, preset: Preset
) -> list[tuple[str, ...]]:
    mammogram, mask = textured_phantom(shape, radius, arguments.spacing)
    mammogram.pixels[:8, :40] = 4095  # a marker: the brightest pixels lie outside of any crop
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    values: dict[str, NDArray[np.float64]] = {}
    engine(*textured_phantom(), preset)  # imports are not what is timed
    for _ in range(arguments.rounds):
        for name, way in WAYS.items():
            started = time.process_time()
            features = way(mammogram, mask, preset)
            seconds[name].append(time.process_time() - started)
            values[name] = np.array(list(features.values()))
    truth = values["whole image"]
    rows = []
    for name, found in values.items():
        difference = np.abs(found - truth) / np.maximum(np.abs(truth), 1e-12)
        rows.append(
            (
                name,
                f"{np.count_nonzero(mask):,}",
                f"{len(found):,}",
                f"{np.median(seconds[name]):.2f}",
                f"{np.nanmax(difference):.1e}",
                f"{np.count_nonzero(difference > 1e-6):,}",
            )
        )
    return rows


if __name__ == "__main__":
    main()
