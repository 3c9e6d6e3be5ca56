"""What a synthetic cohort is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MammoroiError


@dataclass(frozen=True)
class SyntheticConfig:
    """Settings of ``mammoroi synthesize``; equal settings give equal files on one computer.

    Another mathematics library of the system may round one pixel in half a million to the
    neighbouring grey level.

    Attributes
    ----------
    n_patients : int
        Number of patients, at least 1. The first 838 are the rows of the template in a seeded
        order, balanced so that any first part has nearly the template's SLN and HER2 shares;
        further patients reuse its rows with new images. Patient i is the same whatever the number.
    seed : int
        Seed of everything that is drawn.
    spacing_mm : float
        Pixel spacing in mm, 0.05 to 0.5; the field is 200 mm x 110 mm.
    auc_sln : float
        AUC of the best possible reader of the planted texture for the sentinel node, 0.5 to 0.99.
    her2_separation : float
        Distance between the three HER2 classes in the plane of their two texture scores, in
        within-class standard deviations; 1.57 gives a one-versus-rest AUC of about 0.84. 0 plants
        nothing.
    reader2_fraction : float
        Share of the patients that a second reader has outlined too, 0 to 1.
    view_noise : float
        Standard deviation with which each view's texture scores scatter about the patient's, in
        within-class standard deviations.
    other_breast : bool
        Draw every patient's other breast as well, without a lesion, into the folder `normals`: a
        cohort for `segmentation.normal_cohort`. Does not change the rest.
    workers : int
        Processes that draw patients side by side; 0 uses every core. Does not change the result.
    """

    n_patients: int = 838
    seed: int = 15
    spacing_mm: float = 0.1
    auc_sln: float = 0.85
    her2_separation: float = 1.57
    reader2_fraction: float = 1.0
    view_noise: float = 0.3
    other_breast: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        ranges = {
            "n_patients": (1, 99_999),
            "seed": (0, 2**63),
            "spacing_mm": (0.05, 0.5),
            "auc_sln": (0.5, 0.99),
            "her2_separation": (0.0, 10.0),
            "reader2_fraction": (0.0, 1.0),
            "view_noise": (0.0, 10.0),
            "workers": (0, 1024),
        }
        for name, (lowest, highest) in ranges.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise MammoroiError(
                    f"{name} is {value}", f"give a value from {lowest} to {highest}"
                )
