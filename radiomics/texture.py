"""pyradiomics' feature classes, with the work that they repeat done once.

The five texture classes and the first-order class bin the same pixels: here one
:class:`Discretised` ROI serves all six. Of the single features only those of the GLCM are computed
otherwise, to the same values: its sums and differences by counting, its maximal correlation
coefficient as an eigenvalue of a symmetric matrix. Everything else is pyradiomics' own code.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from radiomics import imageoperations
from radiomics.firstorder import RadiomicsFirstOrder
from radiomics.glcm import RadiomicsGLCM
from radiomics.gldm import RadiomicsGLDM
from radiomics.glrlm import RadiomicsGLRLM
from radiomics.glszm import RadiomicsGLSZM
from radiomics.ngtdm import RadiomicsNGTDM

# The classes below log under this name; pyradiomics warns of each symmetric GLCM and reports each
# feature that it cannot compute, which becomes NaN and is counted by the stage.
logging.getLogger(__name__).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Discretised:
    """An ROI in grey levels.

    Attributes
    ----------
    matrix : NDArray[np.intp]
        (rows, columns) of the box; levels from 1 inside the ROI, 0 outside.
    levels : NDArray[np.intp]
        The levels that occur, ascending.
    """

    matrix: NDArray[np.intp]
    levels: NDArray[np.intp]

    @classmethod
    def of(
        cls, image: sitk.Image, mask: NDArray[np.bool_], settings: Mapping[str, Any]
    ) -> Discretised:
        """Bin the pixels of an ROI as pyradiomics does (fixed width from zero, or fixed count)."""
        values = sitk.GetArrayViewFromImage(image)[mask]
        ends = np.array([values.min(), values.max()])  # all that pyradiomics' edges depend on
        edges = imageoperations.getBinEdges(ends, **settings)
        matrix = np.zeros(mask.shape, dtype=np.intp)
        matrix[mask] = np.digitize(values, edges)
        return cls(matrix, np.unique(matrix[mask]))


class _Shared:
    """Takes the grey levels from the setting ``discretised`` instead of binning anew."""

    settings: dict[str, Any]
    coefficients: dict[str, Any]

    def _applyBinning(self, matrix: NDArray[Any]) -> NDArray[np.intp]:  # noqa: ARG002, N802
        shared: Discretised = self.settings["discretised"]
        self.coefficients["grayLevels"] = shared.levels
        self.coefficients["Ng"] = int(shared.levels[-1])
        return shared.matrix

    @classmethod
    @functools.cache
    def getFeatureNames(cls) -> dict[str, bool]:  # noqa: N802  pyradiomics inspects at each call
        names: dict[str, bool] = super().getFeatureNames()  # type: ignore[misc]
        return names


class FirstOrder(_Shared, RadiomicsFirstOrder):  # type: ignore[misc]
    """First-order statistics."""


class GLRLM(_Shared, RadiomicsGLRLM):  # type: ignore[misc]
    """Grey level run length matrix."""


class GLDM(_Shared, RadiomicsGLDM):  # type: ignore[misc]
    """Grey level dependence matrix."""


class NGTDM(_Shared, RadiomicsNGTDM):  # type: ignore[misc]
    """Neighbouring grey tone difference matrix."""


class GLSZM(_Shared, RadiomicsGLSZM):  # type: ignore[misc]
    """Grey level size zone matrix."""


class GLCM(_Shared, RadiomicsGLCM):  # type: ignore[misc]
    """Grey level co-occurrence matrix."""

    def _calculateCoefficients(self) -> None:  # noqa: N802
        """Fill ``coefficients`` as pyradiomics does; ``P_glcm`` is (1, levels, levels, angles)."""
        maximum = self.coefficients["Ng"]
        levels = self.coefficients["grayLevels"].astype(float)
        eps = np.spacing(1)
        i, j = np.meshgrid(levels, levels, indexing="ij", sparse=True)
        matrix = self.P_glcm
        self.coefficients.update(
            eps=eps,
            i=i,
            j=j,
            kValuesSum=np.arange(2, 2 * maximum + 1, dtype=float),
            kValuesDiff=np.arange(0, maximum, dtype=float),
            px=matrix.sum(2, keepdims=True),
            py=matrix.sum(1, keepdims=True),
            ux=np.sum(i[None, :, :, None] * matrix, (1, 2), keepdims=True),
            uy=np.sum(j[None, :, :, None] * matrix, (1, 2), keepdims=True),
            pxAddy=_marginals(matrix, i + j - 2, 2 * maximum - 1),
            pxSuby=_marginals(matrix, np.abs(i - j), maximum),
            HXY=-np.sum(matrix * np.log2(matrix + eps), (1, 2)),
        )

    def getMCCFeatureValue(self) -> Any:  # noqa: N802
        """The second largest correlation of functions of the two levels, averaged over angles.

        pyradiomics takes the root of the second eigenvalue of Q = D^-1 P D^-1 P' with the
        marginals D; for a symmetric P that is the second largest absolute eigenvalue of the
        symmetric matrix D^-1/2 P D^-1/2.
        """
        matrix = self.P_glcm[0].transpose(2, 0, 1)
        if not self.symmetricalGLCM or not np.isfinite(matrix).all() or matrix.shape[1] < 2:
            return super().getMCCFeatureValue()
        root = np.sqrt(self.coefficients["px"][0, :, 0, :].T)
        scale = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        correlations = np.linalg.eigvalsh(scale[:, :, None] * matrix * scale[:, None, :])
        return np.sort(np.abs(correlations), axis=1)[:, -2].mean()


def _marginals(
    matrix: NDArray[np.float64], index: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    """Sums of (1, levels, levels, angles) over equal ``index``: (1, length, angles)."""
    flat = index.astype(np.intp).ravel()
    sums = [
        np.bincount(flat, matrix[0, :, :, angle].ravel(), minlength=length).astype(np.float64)
        for angle in range(matrix.shape[3])
    ]
    return np.stack(sums, axis=1)[None]


CLASSES: dict[str, Any] = {
    "firstorder": FirstOrder,
    "glcm": GLCM,
    "glrlm": GLRLM,
    "glszm": GLSZM,
    "gldm": GLDM,
    "ngtdm": NGTDM,
}
