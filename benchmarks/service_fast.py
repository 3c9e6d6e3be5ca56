"""A service whose processing takes no time, for benchmarks and tests of everything around it.

::

    python benchmarks/service_fast.py CONFIG.yaml
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mammoroi.errors import Failure, MammoroiError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# The process that computes imports this module anew: what is heavy is imported where it is needed.


def fast(files: Sequence[Path], out: Path) -> list[Failure]:
    """Copy each mammogram's identity into a small capture; misbehave where a comment says so.

    An image comment ``do:WORD`` asks for it: ``crash``, ``hang``, ``memory``, ``error``, ``fail``
    (this image is named as a failure), ``nothing`` (no object), ``slow`` (0.5 s), ``warn`` (prints
    every header value), ``big`` (an object of 1 MB).
    """
    import pydicom

    failures = []
    (out / "objects").mkdir(parents=True, exist_ok=True)
    for file in files:
        source = pydicom.dcmread(file, stop_before_pixels=True)
        word = str(source.get("ImageComments") or "").partition("do:")[2]
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif word == "hang":
            time.sleep(3600)
        elif word == "memory":
            hoard = []
            while True:
                hoard.append(b"x" * 64_000_000)
                time.sleep(0.01)
        elif word == "error":
            raise ValueError(f"cannot do {source.PatientName}")
        elif word == "slow":
            time.sleep(0.5)
        elif word == "warn":
            print(source)
            print(source, file=sys.stderr)
        if word == "fail":
            failures.append(Failure(file.stem, "fast", f"{source.PatientName}", "nothing"))
        elif word != "nothing":
            write_capture(source, out / "objects" / f"{file.stem}.dcm", big=word == "big")
    return failures


def write_capture(source: Dataset, path: Path, *, big: bool = False) -> None:
    """Write a secondary capture of the source's study; its UIDs follow from the source's."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    capture = Dataset()
    capture.file_meta = FileMetaDataset()
    capture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = result_uid(source.SOPInstanceUID)
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"):
        setattr(capture, name, source.get(name))
    for name in ("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        setattr(capture, name, source.get(name))
    capture.SeriesInstanceUID = generate_uid(entropy_srcs=[source.SeriesInstanceUID, "fast"])
    capture.Modality, capture.ConversionType = "OT", "WSD"
    capture.SeriesNumber = capture.InstanceNumber = 1
    side = 1000 if big else 8
    capture.Rows, capture.Columns, capture.SamplesPerPixel = side, side, 1
    capture.PhotometricInterpretation, capture.PixelRepresentation = "MONOCHROME2", 0
    capture.BitsAllocated = capture.BitsStored = 8
    capture.HighBit = 7
    capture.PixelData = bytes(side * side)
    capture.save_as(path, enforce_file_format=True)


def result_uid(source: str) -> str:
    """SOP Instance UID of the result of a mammogram."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[str(source), "fast"]))


def main() -> None:
    from mammoroi.clinic.service.config import ServeConfig
    from mammoroi.clinic.service.run import serve
    from mammoroi.configuration import configured

    try:
        serve(configured(ServeConfig, "service_fast.py", Path(sys.argv[1]), []), fast)
    except MammoroiError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
