"""What may come in: one grey mammographic projection, whole, of a sane size.

The header alone is read; no pixel is decoded, no value is quoted. What passes here may still turn
out to be unusable when its pixels are decoded: that is the processing's to say.
"""

from __future__ import annotations

import hashlib
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...errors import MammoroiError
from ...imaging.dicom import FOR_PRESENTATION, FOR_PROCESSING, TOMOSYNTHESIS
from ...imaging.formats import Format, identify

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SOP_CLASSES = (FOR_PRESENTATION, FOR_PROCESSING)
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
"""Implicit and Explicit VR Little Endian."""
TRANSFER_SYNTAXES = (
    *NATIVE,
    "1.2.840.10008.1.2.4.57",  # JPEG lossless, process 14
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, selection value 1
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.5",  # RLE
)
"""Those without loss: features of a lossy image are others."""

REFUSALS: dict[str, tuple[int, str]] = {
    "empty": (0xC010, "the file holds no bytes"),
    "not-dicom": (0xC011, "it is no DICOM file"),
    "damaged": (0xC012, "its attributes cannot be read"),
    "truncated": (0xC013, "its pixels end before they should"),
    "missing-attribute": (0xC014, "an attribute without which it cannot be processed is missing"),
    "bad-uid": (0xC015, "a unique identifier holds more than digits and points"),
    "transfer-syntax": (0xC016, "its pixels are coded with loss, or in a way that is not read"),
    "wrong-object": (0xA900, "it is no mammogram for presentation or processing"),
    "tomosynthesis": (0xA901, "it is a breast tomosynthesis volume"),
    "wrong-modality": (0xA902, "its modality is not MG"),
    "frames": (0xA903, "it has several frames"),
    "colour": (0xA904, "it is no grey image"),
    "no-pixels": (0xA905, "it has no Pixel Data"),
    "mismatch": (0xA906, "the identifiers of request and data set differ"),
    "too-large": (0xA701, "it is larger than cases.max_instance_mb"),
    "no-space": (0xA700, "the disk is full, cannot be written, or is below cases.min_free_gb"),
    "conflict": (0x0111, "an image with the same identifier and other pixels came before"),
}
"""Why an image is refused: the status of the C-STORE response (PS3.4, B.2.3), and its meaning."""

_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
    *("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation"),
    "NumberOfFrames",
)
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_IMAGE = ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation")
_UID = re.compile(r"\d+(\.\d+)+")
_UNDEFINED = 0xFFFFFFFF
_MOST_FRAGMENTS = 100_000


@dataclass(frozen=True)
class Image:
    """A mammogram that may come in.

    Attributes
    ----------
    study_uid, sop_class, sop_uid : str
        Study Instance, SOP Class and SOP Instance UID: digits and points, at most 64.
    coding : str
        ``native``, or the transfer syntax of compressed pixels.
    pixels_at : int
        Where in the file the element Pixel Data begins.
    """

    study_uid: str
    sop_class: str
    sop_uid: str
    coding: str
    pixels_at: int


@dataclass(frozen=True)
class Refusal:
    """Why something may not come in; ``reason`` is a key of :data:`REFUSALS`."""

    reason: str

    @property
    def status(self) -> int:
        """Status of the C-STORE response."""
        return REFUSALS[self.reason][0]

    @property
    def text(self) -> str:
        """The reason in words."""
        return REFUSALS[self.reason][1]


def examine(path: Path, max_bytes: float) -> Image | Refusal:
    """Judge a file by its header.

    Parameters
    ----------
    path : Path
        A file in the service's own folder.
    max_bytes : float
        Largest size, of the file and of its decoded pixels.
    """
    size = path.stat().st_size
    if size == 0:
        return Refusal("empty")
    if size > max_bytes:
        return Refusal("too-large")
    try:
        if identify(path) is not Format.DICOM:
            return Refusal("not-dicom")
    except MammoroiError:
        return Refusal("not-dicom")
    with path.open("rb") as stream:
        try:
            with warnings.catch_warnings():  # pydicom's quote header values
                warnings.simplefilter("ignore")
                return _judge(stream, size, max_bytes)
        except Exception:  # noqa: BLE001  whatever a hostile header makes the parser raise
            return Refusal("damaged")


