"""The filters against the responses that IBSI 2 defines, computed here from the definitions.

Depeursinge et al., Standardised convolutional filtering for radiomics, arXiv:2006.05470. IBSI 2
accepts a response map when no pixel differs by more than 1 % of the range of the reference map.

``python tests/radiomics/test_ibsi2.py`` prints the table of docs/features.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pywt
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

import mammoroi
from mammoroi.radiomics.filters import Box, filtered_images
from mammoroi.radiomics.phantom import textured_phantom

Array = NDArray[np.float64]
PAGE = Path(mammoroi.__file__).parent / "docs" / "features.md"
SIZE, SPACING_MM, SIGMAS_MM = 128, 0.5, (1, 2, 3, 4)
ACCEPTED = 1.0  # % of the range
CUT_AT_SIGMAS = 4.0
BORDER = 6  # pixels: the reach of coif1


@functools.cache
def phantoms() -> dict[str, Array]:
    rows, columns = np.indices((SIZE, SIZE)) - SIZE // 2
    impulse = (rows == 0) & (columns == 0)
    disc = rows**2 + columns**2 <= 24**2
    checkerboard = (rows // 16 + columns // 16) % 2
    binary = {"impulse": impulse, "disc": disc, "checkerboard": checkerboard}
    texture = textured_phantom((SIZE, SIZE), 24)[0].pixels
    return {name: 255.0 * array for name, array in binary.items()} | {
        "texture": texture.astype(np.float64)
    }


def filtered(kind: str, pixels: Array, **settings: object) -> dict[str, Array]:
    """Our filter on the whole image, by the image type's name."""
    spacing, box = (SPACING_MM, SPACING_MM), Box(0, pixels.shape[0], 0, pixels.shape[1])
    made = filtered_images(pixels.astype(np.float32), spacing, box, {}, {kind: settings})
    return {one.name: one.pixels.astype(np.float64) for one in made}


def laplacian_of_gaussian(pixels: Array, sigma: float) -> Array:
    """L6PA: the sampled kernel, cut at 4 sigma; sigma in pixels; the border's pixels repeated."""
    reach = int(CUT_AT_SIGMAS * sigma + 0.5)
    x = np.arange(-reach, reach + 1)
    bell = np.exp(-(x**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)
    curved = (x**2 / sigma**4 - 1 / sigma**2) * bell
    return _along(pixels, curved, bell, "nearest") + _along(pixels, bell, curved, "nearest")


def separable_wavelet(pixels: Array, bands: str) -> Array:
    """25BO: coif1, first level, undecimated, periodic; even kernels get a 0 at their end."""
    wavelet = pywt.Wavelet("coif1")
    kernels = {"L": np.append(wavelet.dec_lo, 0.0), "H": np.append(wavelet.dec_hi, 0.0)}
    return _along(pixels, kernels[bands[0]], kernels[bands[1]], "wrap")


def _along(pixels: Array, along_x: Array, along_y: Array, border: str) -> Array:
    return convolve1d(
        convolve1d(pixels, along_x, axis=1, mode=border), along_y, axis=0, mode=border
    )


def deviation(found: Array, reference: Array) -> float:
    """Largest difference as percent of the reference's range."""
    return float(100 * np.abs(found - reference).max() / np.ptp(reference))


def wavelets(pixels: Array) -> float:
    found = filtered("Wavelet", pixels, wavelet="coif1")
    assert len(found) == 4
    return max(
        deviation(image, separable_wavelet(pixels, name[-2:])) for name, image in found.items()
    )


def _inner(array: Array) -> Array:
    return array[BORDER:-BORDER, BORDER:-BORDER]


def wavelets_of_odd_sides(pixels: Array, part: Callable[[Array], Array] = np.asarray) -> float:
    pixels = pixels[:-1, :-1]
    found = filtered("Wavelet", pixels, wavelet="coif1")
    references = {name: separable_wavelet(pixels, name[-2:]) for name in found}
    return max(deviation(part(image), part(references[name])) for name, image in found.items())


def log(pixels: Array, *, normalised: bool) -> float:
    found = filtered("LoG", pixels, sigma=list(SIGMAS_MM))
    largest = 0.0
    for sigma_mm, image in zip(SIGMAS_MM, found.values(), strict=True):
        sigma = sigma_mm / SPACING_MM
        factor = sigma**2 if normalised else 1.0
        largest = max(largest, deviation(image / factor, laplacian_of_gaussian(pixels, sigma)))
    return largest


ROWS: dict[str, Callable[[Array], float]] = {
    "`wavelet-..`, image with even sides": wavelets,
    "`wavelet-..`, image with odd sides, 6 pixels from the border on": functools.partial(
        wavelets_of_odd_sides, part=_inner
    ),
    "`wavelet-..`, image with odd sides": wavelets_of_odd_sides,
    "`log-sigma-..`, divided by sigma² in pixels": functools.partial(log, normalised=True),
    "`log-sigma-..`": functools.partial(log, normalised=False),
}


@functools.cache
def measured(row: str) -> dict[str, float]:
    return {name: ROWS[row](pixels) for name, pixels in phantoms().items()}


def page_table() -> str:
    lines = [
        f"| image type | {' | '.join(phantoms())} | conforms |",
        "| --- | " + " | ".join("---:" for _ in phantoms()) + " | --- |",
    ]
    for row in ROWS:
        values = measured(row).values()
        cells = ["< 0.01" if v < 0.01 else f"{float(f'{v:.2g}'):,g}" for v in values]
        lines.append(f"| {row} | {' | '.join(cells)} | {_verdict(max(values))} |")
    return "\n".join(lines)


def _verdict(largest: float) -> str:
    return "yes" if largest <= ACCEPTED else "no"


@pytest.mark.parametrize("row", list(ROWS)[:2])
def test_wavelets_conform(row: str) -> None:
    assert max(measured(row).values()) < 0.01


def test_log_is_sigma_squared_times_an_approximation_of_ibsi_2() -> None:
    deviations = dict(measured("`log-sigma-..`, divided by sigma² in pixels"))
    assert deviations.pop("impulse") == pytest.approx(1.5, abs=0.2)
    assert max(deviations.values()) < 1.1


def test_the_page_holds_the_table() -> None:
    assert page_table() in PAGE.read_text(encoding="utf-8")


if __name__ == "__main__":
    print(page_table())
