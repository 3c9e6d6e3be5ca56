"""One patient's results as a single HTML file that works from disk, without network.

The mammograms hang side by side with the outline of what was found, can be windowed, enlarged and
measured, and stand beside what was measured, the risks with their meaning, and every reason to
doubt them. Everything is within the file; its content security policy forbids any request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import Failure, MammoroiError
from ..files import write_text
from ..imaging.read import read_display
from ..reporting.templates import content_hash, template
from . import page_words as words
from .contour import largest_region, outline_path
from .hanging import hang
from .page_images import Layer, Turned, known_spacing, layers, turned, without_margins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .results import Flag, ImageResult, PatientResult

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Pane:
    """One mammogram as the page shows it.

    Attributes
    ----------
    name : str
        Short and stable within the page: ``p1``.
    short, long, image_id, found : str
        What it is called, and what was found, in a few words.
    layers : tuple of Layer
        Its pictures, the whole one first; empty when the file cannot be read any more.
    rows, columns : int
        Of the mammogram, as it hangs.
    aspect : float
        Its width divided by its height, as it is shown.
    width_mm : float
        Its width; 0 where the spacing is not known.
    outline : str
        Path of the outline in pixels of the mammogram, empty without a lesion.
    measurements : list of (str, str)
        What was measured.
    remarks : list of str
        How it came to be shown as it is.
    flags : tuple of Flag
        What to know before it is believed.
    """

    name: str
    short: str
    long: str
    image_id: str
    found: str
    layers: tuple[Layer, ...]
    rows: int
    columns: int
    aspect: float
    width_mm: float
    outline: str
    measurements: list[tuple[str, str]]
    remarks: list[str]
    flags: tuple[Flag, ...]


def write_page(patient: PatientResult, path: Path, *, failures: Sequence[Failure] = ()) -> Path:
    """Write the page of one patient.

    Parameters
    ----------
    patient : PatientResult
        What is known. The mammograms are read again from their files, for showing.
    path : Path
        The HTML file to write, some MB for four mammograms.
    failures : sequence of Failure
        Mammograms of this patient that could not be processed. Their texts are shown as they are,
        so they must not name the patient.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    MammoroiError
        When a mask is not on its mammogram's own grid.
    """
    panes = [_pane(number, image) for number, image in enumerate(patient.images, 1)]
    style = (_HERE / "page.css").read_text("utf-8") + _places(panes)
    scripts = [(_HERE / name).read_text("utf-8") for name in ("page_picture.js", "page.js")]
    page = template(_HERE / "page.html.j2").render(
        patient=patient,
        panes=panes,
        wall=hang(patient.images),
        overview=words.overview(patient),
        doubts=words.doubts(patient.risks),
        answers=[(risk, words.answer(risk)) for risk in patient.risks],
        failures=failures,
        words=words,
        version=__version__,
        style=style,
        scripts=scripts,
        style_hash=content_hash(style),
        script_hashes=[content_hash(script) for script in scripts],
    )
    return write_text(Path(path), page)


def _pane(number: int, image: ImageResult) -> Pane:
    try:
        shown = read_display(image.file) if image.display is None else image.display
        turn = turned(image)
    except MammoroiError:  # moved or removed since: the page says so, the rest stands
        shown, turn = None, Turned()
    if shown is not None and shown.shape != image.mask.shape:
        raise MammoroiError(
            f"the mask of {image.image_id} has {_pixels(image.mask)}, its mammogram "
            f"{_pixels(shown)}",
            "give the mask on the mammogram's own grid",
        )
    mask = turn(image.mask)
    if shown is not None:
        shown = turn(shown)
        columns_used = without_margins(shown, mask)
        shown, mask = shown[:, columns_used], mask[:, columns_used]
    spacing = known_spacing(image)
    unit = "mm" if spacing else "pixels"
    row_mm, column_mm = spacing or (1.0, 1.0)
    region = largest_region(mask, (row_mm, column_mm))
    rows, columns = mask.shape
    return Pane(
        name=f"p{number}",
        short=words.short_name(image),
        long=words.long_name(image),
        image_id=image.image_id,
        found=words.found_words(region, unit),
        layers=() if shown is None else layers(shown, region.box if region else None),
        rows=rows,
        columns=columns,
        aspect=columns * column_mm / (rows * row_mm),
        width_mm=columns * column_mm if spacing else 0.0,
        outline=outline_path(mask),
        measurements=words.measurements(image, region, unit),
        remarks=words.remarks(image, spacing is not None, turn),
        flags=image.flags,
    )


def _pixels(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape)) + " pixels"


def _places(panes: Sequence[Pane]) -> str:
    """Style rules for the sizes and places of pictures: the policy allows no style attributes.

    All mammograms of known spacing are shown at one scale: at which the widest and the tallest of
    them fit, each into a place of the same size.
    """
    widest = max((pane.width_mm for pane in panes), default=0.0)
    tallest = max((pane.width_mm / pane.aspect for pane in panes), default=0.0)
    rules = []
    for pane in panes:
        wide, tall = (1.0, pane.aspect)
        if pane.width_mm:
            wide, tall = pane.width_mm / widest, pane.width_mm / tallest
        sizes = {"aspect": pane.aspect, "wide": wide, "tall": tall}
        rules.append(
            _rule(f"#{pane.name} .sheet", {f"--{k}": f"{v:.6g}" for k, v in sizes.items()})
        )
        for number, layer in enumerate(pane.layers):
            names = zip(("left", "top", "width", "height"), layer.box, strict=True)
            place = {name: f"{value:.6g}%" for name, value in names}
            rules.append(_rule(f"#{pane.name} .layer-{number}", place))
    return "".join(rules)


def _rule(selector: str, declarations: dict[str, str]) -> str:
    return f"{selector} {{ {' '.join(f'{k}: {v};' for k, v in declarations.items())} }}\n"
