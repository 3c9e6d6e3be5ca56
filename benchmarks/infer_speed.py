"""Time and memory of `mammoroi infer` on full-size mammograms, after start-up.

    python benchmarks/infer_speed.py [--images 4] [--model model.mroi] [--full] [--threads 2]

Phantoms of 4096 rows x 3328 columns, 12 bits, as DICOM, with all 1,311 features of the preset
`mammography-1311`. ``--full`` times five networks of a study's default settings (0.4 mm) as well,
untrained, which are much larger than that of the shipped bundle.
Times are of the process with all its threads (CPU) and of the clock (wall): on a machine that
others use as well only the CPU time means something. The first image is start-up (compiled passes
are loaded) and does not count.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path


def phantoms(folder: Path, count: int) -> list[Path]:
    """Phantoms at 0.05 mm, with air around them up to the full size."""
    import numpy as np
    import pydicom

    from mammoroi.cohort.synthetic import synthesize
    from mammoroi.cohort.synthetic_config import SyntheticConfig

    config = SyntheticConfig(
        n_patients=(count + 1) // 2, seed=31, spacing_mm=0.05, reader2_fraction=0
    )
    synthesize(config, folder)
    files = sorted((folder / "images").glob("*.dcm"))[:count]
    for file in files:
        dataset = pydicom.dcmread(file)
        grey = dataset.pixel_array
        left = 0 if dataset.ImageLaterality == "L" else 3328 - grey.shape[1]
        whole = np.zeros((4096, 3328), "<u2")
        whole[: grey.shape[0], left : left + grey.shape[1]] = grey
        dataset.Rows, dataset.Columns = whole.shape
        dataset.PixelData = whole.tobytes()
        dataset.save_as(file)
    return files


def default_networks(file: Path) -> float:
    """CPU seconds that five networks of the default settings need for one mammogram."""
    import torch

    from mammoroi.imaging.read import read_mammogram
    from mammoroi.segmentation.config import SegmentationConfig
    from mammoroi.segmentation.network import NetworkSpec, build_network
    from mammoroi.segmentation.prepare import working_array
    from mammoroi.segmentation.probability import probabilities
    from mammoroi.segmentation.weights import Model

    config = SegmentationConfig()
    array, _, _ = working_array(read_mammogram(file), config.working_spacing_mm)
    spec = NetworkSpec.of(config)
    card = {"plan": {"working_spacing_mm": config.working_spacing_mm, "canvas": [16, 16]}}
    network = build_network(spec).eval().to(memory_format=torch.channels_last)
    model = Model(network, spec, card)
    probabilities(model, array, config.inference(), torch.device("cpu"))
    started = time.process_time()
    for _ in range(5):
        probabilities(model, array, config.inference(), torch.device("cpu"))
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
    import torch

    from mammoroi.clinic import infer as steps
    from mammoroi.clinic.bundle import open_bundle
    from mammoroi.clinic.write import Outputs, write_results
    from mammoroi.radiomics.presets import load_preset

    torch.set_num_threads(given.threads)
    bundle = open_bundle(given.model)
    bundle = replace(bundle, preset=load_preset("mammography-1311"))
    with tempfile.TemporaryDirectory() as place:
        files = phantoms(Path(place) / "cohort", given.images + 1)
        one_each = [steps.NewPatient((steps.NewImage(file.stem, file),)) for file in files]
        spent = []

        def timed(read):  # type: ignore[no-untyped-def]
            for result in read:
                yield result
                spent.append((time.process_time(), time.perf_counter()))

        for outputs, what in (
            (Outputs(objects=False, pages=False), "masks, features, risks, overlay, tables"),
            (Outputs(), "with DICOM objects and page"),
        ):
            spent.clear()
            read = steps.read_patients(bundle, one_each)
            failures = write_results(timed(read), Path(place) / "out", bundle, outputs)
            assert not failures, failures
            cpu, wall = ((spent[-1][at] - spent[0][at]) / (len(spent) - 1) for at in (0, 1))
            print(f"{what}: {cpu:.2f} s CPU, {wall:.2f} s wall per mammogram ({len(spent) - 1})")
        if given.full:
            print(f"five networks of the default settings: {default_networks(files[0]):.2f} s CPU")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
