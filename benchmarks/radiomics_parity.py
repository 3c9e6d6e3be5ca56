r"""Every feature of every ROI by our engine and by pyradiomics on the whole image.

A folder with ``index.csv`` (column ``image_id``), ``images/<image_id>.*`` and
``masks/<image_id>.png`` is read, each ROI is extracted by both, and the largest relative difference
is shown for each class of features, with what either of them refused::

    python benchmarks/radiomics_parity.py $MAMMOROI_DATA/cdd-cesm --preset mammography-8bit-1311
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Compared:
    """One ROI."""

    image_id: str
    differences: dict[str, float] = field(default_factory=dict)
    only_one_defined: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    seconds: tuple[float, float] = (0.0, 0.0)


def compare(folder: Path, image_id: str, preset_name: str, spacing_mm: float) -> Compared:
    import SimpleITK as sitk

    from mammoroi.imaging.mask import read_mask
    from mammoroi.imaging.read import read_mammogram
    from mammoroi.radiomics.engine import features_of
    from mammoroi.radiomics.presets import load_preset

    warnings.simplefilter("ignore")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    preset = load_preset(preset_name)
    path = next((folder / "images").glob(f"{image_id}.*"))
    mammogram = read_mammogram(path, spacing_mm=spacing_mm, spacing_source="estimated")
    mask = read_mask(folder / "masks" / f"{image_id}.png", mammogram.pixels.shape)
    found, refused, seconds = {}, {}, []
    for engine in ("exact", "pyradiomics"):
        started = time.process_time()
        try:
            found[engine] = features_of(mammogram, mask, preset, engine).by_name
        except Exception as error:  # noqa: BLE001  what is refused is what is counted
            refused[engine] = str(error)
        seconds.append(time.process_time() - started)
    result = Compared(image_id, refused=refused, seconds=(seconds[0], seconds[1]))
    if not refused:
        for name, theirs in found["pyradiomics"].items():
            ours = found["exact"][name]
            if np.isnan(ours) != np.isnan(theirs):
                result.only_one_defined.append(name)
            elif not np.isnan(theirs):
                result.differences[name] = abs(ours - theirs) / max(abs(theirs), 1e-9)
    return result


def main() -> None:
    from joblib import Parallel, delayed

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="mammography-8bit-1311")
    parser.add_argument("--spacing", type=float, help="mm per pixel of all images")
    parser.add_argument("--limit", type=int, help="the first images only")
    arguments = parser.parse_args()
    index = pd.read_csv(arguments.folder / "index.csv").head(arguments.limit)
    if arguments.spacing:
        spacings = np.full(len(index), arguments.spacing)
    else:  # a detector of 0.094 mm per pixel, shrunk to 512 pixels
        height = index["approx_original_height_px"].fillna(2355)
        spacings = (0.094 * height / 512).to_numpy()
    jobs = zip(index["image_id"], spacings, strict=True)
    work = (delayed(compare)(arguments.folder, i, arguments.preset, s) for i, s in jobs)
    show(Parallel(n_jobs=2)(work))


def show(results: list[Compared]) -> None:
    compared = [result for result in results if not result.refused]
    table = Table(title=f"{len(compared)} of {len(results)} ROIs compared")
    for heading in ("class", "values", "largest relative difference", "> 1e-6", "of"):
        table.add_column(heading, justify="left" if heading in ("class", "of") else "right")
    everything = pd.DataFrame(
        [(name, d, r.image_id) for r in compared for name, d in r.differences.items()],
        columns=["feature", "difference", "image_id"],
    )
    kinds = everything["feature"].str.split("_").str[-2]
    for kind, rows in everything.groupby(kinds):
        worst = rows.loc[rows["difference"].idxmax()]
        above = int((rows["difference"] > 1e-6).sum())
        what = f"{worst['feature']} of {worst['image_id']}"
        table.add_row(kind, f"{len(rows):,}", f"{worst['difference']:.1e}", f"{above:,}", what)
    console = Console(width=140)
    console.print(table)
    one = Counter(name for result in compared for name in result.only_one_defined)
    console.print(f"defined by one engine only: {dict(one) or 'none'}")
    for result in results:
        for engine, reason in result.refused.items():
            console.print(f"{result.image_id} refused by {engine}: {reason}")
    ours, theirs = np.array([result.seconds for result in compared]).T
    console.print(
        f"CPU seconds, median (greatest): mammoroi {np.median(ours):.3f} ({ours.max():.3f}), "
        f"pyradiomics {np.median(theirs):.3f} ({theirs.max():.3f}); "
        f"all together {theirs.sum() / ours.sum():.1f} times less"
    )


if __name__ == "__main__":
    main()
