"""Trained networks as files that other programs run.

Three formats, each written into a folder: ``onnx`` (``model.onnx``; the extra ``export``),
``torch-export`` (``model.pt2``, a ``torch.export`` program) and ``monai-bundle`` (see
:mod:`.export_bundle`). The first two take a prepared image and give the probability, the mean of
all networks in the folder; batch, rows and columns are free. Beside them:

``models.json``
    The cards of the networks (see :mod:`.weights`).
``preparation.json``
    What the file does not contain, with its numbers: the steps before it (crop, mirroring,
    resampling, grey values, padding; :func:`.prepared.prepared_image` does them) and after it
    (second view of the network, way back, threshold, regions); ``largest_difference``, the largest
    absolute difference from the original network that was found on random images of two sizes.
``inputs.json``
    Of which networks and in which format; a folder holds one export.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import atomic, claim_folder, sha256_of, write_json
from .candidates import CANDIDATE_PROBABILITY
from .choices import one_of
from .outline import PROPOSED, has_outline, window_of_networks
from .prepare import PERCENTILES
from .weights import Model, load_models, place_of_networks

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMATS = ("onnx", "torch-export", "monai-bundle")
TOLERANCE = 1e-4
_WRITTEN = (
    *("model.onnx*", "model.pt2", "models/*", "configs/*.json"),
    *("models.json", "preparation.json"),
)
# Sizes in multiples of what the network asks for: that of the example, and one of each other size.
_EXAMPLE = (2, 4, 6)
_TRIED = ((1, 6, 3), (3, 3, 5))
_LARGEST = 16384


def export(model: Path, to: str, out: Path) -> Path:
    """Write the networks of a folder in another format; give the folder ``out``.

    Parameters
    ----------
    model : Path
        Study folder, or a folder that holds ``fold-0`` and so on, or one such folder, which is one
        network.
    to : str
        One of :data:`FORMATS`.
    out : Path
        Folder to write to.

    Raises
    ------
    MammoroiError
        For an unknown format, a missing package, networks that cannot be trusted or that the
        format cannot hold, a folder of two stages, a folder that holds another export, and when
        the file gives other probabilities than the networks: then none is left.
    """
    from .export_bundle import write_bundle

    one_of("--to", to, FORMATS, room="")
    if to == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                raise MammoroiError(
                    f"the package {package} is not installed, which ONNX needs",
                    "pip install 'mammoroi[export]'",
                )
    model = place_of_networks(Path(model))
    trained = load_models(model)
    if has_outline(model):
        raise MammoroiError(
            f"{model} draws in two stages, and an exported file holds one",
            "export single networks, such as its fold-0 and outline/fold-0, and bring their "
            "probabilities together as docs/training-settings.md says",
        )
    window = window_of_networks(model, trained)
    models = [_seeing(one, window) for one in trained] if window else trained
    out = Path(out)
    claim_folder(
        out, {"networks": sha256_of([one.card for one in trained]), "format": to}, _WRITTEN
    )
    writers: dict[str, Callable[[list[Model], Path], float]] = {
        "onnx": _write_onnx,
        "torch-export": _write_program,
        "monai-bundle": partial(write_bundle, windows=window is not None),
    }
    try:
        difference = writers[to](models, out)
        if not difference <= TOLERANCE:
            raise MammoroiError(
                f"as {to} the probabilities differ by {difference:.2g} from the network's",
                "nothing was exported; try another format or version of the packages",
            )
    except BaseException:  # what was not compared, or is not the network, is not left to be used
        for file in (file for pattern in _WRITTEN for file in out.glob(pattern)):
            file.unlink()
        raise
    write_json(out / "models.json", [one.card for one in trained])
    about = preparation(models, logits=to == "monai-bundle", windows=window is not None)
    write_json(out / "preparation.json", {**about, "largest_difference": difference})
    return out


def _seeing(model: Model, window: tuple[int, int]) -> Model:
    """Let a card of the second stage say what mammoroi pads to: a window, no whole breast."""
    plan = {**model.card["plan"], "canvas": list(window)}
    return replace(model, card={**model.card, "plan": plan})


def preparation(models: list[Model], logits: bool, windows: bool = False) -> dict[str, Any]:
    """Say what an exported network expects, gives, and leaves to its user.

    Parameters
    ----------
    models : list of Model
        The networks.
    logits : bool
        Whether the file gives logits.
    windows : bool
        Whether it is the second of two stages, and sees windows as large as the plan's canvas.
    """
    from ..imaging.breast import breast_recipe

    first = models[0]
    plan, drawing = first.card["plan"], first.card["inference"]
    finer = first.card.get("settings", {}).get("outline_spacing_mm")
    first_of_two = finer is not None and not windows
    low, high = PERCENTILES
    multiple, canvas = first.spec.multiple, plan["canvas"]
    size = f"{canvas[0]} x {canvas[1]}"
    cut, joined = _window_steps(size) if windows else ([], [])
    return {
        "notice": first.notice,
        "input": {
            "name": "image",
            "dtype": "float32",
            "shape": ["batch", 1, "rows", "columns"],
            "value_range": [0, 1],
            "rows_and_columns_are_multiples_of": multiple,
            "rows_at_least": canvas[0],
            "columns_at_least": canvas[1],
        },
        "output": {
            "name": "logits" if logits else "probability",
            "dtype": "float32",
            "shape": ["batch", 1, "rows", "columns"],
            "networks_averaged": len(models),
        },
        "before": [
            "find the breast as `breast` says, in grey values that rise with attenuation; crop the "
            "mammogram to the breast's bounding box, without a margin",
            "mirror it left to right where the rightmost quarter of the box holds more pixels of "
            "the breast than the leftmost: the chest wall is then on the left",
            f"resample it to {plan['working_spacing_mm']:g} mm per pixel, bilinearly, averaging "
            "areas when shrinking",
            f"grey values between percentiles {low:g} and {high:g} of the breast become 0..1; "
            "clip what is beyond",
            *cut,
            f"pad with 0 at the bottom and on the right to at least {size} (rows x columns) "
            f"and to multiples of {multiple}: other sizes are refused by the file with an error "
            "about sizes, such as one of Concat",
        ],
        "after": [
            *(["apply the sigmoid"] if logits else []),
            "remove the padding",
            *_views(drawing, "window" if windows else "array before its padding"),
            *joined,
            *([_JOIN] if first_of_two else _mask_steps(drawing)),
        ],
        "by_mammoroi": "mammoroi.segmentation.prepared.prepared_image does all that is `before`"
        + (", but cuts no windows: it gives the whole box" if windows else ""),
        "breast": {**breast_recipe(), "margin": 0},
        "working_spacing_mm": plan["working_spacing_mm"],
        "stage": "second of two" if windows else "first of two" if first_of_two else "only",
        "sees": f"windows of {size}" if windows else "the whole box",
        "canvas": canvas,
        "percentiles": [low, high],
        **{name: value for name, value in drawing.items() if not first_of_two or name in _VIEWS},
    }


_VIEWS = ("test_time_augmentation", "test_time_scales")
_JOIN = (
    "this network is the first of two stages: what follows is in the preparation.json of the "
    "second one's network (outline/fold-0 and so on), which joins both probabilities, calibrates "
    "and cuts them"
)


def _views(drawing: dict[str, Any], array: str) -> list[str]:
    """Say what else the network is shown of an array, and how the results come together."""
    steps = []
    if drawing["test_time_augmentation"]:
        steps.append(
            f"do the same upside down: reverse the rows of the {array}, pad that and run it, "
            "remove the padding, reverse the rows of the result; take the mean of both"
        )
    scales = drawing.get("test_time_scales", [1.0])
    if list(scales) != [1.0]:
        factors = " and ".join(f"{scale:g}" for scale in scales)
        steps.append(
            f"do all of that with the {array} enlarged by {factors} (sides rounded), padded after "
            "it; resample each result to the size from before; take the mean of all"
        )
    return steps


def _mask_steps(drawing: dict[str, Any]) -> list[str]:
    """Say how the probability becomes a mask."""
    return [
        *([_calibrate(drawing["calibration"])] if drawing.get("calibration") else []),
        "resample to the breast's box on the mammogram's own grid, undo the mirroring",
        _threshold(drawing["threshold"]),
        *([_limit(drawing["minimum_score"])] if drawing.get("minimum_score") else []),
        f"drop regions (neighbours by edge or corner) below {drawing['minimum_area_mm2']:g} mm2; "
        f"of the others keep the {drawing['max_components']} with the largest summed probability "
        "(0: all)",
    ]


def _calibrate(numbers: dict[str, float]) -> str:
    return (
        f"calibrate the probability: its logit times {numbers['slope']:.6g} plus "
        f"{numbers['intercept']:.6g} is the new logit; what was below 1/510 becomes 0"
    )


def _window_steps(size: str) -> tuple[list[str], list[str]]:
    """Say how the second stage's windows are cut, and joined with what the first one gave."""
    return [
        f"cut windows of {size} over the regions where the first stage's probability is "
        f"{PROPOSED:g} or more, as few as hold them with some surroundings: mammoroi shows this "
        "network such windows, and no whole breast; 0 where one reaches beyond the box"
    ], [
        "put the windows back where they were cut; where they overlap, take their mean",
        "within windows take the mean with the first stage's probability, resampled to these "
        "pixels; elsewhere take the first stage's",
    ]


