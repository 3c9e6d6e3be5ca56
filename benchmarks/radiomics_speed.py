r"""CPU seconds and peak memory per case: our engine beside pyradiomics and flash-radiomics.

Every measurement is a process of its own on one thread; the ways take turns, round after round, on
the same phantoms. Reading the image is not part of it. Shown are medians of the rounds, the ratio
to pyradiomics on the whole image, and the largest relative difference from its values. The preset
is ``paper-1409``: 15 image types (1,395 features) and the 14 features of ``shape``; the time
without ``shape`` stands beside the whole::

    python benchmarks/radiomics_speed.py --rounds 3 --out build/radiomics_speed.csv
    python benchmarks/radiomics_speed.py --flash PATH     # with flash-radiomics from PATH

The ways: ``whole image`` (pyradiomics' extractor, the reference), ``crop + 60 px`` (the same on a
crop, which changes values), ``flash`` (flash-radiomics, told not to reuse grey levels of another
image type, which it keys on a memory address), ``mammoroi``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mammoroi.imaging.mammogram import Mammogram
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.radiomics.presets import Preset, load_preset

PRESET = "paper-1409"
CROP_MARGIN = 60
GRIDS = {"1280 x 1024": ((1280, 1024), 0.2), "4096 x 3328": ((4096, 3328), 0.07)}
MASSES_MM = (10, 20, 30)
Features = dict[str, float]
Extraction = Callable[[Mammogram, NDArray[np.bool_], Preset], Features]


def mammoroi(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> Features:
    from mammoroi.radiomics.engine import features_of

    return features_of(mammogram, mask, preset).by_name


def whole_image(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> Features:
    from mammoroi.radiomics.reference import reference_features

    return reference_features(mammogram, mask, preset)


def cropped(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> Features:
    from mammoroi.radiomics.filters import Box

    box = Box.around(mask).widened(CROP_MARGIN, CROP_MARGIN, mask.shape)
    part = replace(mammogram, pixels=box.cut(mammogram.pixels))
    return whole_image(part, box.cut(mask), preset)


def flash(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> Features:
    from flash_radiomics import RadiomicsFeatureExtractor

    from mammoroi.imaging.simpleitk import mask_to_sitk, to_sitk

    class Forgetful(dict):
        def __setitem__(self, key: Any, value: Any) -> None:
            """Keep nothing."""

    if "shape" in preset.feature_classes:  # it has no shape of one slice
        return {}
    os.chdir(os.environ["FLASH_OUT"])
    extractor = RadiomicsFeatureExtractor(
        preset.parameters(preset.feature_classes), backend="cpu", num_threads=1
    )
    extractor._discretization_cache = Forgetful()
    found = extractor.execute(to_sitk(mammogram), mask_to_sitk(mask, mammogram))
    return {k: float(v) for k, v in found.items() if not k.startswith("diagnostics_")}


WAYS: dict[str, Extraction] = {
    "whole image": whole_image,
    f"crop + {CROP_MARGIN} px": cropped,
    "flash": flash,
    "mammoroi": mammoroi,
}


def case(grid: str, mass_mm: float) -> tuple[Mammogram, NDArray[np.bool_]]:
    shape, spacing = GRIDS[grid]
    mammogram, mask = textured_phantom(shape, mass_mm / spacing / 2, spacing)
    mammogram.pixels[:8, :40] = 4095  # a marker: the brightest pixels lie outside of any crop
    return mammogram, mask


def measure(way: str, grid: str, mass_mm: float) -> dict[str, Any]:
    """Runs in a process of its own."""
    import SimpleITK as sitk

    warnings.simplefilter("ignore")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    texture = load_preset(PRESET)
    classes = dict(texture.feature_classes)
    shape = replace(
        texture, feature_classes={"shape": classes.pop("shape")}, image_types={"Original": {}}
    )
    texture = replace(texture, feature_classes=classes)
    small = textured_phantom()
    mammogram, mask = case(grid, mass_mm)
    seconds, values = [], {}
    for preset in (texture, shape):
        WAYS[way](*small, preset)  # imports and compiled code are not what is timed
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        started = time.process_time()
        values |= WAYS[way](mammogram, mask, preset)
        seconds.append(time.process_time() - started)
        if preset is texture:
            peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    return {
        "texture_s": seconds[0],
        "shape_s": seconds[1],
        "peak_mb": int(peak) / 1024,
        "values": values,
        "pixels": int(mask.sum()),
    }


def in_process(way: str, grid: str, mass_mm: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", way, grid, str(mass_mm)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{way}, {grid}, {mass_mm} mm:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--grids", nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--masses", type=float, nargs="+", default=MASSES_MM, help="mm")
    parser.add_argument("--flash", type=Path, help="folder that flash-radiomics is installed in")
    parser.add_argument("--out", type=Path, help="CSV of all measurements")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, grid, mass = arguments.measure
        print(json.dumps(measure(way, grid, float(mass))))
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ways = [way for way in WAYS if way != "flash" or arguments.flash]
    if arguments.flash:
        os.environ["PYTHONPATH"] = str(arguments.flash.resolve())
        os.environ["FLASH_OUT"] = str(Path(os.environ.get("TMPDIR", "/tmp")).resolve())
    rows = []
    for grid in arguments.grids:
        for mass in arguments.masses:
            for number in range(arguments.rounds):
                for way in ways:
                    found = in_process(way, grid, mass)
                    rows.append(
                        {"grid": grid, "mass_mm": mass, "round": number, "way": way} | found
                    )
            show([row for row in rows if (row["grid"], row["mass_mm"]) == (grid, mass)])
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).drop(columns="values").to_csv(arguments.out, index=False)


def show(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    table = Table(title=f"{first['grid']}, {first['mass_mm']:g} mm, {first['pixels']:,} pixels")
    table.add_column("")
    for heading in (
        "without shape, s", "times less", "with shape, s", "times less", "peak MB",
        "features", "largest diff.", "> 1e-6",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    truth = first["values"]
    medians = {
        way: pd.DataFrame([r for r in rows if r["way"] == way])[
            ["texture_s", "shape_s", "peak_mb"]
        ].median()
        for way in dict.fromkeys(row["way"] for row in rows)
    }
    reference = medians["whole image"]
    for way, found in medians.items():
        values = next(row["values"] for row in rows if row["way"] == way)
        both = np.array([(values[name], truth[name]) for name in values if name in truth]).T
        difference = np.abs(both[0] - both[1]) / np.maximum(np.abs(both[1]), 1e-12)
        all_s = found.texture_s + found.shape_s
        no_shape = not any("_shape_" in name for name in values)
        whole = (reference.texture_s + reference.shape_s) / all_s
        table.add_row(
            way,
            f"{found.texture_s:.3f}",
            f"{reference.texture_s / found.texture_s:.1f}",
            "-" if no_shape else f"{all_s:.3f}",
            "-" if no_shape else f"{whole:.1f}",
            f"{found.peak_mb:.0f}",
            f"{len(values):,}",
            f"{np.nanmax(difference):.1e}",
            f"{np.count_nonzero(difference > 1e-6):,}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
