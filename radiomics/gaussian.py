"""ITK's recursive Laplacian of Gaussian, only where it is wanted.

The Gaussian is approximated by two damped oscillations on either side, applied by a recursion of
order four forwards and one backwards, with the border's value continued to infinity. Sources:
R. Deriche, Recursively implementing the Gaussian and its derivatives, INRIA 1893 (1993);
G. Farnebäck & C.-F. Westin, Improving Deriche-style recursive Gaussian filters, J Math Imaging Vis
2006;26:293-299, whose normalisation ITK follows. Arithmetic is in double precision, and the result
of every pass is rounded to single precision, as in ITK.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

# Of each oscillation (amplitude of cosine, of sine) for the orders 0 and 2, by Deriche.
_AMPLITUDES = {
    0: ((1.3530, 1.8151), (-0.3531, 0.0902)),
    2: ((-1.3563, 5.2318), (0.3446, -2.2355)),
}
_FREQUENCIES = (0.6681, 2.0787)
_DECAYS = (-1.3932, -1.3732)
_BLOCK = 64  # lines that are filtered together: they share the vector units


def laplacian_of_gaussian(
    pixels: NDArray[np.float32],
    spacing: tuple[float, float],
    rows: slice,
    columns: slice,
    sigma_mm: float,
) -> NDArray[np.float32]:
    """Scale-normalised Laplacian of Gaussian inside a box.

    Parameters
    ----------
    pixels : NDArray[np.float32]
        (rows, columns), at least 4 each; the border's values are continued beyond it.
    spacing : tuple[float, float]
        (row_mm, column_mm).
    rows, columns : slice
        The box.
    sigma_mm : float
        Of the Gaussian.

    Returns
    -------
    NDArray[np.float32]
        (rows, columns) of the box, in grey levels.
    """
    row_mm, column_mm = spacing
    across = _pass(pixels.T, columns, sigma_mm, column_mm, order=2)
    across = _pass(across.T, rows, sigma_mm, row_mm, order=0)
    along = _pass(pixels, rows, sigma_mm, row_mm, order=2)
    along = _pass(along.T, columns, sigma_mm, column_mm, order=0).T
    first = (across * (1.0 / np.float64(column_mm**2))).astype(np.float32)
    return (first + along * (1.0 / np.float64(row_mm**2))).astype(np.float32)


def _pass(
    lines: NDArray[np.float32], wanted: slice, sigma_mm: float, step_mm: float, order: int
) -> NDArray[np.float32]:
    """Filter along the first axis; only the wanted part of it is returned."""
    coefficients = _coefficients(sigma_mm / step_mm, order, sigma_mm**2)
    return _filter(np.ascontiguousarray(lines), wanted.start, wanted.stop, *coefficients)


_Coefficients = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@functools.cache
def _coefficients(sigma: float, order: int, scale: float) -> _Coefficients:
    """Numerators forwards (4,) and backwards (4,), and the denominator without its 1 (4,).

    Order 0 sums to 1; order 2 sums to 0 and its second moment is 2. The recursion is as sensitive
    as sigma is large: the terms are added in ITK's order, so that they round alike.
    """
    denominator = _denominator(sigma)
    numerator = _numerator(sigma, 0)
    d0, d1, d2 = _moments(denominator)
    if order == 0:
        numerator = numerator * (1 / (2 * _moments(numerator)[0] / d0 - numerator[0]))
    else:
        smooth, second = numerator, _numerator(sigma, 2)
        s0, s1, s2 = _moments(smooth)
        t0, t1, t2 = _moments(second)
        share = -(2 * t0 - d0 * second[0]) / (2 * s0 - d0 * smooth[0])
        numerator = second + share * smooth
        n0, n1, n2 = t0 + share * s0, t1 + share * s1, t2 + share * s2
        moment = n2 * d0 * d0 - d2 * n0 * d0 - 2 * n1 * d1 * d0 + 2 * d1 * d1 * n0
        numerator = numerator * (scale / (moment / (d0 * d0 * d0)))
    backwards = np.append(numerator[1:], 0.0) - denominator[1:] * numerator[0]
    return numerator, backwards, denominator[1:]


def _oscillations(sigma: float) -> tuple[list[float], list[float], list[float]]:
    """Sine, cosine and damping of both oscillations over one pixel."""
    angles = [frequency / sigma for frequency in _FREQUENCIES]
    dampings = [math.exp(decay / sigma) for decay in _DECAYS]
    return [math.sin(a) for a in angles], [math.cos(a) for a in angles], dampings


def _denominator(sigma: float) -> NDArray[np.float64]:
    """Product of the two factors 1 - 2 e cos z + e² z²."""
    _, (c1, c2), (e1, e2) = _oscillations(sigma)
    return np.array(
        [
            1.0,
            -2 * (e2 * c2 + e1 * c1),
            4 * c2 * c1 * e1 * e2 + (e1 * e1 + e2 * e2),
            -2 * c1 * e1 * e2 * e2 + -2 * c2 * e2 * e1 * e1,
            e1 * e1 * e2 * e2,
        ]
    )


def _numerator(sigma: float, order: int) -> NDArray[np.float64]:
    """Sum of each oscillation's numerator times the other's denominator."""
    (s1, s2), (c1, c2), (e1, e2) = _oscillations(sigma)
    (a1, b1), (a2, b2) = _AMPLITUDES[order]
    both = (a1 + a2) * c2 * c1 - (b1 * c2 * s1 + b2 * c1 * s2)
    return np.array(
        [
            a1 + a2,
            e2 * (b2 * s2 - (a2 + 2 * a1) * c2) + e1 * (b1 * s1 - (a1 + 2 * a2) * c1),
            both * (2 * e1 * e2) + (a2 * e1 * e1 + a1 * e2 * e2),
            e2 * e1 * e1 * (b2 * s2 - a2 * c2) + e1 * e2 * e2 * (b1 * s1 - a1 * c1),
        ]
    )


def _moments(coefficients: NDArray[np.float64]) -> tuple[float, float, float]:
    """Sums of the coefficients times the powers 0, 1 and 2 of their delay."""
    zeroth = first = second = 0.0
    for k, coefficient in enumerate(coefficients.tolist()):
        zeroth += coefficient
        first += k * coefficient
        second += k * k * coefficient
    return zeroth, first, second


@compiled
def _filter(
    lines: NDArray[np.float32],
    start: int,
    stop: int,
    causal: NDArray[np.float64],
    anticausal: NDArray[np.float64],
    recursion: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Filter (length, lines) along the length: (stop - start, lines).

    Forwards from the beginning to ``stop``, backwards from the end to ``start``.
    """
    length, n_lines = lines.shape
    n0, n1, n2, n3 = causal
    m1, m2, m3, m4 = anticausal
    d1, d2, d3, d4 = recursion
    gain = 1.0 + d1 + d2 + d3 + d4
    out = np.empty((stop - start, n_lines), np.float32)
    forward = np.empty((stop + 4, _BLOCK))  # four values before the beginning
    backward = np.empty((length - start + 4, _BLOCK))  # four values after the end
    data = np.empty((length + 8, _BLOCK))
    for first in range(0, n_lines, _BLOCK):
        width = min(_BLOCK, n_lines - first)
        for k in range(length + 8):
            source = min(max(k - 4, 0), length - 1)
            for c in range(width):
                data[k, c] = lines[source, first + c]
        for k in range(4):
            for c in range(width):
                forward[k, c] = data[0, c] * (n0 + n1 + n2 + n3) / gain
                backward[length - start + k, c] = data[length + 7, c] * (m1 + m2 + m3 + m4) / gain
        for i in range(stop):
            x, y = i + 4, i + 4
            for c in range(width):
                forward[y, c] = (
                    data[x, c] * n0
                    + data[x - 1, c] * n1
                    + data[x - 2, c] * n2
                    + data[x - 3, c] * n3
                ) - (
                    forward[y - 1, c] * d1
                    + forward[y - 2, c] * d2
                    + forward[y - 3, c] * d3
                    + forward[y - 4, c] * d4
                )
        for i in range(length - 1, start - 1, -1):
            x, y = i + 4, i - start
            for c in range(width):
                backward[y, c] = (
                    data[x + 1, c] * m1
                    + data[x + 2, c] * m2
                    + data[x + 3, c] * m3
                    + data[x + 4, c] * m4
                ) - (
                    backward[y + 1, c] * d1
                    + backward[y + 2, c] * d2
                    + backward[y + 3, c] * d3
                    + backward[y + 4, c] * d4
                )
        for i in range(start, stop):
            for c in range(width):
                out[i - start, first + c] = forward[i + 4, c] + backward[i - start, c]
    return out
