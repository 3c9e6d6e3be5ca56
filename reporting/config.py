"""Settings of the report."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MammoroiError


@dataclass(frozen=True)
class ReportConfig:
    """How the report is made.

    Attributes
    ----------
    title : str
        Title of the report; empty = made from the name of the cohort.
    overlay_pixels : int
        Longest side of an overlay picture in the report, in pixels (200 to 4000).
    """

    title: str = ""
    overlay_pixels: int = 1000

    def __post_init__(self) -> None:
        if not 200 <= self.overlay_pixels <= 4000:
            raise MammoroiError(
                f"overlay_pixels is {self.overlay_pixels}", "choose a number from 200 to 4000"
            )
