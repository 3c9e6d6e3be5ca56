"""Masks in every form give the same region, and unusable ones are refused."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import PIL.Image
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.sr.codedict import codes

from mammoroi.cohort.inspection import inspect_image
from mammoroi.errors import MammoroiError
from mammoroi.imaging.mask import (
    drawn_on_another,
    read_mask,
    turned_against,
    values_in,
    write_mask,
)

SHAPE = (48, 40)


@pytest.fixture
def region() -> np.ndarray:
    """An L with one marked corner."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[10:30, 5:9] = mask[26:30, 5:20] = True
    mask[0, 0] = True
    return mask


@pytest.fixture
def write_seg(write_mg, phantom, tmp_path):
    """Writes the masks, (n, rows, columns), as the segments 1..n of one object by highdicom."""

    def write(masks: np.ndarray, kind: str = "BINARY") -> Path:
        segmentation = hd.seg.Segmentation(
            source_images=[write_mg.dataset(phantom)],
            pixel_array=masks,
            segmentation_type=kind,
            segment_descriptions=[
                hd.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=f"lesion {number}",
                    segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                    segmented_property_type=codes.SCT.Lesion,
                    algorithm_type="MANUAL",
                )
                for number in range(1, masks.shape[-1] + 1)
            ],
            series_instance_uid=hd.UID(),
            series_number=2,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="tests",
            manufacturer_model_name="tests",
            software_versions="0",
            device_serial_number="0",
        )
        segmentation.save_as(tmp_path / "seg.dcm")
        return tmp_path / "seg.dcm"

    return write


@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.nii.gz", "a.seg.nrrd", "mask.mha"])
@pytest.mark.parametrize(("value", "label"), [(1, None), (255, None), (2, 2)])
def test_raster_and_volume(tmp_path, region, name, value, label):
    labels = region.astype(np.uint8) * value
    if label is not None:
        labels[40:45, 30:35] = 7  # another label, not asked for
    if name.endswith(("nii.gz", "nrrd", "mha")):
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / name))
    else:
        PIL.Image.fromarray(labels).save(tmp_path / name)
    np.testing.assert_array_equal(read_mask(tmp_path / name, SHAPE, label), region)


def write_slicer(path: Path, layers: list[np.ndarray], *, columns: int = 1, start: str = "0 0 0"):
    """Write a .seg.nrrd as 3D Slicer does: two segments, tumour 1 and oedema 2, in the layers."""
    rows, n_columns = layers[0].shape
    axes, several = f"({0.1 * columns},0,0) (0,0.1,0) (0,0,1)", len(layers) > 1
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {3 + several}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' * several}{n_columns} {rows} 1",
        f"space directions: {'none ' * several}{axes}",
        f"kinds: {'list ' * several}domain domain domain",
        "encoding: raw",
        "space origin: (0,0,0)",
    ]
    for number, name in enumerate(("tumour", "oedema")):
        lines += [f"Segment{number}_{key}:={value}" for key, value in (
            ("ID", f"Segment_{number}"), ("LabelValue", number + 1), ("Name", name)
        )]  # fmt: skip
    lines += [f"Segmentation_ReferenceImageExtentOffset:={start}", "", ""]
    pixels = np.stack(layers, axis=-1).astype(np.uint8).tobytes()
    path.write_bytes("\n".join(lines).encode() + pixels)
    return path


def test_segments_of_slicer_are_named(tmp_path, region):
    path = write_slicer(tmp_path / "a.seg.nrrd", [region + np.roll(region, 16, axis=1) * 2])
    np.testing.assert_array_equal(read_mask(path, SHAPE, 1), region)
    assert values_in(path) == ["1 (tumour)", "2 (oedema)"]
    with pytest.raises(MammoroiError, match=r"no label 3; it has 1 \(tumour\), 2 \(oedema\)"):
        read_mask(path, SHAPE, 3)


def test_what_slicer_leaves_out_or_puts_into_layers_is_told(tmp_path, region):
    cut = write_slicer(tmp_path / "cut.seg.nrrd", [region[5:, 4:]], start="4 5 0")
    with pytest.raises(MammoroiError, match=r"is cropped .*: 43 rows x 36 .*crop to minimum"):
        read_mask(cut, SHAPE)
    layers = write_slicer(tmp_path / "layers.seg.nrrd", [region, region])
    with pytest.raises(MammoroiError, match=r"overlap, in 2 layers -> export the lesion's segment"):
        read_mask(layers, SHAPE)


