"""What is known of one patient's new mammograms: the one thing that every writer of results reads.

:func:`.infer.infer` makes it; tables, JSON, page, DICOM objects and the service's answers are made
from it and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Flag:
    """A reason to doubt a result, or not to give one.

    Attributes
    ----------
    code : str
        Short and stable, for programs: ``no-lesion``, ``uncertain-mask`` (:mod:`.flags`).
    text : str
        One sentence for the reader, with the numbers that raised the flag.
    """

    code: str
    text: str


@dataclass(frozen=True)
class ImageResult:
    """One mammogram and what was drawn and measured in it.

    Attributes
    ----------
    image_id, patient_id : str
        Names that say nothing about the patient.
    file : Path
        The mammogram.
    view, laterality : str or None
        ``CC``, ``MLO``, ...; ``L`` or ``R``.
    spacing_mm : (float, float)
        Row and column spacing of a pixel, as it was used.
    spacing_source : str
        Where the spacing came from.
    mask : bool (rows, columns)
        On the mammogram's own grid; all false: no lesion was found.
    area_mm2 : float
        Area of the mask.
    mean_probability, expected_dice : float or None
        Mean probability within the mask, and how sure the networks are of it; None without a mask.
    features : dict of str to float, or None
        By the names of the bundle's preset; None without a mask or without classifiers.
    flags : tuple of Flag
        What to know before this image's result is believed.
    entropy, member_dice : float or None
        Further measures of uncertainty (:mod:`..segmentation.uncertainty`).
    display : uint8 (rows, columns), or None
        The mammogram as its file says to show it, 0 black to 255 white; None where pictures were
        not kept: :func:`..imaging.read.read_display` reads it from the file.
    numbers : dict of str to float
        What the image is like: grey levels, sizes (:mod:`.ranges`).
    """

    image_id: str
    patient_id: str
    file: Path
    view: str | None
    laterality: str | None
    spacing_mm: tuple[float, float]
    spacing_source: str
    mask: NDArray[np.bool_]
    area_mm2: float
    mean_probability: float | None
    expected_dice: float | None
    features: dict[str, float] | None
    flags: tuple[Flag, ...] = ()
    entropy: float | None = None
    member_dice: float | None = None
    display: NDArray[np.uint8] | None = None
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether a lesion was drawn."""
        return bool(self.mask.any())


@dataclass(frozen=True)
class Discrimination:
    """How well a classifier did on its study's test patients, whom its training never saw.

    Attributes
    ----------
    n : int
        Test patients with a risk.
    auc, lower, upper : float
        AUC and its 95 % interval, 0..1.
    """

    n: int
    auc: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Risk:
    """One classifier's answer for one patient.

    Attributes
    ----------
    target, title, positive : str
        The classifier's name, its title for readers, and what its risk is the risk of.
    risk : float or None
        Calibrated probability, 0..1; None where there is no honest answer (``flags`` say why).
    lower, upper : float or None
        Ends of its 95 % interval.
    threshold : float
        At or above it a patient counts as positive; chosen on training patients.
    above_threshold : bool or None
        None without a risk.
    n_images : int
        How many of the patient's images it rests on.
    flags : tuple of Flag
        What to know before it is believed.
    score, radscore : float or None
        The SVM's score and the LASSO's linear combination.
    n_filled, n_outside : int
        Features that were missing and became the training median, and features outside the range
        of the training patients.
    n_train : int or None
        How many patients the classifier was trained on.
    tested : Discrimination or None
        How well the classifier did on test patients; None where the bundle does not say.
    """

    target: str
    title: str
    positive: str
    risk: float | None
    lower: float | None
    upper: float | None
    threshold: float
    above_threshold: bool | None
    n_images: int
    flags: tuple[Flag, ...] = ()
    score: float | None = None
    radscore: float | None = None
    n_filled: int = 0
    n_outside: int = 0
    n_train: int | None = None
    tested: Discrimination | None = None


@dataclass(frozen=True)
class ClassRisks:
    """The answer for one patient to a question of three or more classes.

    Attributes
    ----------
    task, title : str
        The question's name, and its title for readers.
    classes : tuple of str
        In order.
    risks : tuple of float, or None
        The probability of each class; they add up to 1. None where one of the classifiers, one
        class against the rest each, has no honest answer.
    most_probable : str or None
        The class with the largest, the first of several.
    flags : tuple of Flag
        What to know before it is believed.
    tested : Discrimination or None
        The mean of each class's AUC against the rest on test patients; None where the bundle does
        not say.
    """

    task: str
    title: str
    classes: tuple[str, ...]
    risks: tuple[float, ...] | None
    most_probable: str | None
    flags: tuple[Flag, ...] = ()
    tested: Discrimination | None = None


@dataclass(frozen=True)
class PatientResult:
    """Everything that is known of one patient.

    Attributes
    ----------
    patient_id : str
        A name that says nothing about the patient.
    images : tuple of ImageResult
        Those that could be processed.
    risks : tuple of Risk
        One for each classifier of the bundle.
    flags : tuple of Flag
        What concerns the patient as a whole.
    model_name, model_sha256 : str
        The bundle's name, and the SHA-256 that stands for it.
    notices : tuple of str
        What every user of the bundle must know, for example that it was trained on phantoms.
    batch : str or None
        The centre or device, where the classifiers take features harmonised by it.
    classes : tuple of ClassRisks
        One for each question of three or more classes.
    """

    patient_id: str
    images: tuple[ImageResult, ...]
    risks: tuple[Risk, ...]
    flags: tuple[Flag, ...]
    model_name: str
    model_sha256: str
    notices: tuple[str, ...] = ()
    batch: str | None = None
    classes: tuple[ClassRisks, ...] = ()
