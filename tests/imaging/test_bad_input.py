"""Every kind of unusable mammogram is refused with what was found and what to do."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import PIL.Image
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEG2000Lossless, RLELossless

from mammoroi.errors import MammoroiError
from mammoroi.imaging.read import read_display, read_mammogram

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
GREY = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40)
BAD: dict[str, tuple[Callable[[Path, object], Path], str, str]] = {}


def bad(found: str, action: str):
    """Register a maker of a bad file, what must be said of it, and the advice."""

    def register(make):
        BAD[make.__name__] = (make, found, action)
        return make

    return register


@bad("does not exist", "correct the path")
def missing_file(folder, mg):
    return folder / "absent.dcm"


@bad("is a folder", "name one image file")
def a_folder(folder, mg):
    return folder


@bad("is empty (0 bytes)", "copy the file again")
def zero_bytes(folder, mg):
    (folder / "empty.dcm").touch()
    return folder / "empty.dcm"


@bad(
    "not an image of a known kind (it begins with b'<!DOCTYP')",
    "PNG, JPEG, TIFF, NIfTI, NRRD or MetaImage",
)
def web_page_named_jpg(folder, mg):
    (folder / "page.jpg").write_text("<!DOCTYPE html><title>Please log in</title>")
    return folder / "page.jpg"


@bad("not an image of a known kind", "the copy is damaged")
def noise_named_dcm(folder, mg):
    (folder / "noise.dcm").write_bytes(bytes(range(200, 256)) * 10)
    return folder / "noise.dcm"


@bad("The number of bytes of pixel data is less than expected", "copy or export it again")
def truncated_dicom(folder, mg):
    path = mg(GREY)
    path.write_bytes(path.read_bytes()[:-500])
    return path


@bad("ends before its attributes do", "cut short")
def truncated_compressed_dicom(folder, mg):
    path = mg(GREY, syntax=RLELossless)
    path.write_bytes(path.read_bytes()[:-500])
    return path


@bad("cannot be decoded (JPEG 2000 Image Compression (Lossless Only))", "copy or export it again")
def damaged_compressed_pixels(folder, mg):
    path = mg(
        np.random.default_rng(0).integers(0, 4096, (48, 40), dtype=np.uint16),
        syntax=JPEG2000Lossless,
    )
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\x4f\xff\x51")
    content[at : at + 60] = bytes(60)
    path.write_bytes(bytes(content))
    return path


@bad("ends before its attributes do", "cut short")
def dicom_cut_after_its_preamble(folder, mg):
    path = mg(GREY)
    path.write_bytes(path.read_bytes()[:132])
    return path


@bad("cannot be decoded", "export it again")
def too_few_pixels(folder, mg):
    return mg(GREY, Rows=64)


@bad("cannot be decoded", "export it again")
def no_rows(folder, mg):
    return mg(GREY, Rows=None)


@bad(
    "holds pixel values 0 to 1919, outside the 0 to 255 of its 8 stored bits", "header contradicts"
)
def header_contradicts_pixels(folder, mg):
    return mg(GREY, BitsStored=8, HighBit=7)


@bad("has no Pixel Data (7FE0,0010)", "another kind of object")
def structured_report(folder, mg):
    return mg(GREY, **dict.fromkeys(("PixelData", "Rows", "Columns")))


@bad("holds 2 frames", "single-frame image")
def several_frames(folder, mg):
    return mg(np.stack([GREY, GREY]), NumberOfFrames=2)


@bad("is a slice of a breast tomosynthesis of 1 frame(s)", "synthesised 2-D view")
def tomosynthesis_slice(folder, mg):
    return mg(GREY, SOPClassUID="1.2.840.10008.5.1.4.1.1.2")


@bad("is a breast tomosynthesis volume of 2 frame(s)", "synthesised 2-D view")
def tomosynthesis(folder, mg):
    return mg(np.stack([GREY, GREY]), NumberOfFrames=2, SOPClassUID=TOMOSYNTHESIS)


@bad("has modality CT, not MG", "give a mammogram")
def wrong_modality(folder, mg):
    return mg(GREY, Modality="CT")


@bad("has no modality (0008,0060), not MG", "give a mammogram")
def no_modality(folder, mg):
    return mg(GREY, Modality=None)


@bad("is not a grey image (RGB)", "not a screenshot")
def colour_dicom(folder, mg):
    colour = np.zeros((48, 40, 3), dtype=np.uint8)
    return mg(
        colour,
        Rows=48,
        Columns=40,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )


@bad("is not a grey image (PALETTE COLOR)", "not a screenshot")
def palette_dicom(folder, mg):
    return mg(GREY, PhotometricInterpretation="PALETTE COLOR")


@bad("states a pixel spacing of 0.07 x 0.07 mm", "leave spacing_mm empty")
def spacing_contradicts_manifest(folder, mg):
    return mg(GREY, "spacing.dcm", ImagerPixelSpacing=[0.07, 0.07])


def save(path: Path, array: np.ndarray, **options) -> Path:
    PIL.Image.fromarray(array).save(path, **options)
    return path


@bad("cannot be decoded", "cut short")
def truncated_png(folder, mg):
    path = save(folder / "cut.png", GREY)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@bad("cannot be decoded", "cut short")
def truncated_jpeg(folder, mg):
    path = save(folder / "cut.jpg", (GREY // 8).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:-100])
    return path


@bad("cannot be decoded", "cut short")
def truncated_tiff(folder, mg):
    path = save(folder / "cut.tif", GREY)
    path.write_bytes(path.read_bytes()[: GREY.nbytes // 2])
    return path


@bad("is a colour image (its channels differ)", "not a screenshot")
def colour_png(folder, mg):
    colour = np.zeros((48, 40, 3), dtype=np.uint8)
    colour[3, 4] = (200, 0, 0)
    return save(folder / "colour.png", colour)


@bad("is partly transparent", "without transparency")
def transparent_png(folder, mg):
    channels = np.full((48, 40, 2), 255, dtype=np.uint8)
    channels[:9, :, 1] = 0
    return save(folder / "transparent.png", channels)


@bad("has 16 bits and a channel of transparency", "without transparency")
def transparent_png_of_16_bits(folder, mg):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    rows = np.stack([GREY, np.full_like(GREY, 0xFFFF)], axis=-1).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 40, 48, 16, 4, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", compress(lines)), (b"IEND", b""))
    path = folder / "transparent.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    return path


@bad("holds 2 pages", "one image per file")
def several_pages(folder, mg):
    page = PIL.Image.fromarray(GREY)
    return save(folder / "pages.tif", GREY, save_all=True, append_images=[page])


@bad("has one bit per pixel", "looks like a mask")
def one_bit(folder, mg):
    return save(folder / "bit.png", GREY > 900)


@bad("values that are not numbers", "export it again")
def not_a_number(folder, mg):
    values = GREY.astype(np.float32)
    values[0, 0] = np.nan
    return save(folder / "nan.tif", values)


@bad("is a volume of 40 x 48 x 2", "give one slice")
def nifti_volume(folder, mg):
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([GREY, GREY])), str(folder / "volume.nii.gz"))
    return folder / "volume.nii.gz"


@bad("is a header alone", "save both in one file")
def metaimage_in_two_files(folder, mg):
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(folder / "two.mhd"))
    return folder / "two.mhd"


@bad("is a header alone", "save both in one file")
def nrrd_in_two_files(folder, mg):
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(folder / "two.nhdr"))
    return folder / "two.nhdr"


@bad("is a volume of 40 x 48, 3 channel(s)", "one channel")
def nrrd_in_colour(folder, mg):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.stack([GREY] * 3, axis=-1), isVector=True),
        str(folder / "colour.nrrd"),
    )
    return folder / "colour.nrrd"


@bad("cannot be decoded", "cut short")
def truncated_nrrd(folder, mg):
    path = folder / "cut.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(path))
    path.write_bytes(path.read_bytes()[:-200])
    return path


@bad("cannot be decoded", "cut short")
def truncated_metaimage(folder, mg):
    path = folder / "cut.mha"
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(path))
    path.write_bytes(path.read_bytes()[:-200])
    return path


@bad("cannot be decoded", "cut short")
def truncated_nifti(folder, mg):
    path = folder / "cut.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(GREY), str(path))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:300]))
    return path


@pytest.mark.parametrize("name", BAD)
def test_bad_input(tmp_path, write_mg, name):
    make, found, action = BAD[name]
    path = make(tmp_path, write_mg)
    with pytest.raises(MammoroiError) as caught:
        read_mammogram(path, spacing_mm=0.094)
    assert str(path) in caught.value.found
    assert found in caught.value.found
    assert action in caught.value.action
    if name != "spacing_contradicts_manifest":
        with pytest.raises(MammoroiError):
            read_display(path)