def test_a_mask_that_is_mirrored_by_its_header_is_noticed_on_a_picture(
    tmp_path, write_mg, phantom, region
):
    """Programs that draw on DICOM and pictures give them ITK's directions."""
    PIL.Image.fromarray((phantom // 16).astype(np.uint8)).save(tmp_path / "image.png")
    for image in (tmp_path / "image.png", write_mg(phantom)):
        plain, mirrored = (
            write_slicer(tmp_path / f"{columns}.seg.nrrd", [region], columns=columns)
            for columns in (1, -1)
        )
        assert not turned_against(plain, image)
        assert turned_against(mirrored, image)
    untold = sitk.GetImageFromArray(region.astype(np.uint8)[None])
    untold.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # the identity as NIfTI has it
    sitk.WriteImage(untold, str(tmp_path / "untold.nii.gz"))
    assert not turned_against(tmp_path / "untold.nii.gz", tmp_path / "image.png")


def test_one_bit_and_palette_png(tmp_path, region):
    PIL.Image.fromarray(region).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "bit.png", SHAPE), region)
    palette = PIL.Image.fromarray(region.astype(np.uint8) * 3)
    palette.putpalette([255, 255, 255] * 3 + [0, 0, 0])  # white background, index 0
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "palette.png", SHAPE, 3), region)


def test_written_mask_is_read_back_and_is_an_ordinary_picture(tmp_path, region):
    path = write_mask(tmp_path / "masks" / "a.png", region)
    np.testing.assert_array_equal(read_mask(path, SHAPE), region)
    assert set(np.unique(PIL.Image.open(path))) == {0, 255}
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_an_empty_mask_is_a_result(tmp_path):
    path = write_mask(tmp_path / "empty.png", np.zeros(SHAPE, dtype=bool))
    assert not read_mask(path, SHAPE).any()


def test_seg_round_trip(write_seg, region):
    path = write_seg(region[None, ..., None])
    np.testing.assert_array_equal(read_mask(path, SHAPE), region)
    np.testing.assert_array_equal(read_mask(path, SHAPE, 1), region)


def test_seg_with_two_segments(write_seg, region):
    other = np.roll(region, 12, axis=1)
    path = write_seg(np.stack([region, other], axis=-1)[None])
    np.testing.assert_array_equal(read_mask(path, SHAPE), region | other)
    np.testing.assert_array_equal(read_mask(path, SHAPE, 2), other)
    with pytest.raises(MammoroiError, match=r"no label 3; it has 1 \(lesion 1\), 2 \(lesion 2\)"):
        read_mask(path, SHAPE, 3)


def test_fractional_seg_is_cut_at_one_half(write_seg, region):
    probability = np.where(region, 0.7, 0.3).astype(np.float32)
    path = write_seg(probability[None, ..., None], "FRACTIONAL")
    np.testing.assert_array_equal(read_mask(path, SHAPE), region)


def test_labelmap_seg(write_seg, region):
    other = np.roll(region, 12, axis=1) & ~region
    path = write_seg(np.stack([region, other], axis=-1)[None], "LABELMAP")
    np.testing.assert_array_equal(read_mask(path, SHAPE), region | other)
    np.testing.assert_array_equal(read_mask(path, SHAPE, 2), other)
    segmentation = pydicom.dcmread(path)
    frames = np.where(segmentation.pixel_array == 0, 255, segmentation.pixel_array)
    segmentation.PixelData, segmentation.PixelPaddingValue = frames.astype(np.uint8).tobytes(), 255
    segmentation.save_as(path)  # the padding is the background (PS3.3, C.8.20.2)
    np.testing.assert_array_equal(read_mask(path, SHAPE), region | other)
    np.testing.assert_array_equal(read_mask(path, SHAPE, 2), other)


def test_seg_of_two_images_is_refused(write_seg, region):
    path = write_seg(np.stack([region, region], axis=-1)[None])
    segmentation = pydicom.dcmread(path)
    frame = segmentation.PerFrameFunctionalGroupsSequence[1]
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    source.ReferencedSOPInstanceUID = hd.UID()
    segmentation.save_as(path)
    with pytest.raises(MammoroiError, match="segments 2 images -> export one segmentation object"):
        read_mask(path, SHAPE)