def _limit(score: float) -> str:
    return (
        f"of it, drop what lies in no region of probability {CANDIDATE_PROBABILITY:g} or more "
        f"(neighbours by edge or corner) whose mean probability is above {score:.6g}"
    )


def _threshold(threshold: float | str) -> str:
    if isinstance(threshold, str):
        return (
            "the lesion is where the probability p reaches the threshold, from 0.1 on, with the "
            "largest 2 * (sum of p at or above it) / (sum of all p + number of pixels at or above)"
        )
    return f"the lesion is where the probability is {threshold:g} or more"


def mean_probability(models: list[Model]) -> nn.Module:
    """Give one module: an image in, the mean of the networks' probabilities out."""
    import torch
    from torch import nn

    class MeanProbability(nn.Module):
        def __init__(self, networks: list[nn.Module]) -> None:
            super().__init__()
            self.networks = nn.ModuleList(networks)

        def forward(self, image: Tensor) -> Tensor:
            drawn = [network(image).sigmoid() for network in self.networks]
            return torch.stack(drawn).mean(0)

    return MeanProbability([model.network for model in models]).eval()


def tried_images(multiple: int) -> list[Tensor]:
    """Random images of several sizes, the same each time."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(count, 1, rows * multiple, columns * multiple, generator=generator)
        for count, rows, columns in _TRIED
    ]


def _program(models: list[Model]) -> torch.export.ExportedProgram:
    """Trace the networks with free batch, rows and columns."""
    import torch
    from torch.export import Dim

    multiple = models[0].spec.multiple
    count, rows, columns = _EXAMPLE
    example = torch.zeros(count, 1, rows * multiple, columns * multiple)
    sides = [multiple * Dim(name, min=1, max=_LARGEST // multiple) for name in ("rows", "columns")]
    shapes = {"image": {0: Dim("batch", min=1, max=64), 2: sides[0], 3: sides[1]}}
    with _quiet():
        return torch.export.export(mean_probability(models), (example,), dynamic_shapes=shapes)


def _write_program(models: list[Model], out: Path) -> float:
    import torch

    program = _program(models)
    target = out / "model.pt2"
    with atomic(target) as temporary, _quiet():
        torch.export.save(program, temporary)
    with _quiet():
        loaded = torch.export.load(target).module()
    return _difference(models, loaded)


def _write_onnx(models: list[Model], out: Path) -> float:
    import onnxruntime
    import torch

    target = out / "model.onnx"
    with _quiet():
        # The classic exporter of PyTorch is deprecated; this one needs onnxscript.
        program = torch.onnx.export(
            _program(models),
            input_names=["image"],
            output_names=["probability"],
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    with atomic(target) as temporary:
        program.save(temporary)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    return _difference(models, run)


def _difference(models: list[Model], exported: Callable[[Tensor], Tensor]) -> float:
    """Largest absolute difference between probabilities of the file and of the networks."""
    import torch

    original = mean_probability(models)
    with torch.inference_mode():
        return max(
            float((exported(image) - original(image)).abs().max())
            for image in tried_images(models[0].spec.multiple)
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes on their own workings from the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
