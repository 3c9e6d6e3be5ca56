"""The recipes of :mod:`segmentation_accuracy`: settings of ``segmentation`` by name.

``small`` is the start of the ablation; most others are it with one thing changed.
:data:`TRAINED_HERE` and :data:`ALL_IMAGES` stand for folders that the benchmark makes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mammoroi.imaging.breast import breast_region
from mammoroi.imaging.mammogram import Mammogram
from mammoroi.segmentation.mapping import Mapping

Recipe = dict[str, Any]
Limits = tuple[float, float]
Preparation = Callable[[Mammogram, Mapping, Limits], tuple[Mapping, Limits]]
TURNED = "test_time_augmentation"

# A U-Net as tutorials have it: ResNet-18 on the whole breast, shrunk to the pixels of 256 x 256
# (the canvas is 288 x 192), flipped, cut at 0.5, best epoch kept.
PLAIN: Recipe = {
    "working_spacing_mm": 1.4,
    "architecture": "smp-unet",
    "encoder": "resnet18",
    "augmentation": "flips",
    "max_components": 0,
    "minimum_area_mm2": 25.0,
    TURNED: False,
    "epochs": 18,
    "precision": "bf16-mixed",
}
# The start of the ablation: small, so that a recipe takes minutes on two cores.
SMALL: Recipe = {
    "working_spacing_mm": 1.4,
    "patch": (160, 96),
    "architecture": "smp-unet",
    "encoder": "tu-tf_efficientnet_lite0",
    "decoder_channels": (96, 48, 32, 16, 16),
    "encoder_weights": "imagenet",
    "augmentation": "full",
    "ema_decay": 0.98,
    "keep": "last",
    "tuning_fraction": 0.02,
    "epochs": 24,
    "threshold": "expected-dice",
    "max_components": 0,
    "minimum_area_mm2": 25.0,
}
# Shipped as configs/study-cdd-cesm.yaml, with SWA in place of the moving average.
OURS = SMALL | {"outline_spacing_mm": 0.7, "outline_patch": (160, 160)}
SWA = {"ema_decay": 0.0, "swa_start": 0.6}
SLOW_ENCODER = SMALL | {"encoder_rate": 0.1, "learning_rate": 0.002}
SCALES = SLOW_ENCODER | {"test_time_scales": (0.8, 1.0, 1.25)}
# Stands for the network that phantoms_network() trains.
TRAINED_HERE = "small, on phantoms"
# Stands for the folder of the cohort `all`.
ALL_IMAGES = "all images"
# With as many channels as nnU-Net gives a plane of this size on its five levels.
DYNUNET = SMALL | {
    "architecture": "dynunet",
    "encoder_weights": None,
    "channels": (32, 64, 128, 256, 512),
    "precision": "bf16-mixed",
}
RECIPES: dict[str, Recipe] = {
    "plain": PLAIN,
    "ours": OURS,
    "ours, three scales": OURS | {"test_time_scales": (0.8, 1.0, 1.25)},
    "ours, two networks per fold": OURS | {"networks_per_fold": 2},
    "ours, started from phantoms": OURS | {"encoder_weights": None, "start_from": TRAINED_HERE},
    "ours, started from phantoms, two networks per fold": OURS
    | {"encoder_weights": None, "start_from": TRAINED_HERE, "networks_per_fold": 2},
    "ours, SWA": OURS | SWA,
    "ours, 48 epochs": OURS | {"epochs": 48},
    "ours, 96 epochs": OURS | {"epochs": 96},
    "ours, first stage at 1 mm": OURS | {"working_spacing_mm": 1.0, "patch": (224, 128)},
    "ours, SWA, three networks per fold": OURS | SWA | {"networks_per_fold": 3},
    "ours, EfficientNet-Lite2": OURS | {"encoder": "tu-tf_efficientnet_lite2"},
    "ours, larger windows": OURS | {"outline_patch": (224, 224)},
    "small": SMALL,
    "small, threshold 0.5": SMALL | {"threshold": 0.5},
    "small, threshold 0.5, largest region only": SMALL | {"threshold": 0.5, "max_components": 1},
    "small, post-processing learnt": SMALL | {"postprocessing": "learnt"},
    "small, calibrated": SMALL | {"calibrate": True},
    "small, not turned upside down": SMALL | {TURNED: False},
    "small, last weights": SMALL | {"ema_decay": 0.0},
    "small, best epoch of 15 %": SMALL | {"keep": "best", "tuning_fraction": 0.15},
    "small, random start": SMALL | {"encoder_weights": None},
    "small, encoder at a tenth of the rate": SLOW_ENCODER,
    "small, encoder at a tenth of the rate, three scales": SCALES,
    "small, encoder at a tenth of the rate, three scales, calibrated": SCALES | {"calibrate": True},
    "small, only flips": SMALL | {"augmentation": "flips"},
    "small, strong augmentation": SMALL | {"augmentation": "strong"},
    "small, lesions mixed": SMALL | {"lesion_mixing": 0.3},
    "small, Tversky": SMALL | {"loss": "tversky-ce"},
    "small, focal": SMALL | {"loss": "dice-focal"},
    "small, boundary": SMALL | {"loss": "dice-boundary"},
    "small, ResNet-18": SMALL
    | {"encoder": "resnet18", "encoder_weights": None, "precision": "bf16-mixed"},
    "small, plain U-Net": SMALL
    | {
        "architecture": "unet",
        "encoder_weights": None,
        "channels": (16, 32, 64, 128, 256),
        "precision": "bf16-mixed",
    },
    "small, whole breasts, 7 epochs": SMALL | {"patch": None, "epochs": 7},
    "small, two networks per fold": SMALL | {"networks_per_fold": 2},
    "small, DynUNet": DYNUNET,
    "small, DynUNet, deep supervision": DYNUNET | {"deep_supervision": True},
    "small, deep supervision": SMALL | {"deep_supervision": True},
    "small, SWA": SMALL | SWA,
    "small, MiT-B0": SMALL
    | {"encoder": "mit_b0", "encoder_weights": None, "precision": "bf16-mixed"},
    "small, ConvNeXt": SMALL
    | {"encoder": "tu-convnext_pico", "encoder_weights": None, "precision": "bf16-mixed"},
    "small, 48 epochs": SMALL | {"epochs": 48},
    "small, 96 epochs": SMALL | {"epochs": 96},
    "small, 96 epochs, strong augmentation": SMALL | {"epochs": 96, "augmentation": "strong"},
    "small, 1 mm": SMALL | {"working_spacing_mm": 1.0, "patch": (224, 128)},
    "small, 0.7 mm": SMALL | {"working_spacing_mm": 0.7, "patch": (320, 192)},
    "small, after 20 epochs of restoration": SMALL | {"pretraining_epochs": 20},
    "small, after 20 epochs of restoration, all images": SMALL
    | {"pretraining_epochs": 20, "pretraining_cohort": ALL_IMAGES},
    "small, random start, after 20 epochs of restoration": SMALL
    | {"encoder_weights": None, "pretraining_epochs": 20},
    "small, started from phantoms": SMALL | {"encoder_weights": None, "start_from": TRAINED_HERE},
    "small, EfficientNet-Lite2": SMALL | {"encoder": "tu-tf_efficientnet_lite2"},
    "small, not cropped": SMALL,
    "small, not mirrored": SMALL,
    "small, darkest to brightest": SMALL,
}


def whole_picture(_: Mammogram, found: Mapping, limits: Limits) -> tuple[Mapping, Limits]:
    """Show what lies around the breast, too."""
    return replace(found, top=0, left=0, height=found.rows, width=found.columns), limits


def as_it_lies(_: Mammogram, found: Mapping, limits: Limits) -> tuple[Mapping, Limits]:
    """Leave the chest wall on its side."""
    return replace(found, mirrored=False), limits


def whole_range(mammogram: Mammogram, found: Mapping, _: Limits) -> tuple[Mapping, Limits]:
    """Let the breast's darkest and brightest pixel become 0 and 1."""
    inside = mammogram.pixels[breast_region(mammogram.pixels)]
    return found, (float(inside.min()), float(inside.max()))


# What the product always does to an image, left out.
PREPARED: dict[str, Preparation] = {
    "small, not cropped": whole_picture,
    "small, not mirrored": as_it_lies,
    "small, darkest to brightest": whole_range,
}
