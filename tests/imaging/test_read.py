"""The same phantom through every kind of file gives the same pixels and the same spacing."""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from mammoroi.errors import MammoroiError
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_display, read_mammogram
from mammoroi.imaging.simpleitk import mask_to_sitk, to_sitk

ROW_MM, COLUMN_MM = 0.07, 0.1


def check(mammogram, phantom, row_mm=ROW_MM, column_mm=COLUMN_MM) -> None:
    assert mammogram.pixels.dtype == np.float32
    np.testing.assert_array_equal(mammogram.pixels, phantom)
    assert mammogram.spacing.row_mm == pytest.approx(row_mm, rel=1e-6)
    assert mammogram.spacing.column_mm == pytest.approx(column_mm, rel=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_raster_keeps_sixteen_bits(tmp_path: Path, phantom, suffix):
    path = tmp_path / f"image.{suffix}"
    PIL.Image.fromarray(phantom).save(path)
    mammogram = read_mammogram(path, spacing_mm=0.07)
    check(mammogram, phantom, 0.07, 0.07)
    assert mammogram.bits_stored == 16
    assert mammogram.spacing.source == "the manifest (column spacing_mm, measured)"


def test_jpeg_is_read_and_print_resolution_is_no_spacing(tmp_path: Path, phantom):
    path = tmp_path / "image.jpg"
    eight = (phantom // 16).astype(np.uint8)
    PIL.Image.fromarray(eight).save(path, quality=95, dpi=(300, 300))
    mammogram = read_mammogram(path)
    assert np.abs(mammogram.pixels - eight).mean() < 2
    assert mammogram.spacing is None
    assert mammogram.bits_stored == 8


@pytest.mark.parametrize("name", ["image.png", "image.tif", "image.jpg"])
def test_grey_colour_files_are_one_channel(tmp_path: Path, phantom, name):
    path = tmp_path / name
    eight = (phantom // 16).astype(np.uint8)
    PIL.Image.fromarray(eight).convert("RGB").save(path, quality=95)
    expected = eight if not name.endswith("jpg") else np.asarray(PIL.Image.open(path).convert("L"))
    np.testing.assert_array_equal(read_mammogram(path).pixels, expected)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_colour_is_not_cut_to_eight(tmp_path: Path, phantom, suffix):
    path = tmp_path / f"image.{suffix}"
    channels = np.stack([phantom] * 3, axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(channels, isVector=True), str(path))
    np.testing.assert_array_equal(read_mammogram(path).pixels, phantom)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_tiff_is_inverted(tmp_path: Path, dtype):
    """TIFF 6.0, PhotometricInterpretation 0: 0 is white. Bytes are checked, not the writer."""
    shown = np.array([[0, 1], [2, 200]], dtype=dtype)
    path = tmp_path / "inverted.tif"
    PIL.Image.fromarray(shown).save(path, tiffinfo={262: 0})
    stored = np.frombuffer(path.read_bytes(), np.uint8)
    raw = np.iinfo(dtype).max - shown
    if raw.tobytes() not in stored.tobytes():  # the writer kept the numbers: white is 255 - number
        shown = np.iinfo(dtype).max - shown
    np.testing.assert_array_equal(read_mammogram(path).pixels, shown)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_is_turned_as_it_is_to_be_shown(tmp_path: Path, phantom, compression, bits):
    """TIFF 6.0, Orientation: 6 is a quarter turn clockwise, 3 half a turn."""
    pixels = phantom if bits == 16 else (phantom // 16).astype(np.uint8)
    path = tmp_path / "scan.tif"
    for orientation, turned in ((1, pixels), (3, pixels[::-1, ::-1]), (6, np.rot90(pixels, -1))):
        tags = {274: orientation}
        PIL.Image.fromarray(pixels).save(path, tiffinfo=tags, compression=compression)
        np.testing.assert_array_equal(read_mammogram(path).pixels, turned)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_or_png_is_turned_as_viewers_show_it(tmp_path: Path, phantom, suffix, orientation):
    """Pillow's own transposition is the reference; 0 and 9 mean nothing."""
    exif = PIL.Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"image.{suffix}"
    PIL.Image.fromarray((phantom // 16).astype(np.uint8)).save(path, exif=exif)
    with PIL.Image.open(path) as image:
        expected = np.asarray(PIL.ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_mammogram(path).pixels, expected)
    if suffix == "png":
        mask = PIL.Image.fromarray(np.uint8(phantom > np.median(phantom)) * 255)
        mask.save(path, exif=exif)
        with PIL.Image.open(path) as image:
            drawn = np.asarray(PIL.ImageOps.exif_transpose(image)) > 0
        np.testing.assert_array_equal(read_mask(path, drawn.shape), drawn)


@pytest.mark.parametrize(
    ("suffix", "stated_by"),
    [
        ("nii", "the NIfTI header (pixdim)"),
        ("nii.gz", "the NIfTI header (pixdim)"),
        ("nrrd", "the NRRD header (space directions)"),
        ("mha", "the MetaImage header (ElementSpacing)"),
    ],
)
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_slice_in_a_format_of_volumes(
    tmp_path: Path, phantom, suffix, stated_by, dimensions, compressed
):
    path = tmp_path / f"image.{suffix}"
    image = sitk.GetImageFromArray(phantom if dimensions == 2 else phantom[None])
    image.SetSpacing((COLUMN_MM, ROW_MM, 1.0)[:dimensions])
    sitk.WriteImage(image, str(path), compressed)
    mammogram = read_mammogram(path)
    check(mammogram, phantom)
    assert mammogram.spacing.source == stated_by


def test_nifti_orientation_is_not_applied(tmp_path: Path, phantom):
    image = sitk.GetImageFromArray(phantom[None])
    image.SetSpacing((COLUMN_MM, ROW_MM, 1.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "turned.nii.gz"))
    check(read_mammogram(tmp_path / "turned.nii.gz"), phantom)


@pytest.mark.parametrize("voxel_mm", [1.0, 70.0])
@pytest.mark.parametrize("suffix", ["nii", "nrrd", "mha"])
def test_voxel_size_that_says_nothing_is_no_spacing(tmp_path: Path, phantom, voxel_mm, suffix):
    image = sitk.GetImageFromArray(phantom)
    image.SetSpacing((voxel_mm, voxel_mm))
    sitk.WriteImage(image, str(tmp_path / f"image.{suffix}"))
    assert read_mammogram(tmp_path / f"image.{suffix}").spacing is None
    assert read_mammogram(tmp_path / f"image.{suffix}", spacing_mm=0.09).spacing.row_mm == 0.09


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_dicom_in_every_coding(write_mg, phantom, photometric, syntax):
    stored = 4095 - phantom if photometric == "MONOCHROME1" else phantom
    path = write_mg(
        stored,
        syntax=syntax,
        PhotometricInterpretation=photometric,
        ImagerPixelSpacing=[ROW_MM, COLUMN_MM],
    )
    mammogram = read_mammogram(path)
    check(mammogram, phantom)
    assert (mammogram.intent, mammogram.bits_stored) == ("presentation", 12)


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
def test_jpeg_lossless_as_mammography_units_send_it(write_mg, phantom, syntax):
    path = write_mg(phantom, ImagerPixelSpacing=[ROW_MM, COLUMN_MM])
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    check(read_mammogram(path), phantom)


def test_dicom_without_preamble_or_suffix(tmp_path: Path, write_mg, phantom):
    whole = write_mg(phantom).read_bytes()
    (tmp_path / "bare").write_bytes(whole[132:])
    np.testing.assert_array_equal(read_mammogram(tmp_path / "bare").pixels, phantom)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_simpleitk_agrees_on_monochrome1(write_mg, bits):
    """The inversion is by a constant of the encoding, also where no pixel reaches its ends."""
    stored = np.random.default_rng(0).integers(5, 900, (20, 30), dtype=np.uint16)
    path = write_mg(
        stored, PhotometricInterpretation="MONOCHROME1", BitsStored=bits, HighBit=bits - 1
    )
    ours = read_mammogram(path).pixels
    np.testing.assert_array_equal(ours, 2**bits - 1 - stored.astype(int))
    np.testing.assert_array_equal(ours, sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0])


def test_presentation_lut_shape_inverse_alone_inverts(write_mg, phantom):
    path = write_mg(4095 - phantom, PresentationLUTShape="INVERSE")
    np.testing.assert_array_equal(read_mammogram(path).pixels, phantom)


def test_signed_pixels_are_inverted_within_their_range(write_mg):
    stored = np.array([[-2048, -1], [0, 2047]], dtype=np.int16)
    path = write_mg(stored, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_mammogram(path).pixels, [[2047, 0], [-1, -2048]])


def test_rescale_and_its_inversion(write_mg):
    stored = np.array([[0, 10], [100, 4095]], dtype=np.uint16)
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -100, "RescaleType": "US"}
    plain = read_mammogram(write_mg(stored, **rescale)).pixels
    np.testing.assert_array_equal(plain, stored.astype(int) * 2 - 100)
    inverted = read_mammogram(write_mg(stored, PhotometricInterpretation="MONOCHROME1", **rescale))
    np.testing.assert_array_equal(inverted.pixels, (4095 - stored.astype(int)) * 2 - 100)


def test_modality_lut_sequence(write_mg, sequence_item):
    stored = np.array([[0, 3], [4, 4000]], dtype=np.uint16)
    entries = np.array([7, 500, 600, 60000], dtype="<u2")
    lut = sequence_item(LUTDescriptor=[4, 2, 16], ModalityLUTType="US", LUTData=entries.tobytes())
    path = write_mg(stored, ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(read_mammogram(path).pixels, [[7, 500], [600, 60000]])
    path = write_mg(stored, ModalityLUTSequence=[lut], PhotometricInterpretation="MONOCHROME1")
    assert read_mammogram(path).pixels[0, 0] == 65535 - 7


def test_a_lut_that_says_0_entries_has_65536(write_mg, sequence_item):
    """PS3.3, C.11.1.1: the number does not fit into 16 bits."""
    stored = np.array([[0, 3], [4, 4000]], dtype=np.uint16)
    entries = (65535 - np.arange(65536)).astype("<u2")
    lut = sequence_item(LUTDescriptor=[0, 0, 16], ModalityLUTType="US", LUTData=entries.tobytes())
    path = write_mg(stored, ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(read_mammogram(path).pixels, 65535 - stored.astype(int))


@pytest.mark.parametrize(
    ("photometric", "sign", "inverted"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", 1, True),
        ("MONOCHROME2", -1, False),
        ("MONOCHROME2", 1, True),
        ("MONOCHROME1", -1, False),
    ],
)
def test_for_processing_follows_the_stated_physics(write_mg, phantom, photometric, sign, inverted):
    extra = {} if sign is None else {"PixelIntensityRelationshipSign": sign}
    mammogram = read_mammogram(
        write_mg(
            phantom,
            SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1",
            PhotometricInterpretation=photometric,
            **extra,
        )
    )
    assert mammogram.intent == "processing"
    np.testing.assert_array_equal(mammogram.pixels, 4095 - phantom if inverted else phantom)


def test_secondary_capture_takes_its_intent_from_the_attribute(write_mg, phantom):
    secondary = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    assert read_mammogram(write_mg(phantom, **secondary)).intent is None
    stated = write_mg(phantom, PresentationIntentType="FOR PROCESSING", **secondary)
    assert read_mammogram(stated).intent == "processing"


def test_computing_ignores_the_window_and_showing_uses_it(write_mg, phantom):
    window = {"WindowCenter": 1024, "WindowWidth": 1025, "VOILUTFunction": "LINEAR_EXACT"}
    path = write_mg(phantom, **window)
    np.testing.assert_array_equal(read_mammogram(path).pixels, phantom)
    shown = read_display(path)
    assert shown.dtype == np.uint8
    expected = np.clip((phantom.astype(float) - 1024) / 1025 + 0.5, 0, 1) * 255
    assert np.abs(shown - expected).max() <= 0.5 + 1e-9
    inverted = write_mg(
        4095 - phantom,
        PhotometricInterpretation="MONOCHROME1",
        **{**window, "WindowCenter": 4095 - 1024},
    )
    np.testing.assert_array_equal(read_display(inverted), shown)


def test_sigmoid_window(write_mg):
    stored = np.array([[0, 2000], [2500, 4095]], dtype=np.uint16)
    path = write_mg(stored, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")
    expected = 255 / (1 + np.exp(-4 * (stored.astype(float) - 2000) / 1000))
    assert np.abs(read_display(path) - expected).max() <= 0.51


def test_first_of_several_windows(write_mg, phantom):
    several = write_mg(phantom, WindowCenter=[1024, 3000], WindowWidth=[500, 10])
    one = write_mg(phantom, "one.dcm", WindowCenter=1024, WindowWidth=500)
    np.testing.assert_array_equal(read_display(several), read_display(one))


def test_voi_lut_sequence_with_eight_bit_entries(write_mg, sequence_item):
    """A table of more than 256 entries of 8 bits: its index must not wrap."""
    stored = np.array([[0, 300], [1000, 4095]], dtype=np.uint16)
    table = (np.arange(4096) // 16).astype(np.uint8)
    lut = sequence_item(LUTDescriptor=[4096, 0, 8])
    lut.add_new("LUTData", "US", table.tolist())
    path = write_mg(stored, VOILUTSequence=[lut], WindowCenter=5, WindowWidth=2)
    np.testing.assert_array_equal(read_display(path), table[stored])


@pytest.mark.parametrize(("stated", "white"), [(12, 4095), (16, 4095), (0, 4095), (14, 16383)])
def test_voi_lut_sequence_that_states_how_its_entries_are_stored(
    write_mg, sequence_item, stated, white
):
    stored = np.array([[0, 300], [1000, 4095]], dtype=np.uint16)
    lut = sequence_item(LUTDescriptor=[4096, 0, stated])
    lut.add_new("LUTData", "US", list(range(4096)))
    shown = read_display(write_mg(stored, VOILUTSequence=[lut]))
    np.testing.assert_array_equal(shown, np.rint(stored / white * 255))


@pytest.mark.parametrize(
    "window",
    [{}, {"WindowCenter": 100, "WindowWidth": 0}, {"WindowCenter": 100, "WindowWidth": ""}],
)
def test_without_a_usable_window_the_picture_is_stretched(write_mg, phantom, window):
    shown = read_display(write_mg(phantom, **window))
    assert (shown.min(), shown.max()) == (0, 255)


def test_display_of_rasters(tmp_path: Path, phantom):
    eight = (phantom // 20).astype(np.uint8)
    PIL.Image.fromarray(eight).save(tmp_path / "8.png")
    np.testing.assert_array_equal(read_display(tmp_path / "8.png"), eight)
    PIL.Image.fromarray(phantom).save(tmp_path / "16.png")
    assert read_display(tmp_path / "16.png").max() == 255


def test_simpleitk_image_has_column_spacing_first(write_mg, phantom):
    mammogram = read_mammogram(write_mg(phantom, ImagerPixelSpacing=[ROW_MM, COLUMN_MM]))
    image = to_sitk(mammogram)
    assert image.GetSize() == (40, 48)
    assert image.GetSpacing() == pytest.approx((COLUMN_MM, ROW_MM))
    assert image.GetPixel(35, 3) == 4095
    mask = mask_to_sitk(phantom == 4095, mammogram)
    assert mask.GetSpacing() == image.GetSpacing()
    assert sitk.GetArrayFromImage(mask).sum() == 15
    with pytest.raises(MammoroiError, match="give the mask that was drawn on this mammogram"):
        mask_to_sitk(np.zeros((2, 2), dtype=bool), mammogram)


def test_no_spacing_asks_for_the_column(write_mg, phantom):
    mammogram = read_mammogram(write_mg(phantom))
    for ask in (mammogram.require_spacing, lambda: to_sitk(mammogram)):
        with pytest.raises(
            MammoroiError, match=r"no pixel spacing.*column spacing_mm of cohort.csv"
        ):
            ask()
