"""What is installed, which device is there, and whether every engine works: `mammoroi doctor`."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import __version__
from .resources import cores
from .run_record import versions


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        The engine.
    ok : bool
        Whether it works.
    detail : str
        What was seen, or what went wrong.
    """

    name: str
    ok: bool
    detail: str


def examine() -> Iterator[Check]:
    """Look at everything, one :class:`Check` after the other; a broken engine ends nothing."""
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Check("mammoroi", sys.version_info >= (3, 11), f"{__version__}, {python}")
    for library, version in versions().items():
        yield Check(library, version != "not installed", version)
    for name, engine in ENGINES.items():
        try:
            yield Check(name, True, engine())
        except Exception as error:  # noqa: BLE001  a broken engine is what the doctor reports
            yield Check(name, False, f"{type(error).__name__}: {error}")


def device() -> str:
    """Name the device that training will use."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = properties.total_memory / 2**30
        own = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bf16" if own else "16-bit float"
        count = torch.cuda.device_count()
        return f"{count} x {properties.name}, {memory:.0f} GiB, {precision}"
    return f"no GPU; CPU with {cores()} cores (training works, slowly)"


def imaging() -> str:
    """Write one phantom mammogram as DICOM and read it back."""
    from .cohort.synthetic import synthesize
    from .cohort.synthetic_config import SyntheticConfig
    from .imaging.read import read_mammogram

    with tempfile.TemporaryDirectory() as folder:
        config = SyntheticConfig(n_patients=1, spacing_mm=0.5, workers=1)
        cohort = synthesize(config, Path(folder) / "cohort")
        mammogram = read_mammogram(next(cohort.rglob("*.dcm")))
        spacing = mammogram.require_spacing()
        rows, columns = mammogram.pixels.shape
        return f"phantom DICOM of {rows} x {columns} pixels at {spacing.row_mm:g} mm read back"


def segmentation() -> str:
    """Take one training step of the default network."""
    import torch

    from .segmentation.config import SegmentationConfig
    from .segmentation.network import NetworkSpec, build_network

    network = build_network(NetworkSpec.of(SegmentationConfig()))
    loss = network(torch.zeros(1, 1, 64, 64)).square().mean()
    loss.backward()
    return (
        f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} million weights, one step taken"
    )


def radiomics() -> str:
    """Extract the default preset from a small random disc."""
    import numpy as np

    from .imaging.mammogram import Mammogram, Spacing
    from .radiomics.config import RadiomicsConfig
    from .radiomics.extract import extract_case
    from .radiomics.presets import load_preset

    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    pixels = generator.normal(2000, 200, (64, 64)).astype(np.float32)
    spacing = Spacing(0.5, 0.5, "made up for the self-check")
    mammogram = Mammogram(pixels, spacing, "L", "CC", None, 12, Path("self-check"))
    mask = (rows - 32) ** 2 + (columns - 32) ** 2 < 200
    features = extract_case(mammogram, mask, load_preset(RadiomicsConfig().preset))
    return f"{len(features)} features of preset {RadiomicsConfig().preset}"


def modeling() -> str:
    """Fit an RBF SVM behind SMOTE on two clouds of points."""
    import numpy as np
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    generator = np.random.default_rng(0)
    X = np.concatenate([generator.normal(0, 1, (40, 3)), generator.normal(2, 1, (20, 3))])
    y = np.repeat([0, 1], [40, 20])
    score = make_pipeline(SMOTE(random_state=0), SVC()).fit(X, y).score(X, y)
    return f"SMOTE and SVM fitted, apparent accuracy {score:.2f} on separable points"


def reporting() -> str:
    """Draw a figure without a screen."""
    import io

    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    stream = io.StringIO()
    Figure(figsize=(1, 1)).savefig(stream, format="svg")
    return f"SVG of {len(stream.getvalue())} characters drawn"


ENGINES: dict[str, Callable[[], str]] = {
    "device": device,
    "imaging": imaging,
    "segmentation": segmentation,
    "radiomics": radiomics,
    "modeling": modeling,
    "reporting": reporting,
}
