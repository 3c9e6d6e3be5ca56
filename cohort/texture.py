"""Random fields: the parenchyma's power law and the lesion's texture with its planted signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .planted import Scores

CORRELATION_LENGTH_MM = 0.55
SLN_GAIN = 0.30
DIRECTION_GAIN = 0.22
GRAIN_GAIN = 0.60
GRAIN_LENGTH_MM = 0.15
GRAIN_SHARE = 0.20
_LONGEST_WAVE_MM = 60.0


@dataclass(frozen=True)
class LesionTexture:
    """What a lesion's texture is like; its mean is 0 and its variance 1 whatever these are.

    Attributes
    ----------
    correlation_length_mm : float
        Width (standard deviation) of the Gaussian kernel that smooths white noise.
    anisotropy : float
        The kernel is ``exp(anisotropy)`` times as long down the rows and ``exp(-anisotropy)``
        times as long along the columns.
    grain_share : float
        Share of the variance that is fine grain, 0 to 1.
    """

    correlation_length_mm: float
    anisotropy: float
    grain_share: float

    @classmethod
    def of(cls, scores: Scores) -> LesionTexture:
        """Translate latent scores into a texture; each score moves one quantity only."""
        odds = GRAIN_SHARE / (1 - GRAIN_SHARE) * math.exp(GRAIN_GAIN * scores.her2_grain)
        return cls(
            correlation_length_mm=CORRELATION_LENGTH_MM * math.exp(SLN_GAIN * scores.sln_score),
            anisotropy=DIRECTION_GAIN * scores.her2_direction,
            grain_share=odds / (1 + odds),
        )


def filtered_noise(
    shape: tuple[int, int], transfer: NDArray[np.float32], rng: Generator
) -> NDArray[np.float32]:
    """White noise times ``transfer`` in the half-spectrum of a fast size, cut to ``shape``."""
    size = fast_shape(shape)
    spectrum = fft.rfft2(rng.standard_normal(size, dtype=np.float32), workers=1)
    field = fft.irfft2(spectrum * transfer, s=size, workers=1)
    return np.asarray(field[: shape[0], : shape[1]], dtype=np.float32)


def fast_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Smallest shape not below ``shape`` that transforms fast."""
    rows, columns = (fft.next_fast_len(n, real=True) for n in shape)
    return rows, columns


def frequencies(
    shape: tuple[int, int], spacing_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Row and column frequencies of the half-spectrum in cycles per mm, ready to broadcast."""
    rows, columns = fast_shape(shape)
    return (
        fft.fftfreq(rows, spacing_mm).astype(np.float32)[:, None],
        fft.rfftfreq(columns, spacing_mm).astype(np.float32)[None, :],
    )


def power_law(
    shape: tuple[int, int], spacing_mm: float, beta: float, stretch: float, rng: Generator
) -> NDArray[np.float32]:
    """Field whose power falls as ``frequency ** -beta``, mean 0 and variance 1.

    Structures are ``stretch`` times as long along the columns as down the rows.

    Mammograms have beta about 3 (Burgess, Jacobson & Judy 2001, doi:10.1118/1.1355308). Waves
    longer than 60 mm are levelled off.
    """
    row, column = frequencies(shape, spacing_mm)
    column = column * np.float32(stretch)
    transfer = (row**2 + column**2 + _LONGEST_WAVE_MM**-2) ** np.float32(-beta / 4)
    transfer[0, 0] = 0
    return standardised(filtered_noise(shape, transfer, rng))


def gaussian(
    shape: tuple[int, int], spacing_mm: float, widths_mm: tuple[float, float], rng: Generator
) -> NDArray[np.float32]:
    """White noise smoothed by a Gaussian of the given (row, column) standard deviations.

    Not scaled.
    """
    row, column = frequencies(shape, spacing_mm)
    exponent = (row * widths_mm[0]) ** 2 + (column * widths_mm[1]) ** 2
    transfer = np.exp(-2 * np.pi**2 * exponent).astype(np.float32)
    transfer[0, 0] = 0
    return filtered_noise(shape, transfer, rng)


def standardised(
    field: NDArray[np.float32], where: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Shift and scale to mean 0 and variance 1, over the pixels of ``where`` if given."""
    values = field if where is None else field[where]
    return np.asarray((field - values.mean()) / values.std(), dtype=np.float32)


def lesion_field(
    texture: LesionTexture, lesion: NDArray[np.bool_], spacing_mm: float, rng: Generator
) -> NDArray[np.float32]:
    """Draw a lesion's texture over the whole array; inside ``lesion`` mean 0 and variance 1.

    Scaling inside the lesion keeps first-order spread free of the signal: a longer correlation
    length would otherwise show as a smaller variance.
    """
    length, stretch = texture.correlation_length_mm, math.exp(texture.anisotropy)
    shape = (lesion.shape[0], lesion.shape[1])
    coarse = gaussian(shape, spacing_mm, (length * stretch, length / stretch), rng)
    grain = gaussian(shape, spacing_mm, (GRAIN_LENGTH_MM, GRAIN_LENGTH_MM), rng)
    share = np.float32(texture.grain_share)
    field = np.sqrt(1 - share) * standardised(coarse, lesion)
    field += np.sqrt(share) * standardised(grain, lesion)
    return standardised(field, lesion)