def _judge(stream: BinaryIO, size: int, max_bytes: float) -> Image | Refusal:
    import pydicom

    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=list(_TAGS))
    pixels_at = stream.tell()
    refused = _kind(header)
    if refused is not None:
        return Refusal(refused)
    uids = [str(header[name].value) for name in _NEEDED if name.endswith("UID")]
    if not all(_UID.fullmatch(uid) and len(uid) <= 64 for uid in uids):
        return Refusal("bad-uid")
    coding = str(getattr(header, "file_meta", {}).get("TransferSyntaxUID") or NATIVE[0])
    if coding not in TRANSFER_SYNTAXES:
        return Refusal("transfer-syntax")
    needed = int(header.Rows) * int(header.Columns) * int(header.BitsAllocated) // 8
    if needed > max_bytes:
        return Refusal("too-large")
    length = _pixel_length(stream, pixels_at)
    if length is None:
        return Refusal("no-pixels")
    if coding in NATIVE:
        whole = length >= needed and stream.tell() + length <= size
        name = "native"
    else:
        whole = length == _UNDEFINED and _is_delimited(stream)
        name = coding
    if not whole:
        return Refusal("truncated")
    sop_class, sop_uid, study_uid = uids[:3]
    return Image(study_uid, sop_class, sop_uid, name, pixels_at)


def _kind(header: Dataset) -> str | None:
    """The reason why a data set of this kind is refused; None for a mammogram."""
    if len(header) == 0:
        return "damaged"
    if header.get("SOPClassUID") == TOMOSYNTHESIS:
        return "tomosynthesis"
    if any(not str(header.get(name) or "").strip() for name in _NEEDED):
        return "missing-attribute"
    if str(header.Modality).strip() != "MG":
        return "wrong-modality"
    if header.SOPClassUID not in SOP_CLASSES:
        return "wrong-object"
    if any(not header.get(name) for name in _IMAGE):
        return "missing-attribute"
    if int(header.get("NumberOfFrames") or 1) != 1:
        return "frames"
    grey = str(header.PhotometricInterpretation).strip().startswith("MONOCHROME")
    if int(header.get("SamplesPerPixel") or 1) != 1 or not grey:
        return "colour"
    return None


def _pixel_length(stream: BinaryIO, at: int) -> int | None:
    """Length of the element Pixel Data, the stream left at its value; None without one."""
    stream.seek(at)
    head = stream.read(8)
    if len(head) < 8 or head[:4] != b"\xe0\x7f\x10\x00":
        return None
    explicit = head[4:6] in (b"OW", b"OB")  # no implicit length: lengths are even, "O" is odd
    length = stream.read(4) if explicit else head[4:]
    return int(struct.unpack("<L", length)[0]) if len(length) == 4 else None


def _is_delimited(stream: BinaryIO) -> bool:
    """Whether compressed pixels, from the stream's position on, end as they should."""
    for _ in range(_MOST_FRAGMENTS):
        head = stream.read(8)
        if head == b"\xfe\xff\xdd\xe0\0\0\0\0":
            return True
        if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
            return False
        stream.seek(struct.unpack("<L", head[4:])[0], 1)
    return False


def pixel_digest(path: Path, image: Image) -> str:
    """What tells an image's pixels from others: their coding and the SHA-256 of their bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        length = _pixel_length(stream, image.pixels_at) or 0
        left = length if image.coding == "native" else path.stat().st_size
        while left > 0 and (chunk := stream.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    return f"{image.coding}:{digest.hexdigest()}"


def is_conflict(one: str, other: str) -> bool:
    """Whether two digests of :func:`pixel_digest` are surely of different pixels.

    Different codings of the same image have different bytes: nobody can tell without decoding.
    """
    return one != other and one.partition(":")[0] == other.partition(":")[0]