def test_a_seg_of_another_image_of_this_grid_is_noticed(tmp_path, write_mg, write_seg, phantom):
    segmentation = write_seg(np.ones((1, *SHAPE, 1), dtype=bool))
    frame = pydicom.dcmread(segmentation).PerFrameFunctionalGroupsSequence[0]
    source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
    own = write_mg(phantom, "own.dcm", SOPInstanceUID=source)
    other = write_mg(phantom, "other.dcm")
    assert not drawn_on_another(segmentation, own)
    assert drawn_on_another(segmentation, other)
    drawn = write_mask(tmp_path / "mask.png", np.ones(SHAPE, dtype=bool))
    assert not drawn_on_another(drawn, other)
    row = {"image": "other.dcm", "mask": "seg.dcm", "mask_reader2": "mask.png"}
    said = [finding.found for finding in inspect_image(tmp_path, row).findings]
    assert "mask 'seg.dcm' names another image as its source than the file other.dcm" in said
    assert sum("another image" in found for found in said) == 1


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd"])
def test_a_mask_with_rows_in_another_direction_is_noticed(
    tmp_path, phantom, region, dimensions, suffix
):
    """Converters turn the rows upside down and say so in the header, which is not applied."""

    def save(name: str, array: np.ndarray, rows: float) -> Path:
        image = sitk.GetImageFromArray(array if dimensions == 2 else array[None])
        directions = np.eye(dimensions)
        directions[1, 1] = rows
        image.SetDirection(directions.ravel())
        sitk.WriteImage(image, str(tmp_path / name))
        return tmp_path / name

    mask = save(f"mask.{suffix}", region.astype(np.uint8), 1.0)
    image, turned = (save("image.nii", phantom, 1.0), save("turned.nii", phantom[::-1], -1.0))
    assert not turned_against(mask, image)
    assert turned_against(mask, turned)
    assert not turned_against(write_mask(tmp_path / "mask.png", region), turned)
    row = {"image_id": "x", "mask": mask.name, "spacing_mm": "0.1"}
    for name, found in (("image.nii", 0), ("turned.nii", 1)):
        findings = inspect_image(tmp_path, row | {"image": name}).findings
        assert sum("another direction" in finding.found for finding in findings) == found


def test_a_mammogram_is_no_mask(write_mg, phantom):
    with pytest.raises(MammoroiError, match="modality MG, not a segmentation"):
        read_mask(write_mg(phantom), SHAPE)


@pytest.mark.parametrize("name", ["mask.jpg", "mask.tif"])
def test_jpeg_is_refused(tmp_path, region, name):
    picture = PIL.Image.fromarray(region.astype(np.uint8) * 255)
    picture.save(tmp_path / name, compression="jpeg")
    with pytest.raises(MammoroiError, match="moves the lesion's edge -> save the mask as PNG"):
        read_mask(tmp_path / name, SHAPE)


def test_other_grid_is_refused_with_both_sizes(tmp_path, write_seg, region):
    path = write_mask(tmp_path / "a.png", region)
    with pytest.raises(MammoroiError, match="48 rows x 40 columns, its mammogram 50 x 40"):
        read_mask(path, (50, 40))
    with pytest.raises(MammoroiError, match="40 x 48 -> rows and columns are exchanged"):
        read_mask(path, (40, 48))
    with pytest.raises(MammoroiError, match="48 rows x 40 columns, its mammogram 48 x 41"):
        read_mask(write_seg(region[None, ..., None]), (48, 41))


@pytest.mark.parametrize(
    ("values", "label", "message"),
    [
        ([0, 1, 4], 2, "has no label 2; it has 1, 4 -> correct mask_label"),
        ([0], 1, "has no label 1; it has none: it is empty"),
        ([0, 1], 0, "0 is the background"),
        ([0, 0.25, 1], None, "holds fractions .0 to 1., not labels"),
    ],
)
def test_labels(tmp_path, values, label, message):
    labels = np.resize(np.array(values, dtype=np.float32), SHAPE)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "mask.nii"))
    with pytest.raises(MammoroiError, match=message):
        read_mask(tmp_path / "mask.nii", SHAPE, label)


def test_colour_mask_is_refused(tmp_path):
    colour = np.zeros((*SHAPE, 3), dtype=np.uint8)
    colour[5, 5] = (255, 0, 0)
    PIL.Image.fromarray(colour).save(tmp_path / "mask.png")
    with pytest.raises(MammoroiError, match="its channels differ"):
        read_mask(tmp_path / "mask.png", SHAPE)


def test_only_boolean_arrays_are_written(tmp_path):
    with pytest.raises(MammoroiError, match="pass a boolean array"):
        write_mask(tmp_path / "a.png", np.zeros(SHAPE))
    assert not (tmp_path / "a.png").exists()
