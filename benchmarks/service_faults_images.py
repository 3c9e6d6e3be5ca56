"""Faults of the files and images themselves: damaged, of another kind, too large, hostile."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.uid import JPEG2000, CTImageStorage, JPEG2000Lossless, SegmentationStorage
from service_lab import Fault, Lab, Row, catalogue, in_folder, refused_both_ways

from mammoroi.imaging.dicom import TOMOSYNTHESIS

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


@fault("empty file")
def empty(lab: Lab) -> Iterator[Row]:
    yield from in_folder(lab, b"", "empty")


@fault("text file named .dcm")
def text(lab: Lab) -> Iterator[Row]:
    yield from in_folder(lab, b"Dear colleague, " * 100, "not-dicom")


@fault("picture (PNG) named .dcm")
def picture(lab: Lab) -> Iterator[Row]:
    yield from in_folder(lab, b"\x89PNG\r\n\x1a\n" + bytes(500), "not-dicom")


@fault("random bytes after a DICOM preamble")
def noise(lab: Lab) -> Iterator[Row]:
    content = bytes(128) + b"DICM" + random.Random(3).randbytes(4000)
    answer = lab.by_folder(content)
    assert answer.startswith("moved to failed/"), answer
    yield "folder", answer


@fault("file cut in its header")
def cut_header(lab: Lab) -> Iterator[Row]:
    answer = lab.by_folder(lab.file(lab.fresh())[:700])
    assert answer.startswith("moved to failed/"), answer
    yield "folder", answer


@fault("pixels cut short")
def cut_pixels(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.PixelData = dataset.PixelData[:1000]
    yield from refused_both_ways(lab, dataset, "truncated", 0xC013)
    yield from in_folder(lab, lab.file(lab.fresh())[:-500], "truncated")


@fault("compressed pixels cut short")
def cut_compressed(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    yield from in_folder(lab, lab.file(dataset)[:-300], "truncated")


@fault("sequences nested 3000 deep")
def nested(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    deep = b"\x08\x00\x40\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    content = bytes(128) + b"DICM"
    stream = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(stream, dataset.file_meta)
    meta = stream.getvalue().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    answer = lab.by_folder(content + meta + deep)
    assert answer.startswith("moved to failed/"), answer
    yield "folder", answer


@fault("modality CT in a mammography object")
def wrong_modality(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(Modality="CT"), "wrong-modality", 0xA902)


@fault("CT image")
def ct_image(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(Modality="CT", SOPClassUID=CTImageStorage)
    yield from refused_both_ways(lab, dataset, "wrong-modality", "no context")


@fault("other object of modality MG (segmentation)")
def other_object(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(SOPClassUID=SegmentationStorage)
    yield from refused_both_ways(lab, dataset, "wrong-object", "no context")


@fault("tomosynthesis")
def tomosynthesis(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(SOPClassUID=TOMOSYNTHESIS, NumberOfFrames=1)
    yield from refused_both_ways(lab, dataset, "tomosynthesis", "no context")


@fault("two frames")
def two_frames(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(NumberOfFrames=2)
    dataset.PixelData = dataset.PixelData * 2
    yield from refused_both_ways(lab, dataset, "frames", 0xA903)


@fault("colour")
def colour(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    dataset.PixelData = dataset.PixelData * 3
    yield from refused_both_ways(lab, dataset, "colour", 0xA904)


@fault("no Study Instance UID")
def no_study(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(StudyInstanceUID=None)
    yield from refused_both_ways(lab, dataset, "missing-attribute", 0xC014)


@fault("no Rows")
def no_rows(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(Rows=None), "missing-attribute", 0xC014)


@fault("no Modality")
def no_modality(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(Modality=None), "missing-attribute", 0xC014)


@fault("no SOP Instance UID")
def no_instance(lab: Lab) -> Iterator[Row]:
    content = lab.file(lab.fresh(SOPInstanceUID=None))
    yield from in_folder(lab, content, "missing-attribute")


@fault("no Pixel Data")
def no_pixels(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(PixelData=None), "no-pixels", 0xA905)


@fault("65535 x 65535 pixels declared, 6 kB there")
def huge_declared(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(Rows=65535, Columns=65535)
    yield from refused_both_ways(lab, dataset, "too-large", 0xA701)


@fault("file above cases.max_instance_mb")
def too_large(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(1100, 1000))
    yield from refused_both_ways(lab, dataset, "too-large", 0xA701)


@fault("file far above cases.max_instance_mb")
def far_too_large(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(2000, 2000))
    answer = lab.by_listener(dataset, cut=True)
    assert answer == "no answer (connections_cut)" or answer == "cut (connections_cut)", answer
    yield "listener", answer


@fault("path in the Study Instance UID")
def path_in_study(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.add_new("StudyInstanceUID", "LO", "../../../../etc/cron.d/x")
    dataset["StudyInstanceUID"].VR = "UI"
    yield from refused_both_ways(lab, dataset, "bad-uid", 0xC015)


@fault("path in the SOP Instance UID")
def path_in_instance(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.add_new("SOPInstanceUID", "LO", "1/../../../tmp/owned")
    dataset["SOPInstanceUID"].VR = "UI"
    yield from in_folder(lab, lab.file(dataset), "bad-uid")
    assert not Path("/tmp/owned").exists()


@fault("UID of 80 digits")
def long_uid(lab: Lab) -> Iterator[Row]:
    content = lab.file(lab.fresh(StudyInstanceUID="1." + "2" * 78))
    yield from in_folder(lab, content, "bad-uid")


@fault("compressed with loss")
def lossy(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = JPEG2000
    yield from refused_both_ways(lab, dataset, "transfer-syntax", "no context")
