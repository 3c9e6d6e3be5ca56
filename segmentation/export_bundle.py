"""A trained network as a MONAI Bundle.

``configs/metadata.json`` says what goes in and comes out; ``configs/inference.json`` rebuilds the
network from MONAI's BasicUNet or DynUNet, fills it with ``models/model.safetensors`` and applies it
to one prepared image (``image``, an .npy file such as :func:`.prepared.write_prepared` writes and
as lie in ``segmentation/prepared/``), whose
probability it writes to ``probability`` (.npy, of the image's shape)::

    cd BUNDLE
    CONFIGS="--config_file configs/inference.json --meta_file configs/metadata.json"
    python -m monai.bundle run $CONFIGS --image prepared.npy

MONAI's command line needs the package ``fire``, which the extra ``export`` brings.
``LICENSE`` is not written: which licence holds for your weights is yours to say.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import atomic, write_json
from .network import NetworkSpec
from .weights import Model

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)


def write_bundle(models: list[Model], out: Path, windows: bool = False) -> float:
    """Write the bundle, load it as MONAI does, and give the largest difference of its output.

    Parameters
    ----------
    models : list of Model
        One network.
    out : Path
        Folder of the bundle.
    windows : bool
        Whether it is one of a second stage, which sees windows.

    Raises
    ------
    MammoroiError
        For several networks, or one that is not MONAI's.
    """
    import torch
    from monai.bundle.config_parser import ConfigParser
    from safetensors.torch import save_file

    from .export import mean_probability, tried_images

    if len(models) > 1:
        raise MammoroiError(
            f"a MONAI Bundle holds one network, and there are {len(models)}",
            "name the folder of one, such as segmentation/fold-0; onnx and torch-export hold all",
        )
    model = models[0]
    if model.spec.architecture not in ("unet", "dynunet"):
        raise MammoroiError(
            "a bundle rebuilds MONAI's BasicUNet (unet) or DynUNet (dynunet), and this network is "
            f"a {model.spec.architecture}",
            "export it to onnx or torch-export",
        )
    weights = out / "models" / "model.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    with atomic(weights) as temporary:
        save_file(weights_of(model), temporary)
    write_json(out / "configs" / "metadata.json", metadata(model, windows))
    write_json(out / "configs" / "inference.json", inference(model))

    parser = ConfigParser()
    parser.read_config(str(out / "configs" / "inference.json"))
    parser["bundle_root"] = str(out)
    parser["device"] = "cpu"
    loaded = parser.get_parsed_content("loaded")
    original = mean_probability(models)
    with torch.inference_mode():
        return max(
            float((loaded(image).sigmoid() - original(image)).abs().max())
            for image in tried_images(model.spec.multiple)
        )


def weights_of(model: Model) -> dict[str, Tensor]:
    """Give the weights under the names that MONAI's network has for them.

    DynUNet has two names for most of them, and loads a file only when it holds both.
    """
    state = model.network.state_dict()
    if model.spec.architecture == "dynunet":
        from monai.networks.nets.dynunet import DynUNet

        from .plain import dynunet_settings

        named = DynUNet(**dynunet_settings(model.spec.channels))
        named.load_state_dict(state, strict=False)
        state = named.state_dict()
    # Copies: the file format refuses two names for one memory.
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


def metadata(model: Model, windows: bool = False) -> dict[str, Any]:
    """Give ``configs/metadata.json``; ``windows`` as for :func:`write_bundle`."""
    shape = [f"{model.spec.multiple}*n"] * 2
    plane = {"num_channels": 1, "spatial_shape": shape, "dtype": "float32"}
    plane["is_patch_data"] = windows
    seen = "windows of the breast's box" if windows else "the breast's box"
    image = {"type": "image", "format": "magnitude", "modality": "MG", "value_range": [0, 1]}
    logits = {"type": "image", "format": "segmentation", "value_range": []}
    spacing = model.working_spacing_mm
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by mammoroi"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {"safetensors": version("safetensors")},
        "name": model.card.get("name", "Tumour segmentation on mammograms"),
        "task": "Segmentation of tumours on mammograms",
        "description": (
            f"U-Net on {seen} at {spacing:g} mm per pixel. preparation.json says what "
            f"must be done before and after. {model.notice or ''}"
        ).strip(),
        "authors": "see models.json",
        "copyright": "see models.json",
        "intended_use": model.card.get("intended_use", "Research. Not a medical device."),
        "data_type": "npy",
        "image_classes": "one grey channel, breast scaled to 0..1, chest wall on the left",
        "pred_classes": "one channel, logit of the tumour",
        "eval_metrics": model.card["metrics"],
        "network_data_format": {
            "inputs": {"image": {**image, **plane, "channel_def": {"0": "image"}}},
            "outputs": {"pred": {**logits, **plane, "channel_def": {"0": "tumour"}}},
        },
    }


def inference(model: Model) -> dict[str, Any]:
    """Give ``configs/inference.json``."""
    return {
        "imports": ["$import numpy", "$import torch", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "device": "$'cuda:0' if torch.cuda.is_available() else 'cpu'",
        "image": "prepared.npy",
        "probability": "probability.npy",
        "network_def": network_definition(model.spec),
        "network": "$@network_def.to(@device)",
        "weights": "$load_file(@bundle_root + '/models/model.safetensors')",
        "loaded": "$(@network.load_state_dict(@weights), @network.eval().requires_grad_(False))[1]",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "EnsureChannelFirst", "channel_dim": "no_channel"},
                {"_target_": "EnsureType", "dtype": "$torch.float32", "track_meta": False},
                {
                    "_target_": "SpatialPad",
                    "spatial_size": model.card["plan"]["canvas"],
                    "method": "end",
                },
                {"_target_": "DivisiblePad", "k": model.spec.multiple, "method": "end"},
            ],
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Activations", "sigmoid": True},
        "read": "$numpy.load(@image)",
        "predicted": "$@inferer(@preprocessing(@read)[None].to(@device), @loaded)[0]",
        "drawn": "$@postprocessing(@predicted)[0, :@read.shape[0], :@read.shape[1]]",
        "run": ["$numpy.save(@probability, @drawn.cpu().numpy())"],
    }


def network_definition(spec: NetworkSpec) -> dict[str, Any]:
    """Give the network's class in MONAI and its arguments."""
    from .plain import dynunet_settings

    if spec.architecture == "dynunet":
        return {"_target_": "DynUNet", **dynunet_settings(spec.channels)}
    return {
        "_target_": "BasicUNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "features": [*spec.channels, spec.channels[0]],
        "norm": "batch",
    }
