"""Standard objects say what was found, are valid, and are the same whenever they are made."""

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.sr.codedict import codes
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from mammoroi.clinic.objects import write_objects
from mammoroi.clinic.results import Flag
from mammoroi.errors import MammoroiError
from mammoroi.imaging.mask import read_mask

from .made_results import (
    FEATURES,
    SHAPE,
    SPACING_MM,
    change,
    errors_of,
    make_image,
    make_patient,
    run_tool,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Four views, no lesion in the last; objects of both geometries."""
    folder = tmp_path_factory.mktemp("objects")
    patient = make_patient(*(make_image(folder, number) for number in range(4)))
    paths = {
        geometry: write_objects(patient, folder / geometry, geometry=geometry, capture=True)
        for geometry in ("none", "nominal")
    }
    return patient, paths


def named(paths: list[Path], ending: str) -> list[Path]:
    return [path for path in paths if path.stem.endswith(ending)]


def test_a_seg_per_lesion_a_report_and_a_capture_per_image(study):
    _, paths = study
    assert [path.name for path in sorted(paths["none"])] == [
        "image-0_sc.dcm", "image-0_seg.dcm", "image-1_sc.dcm", "image-1_seg.dcm",
        "image-2_sc.dcm", "image-2_seg.dcm", "image-3_sc.dcm", "patient-1_sr.dcm",
    ]  # fmt: skip


@pytest.mark.parametrize("geometry", ["none", "nominal"])
def test_valid(study, geometry):
    _, paths = study
    assert {path.name: errors_of(path) for path in paths[geometry]} == {
        path.name: [] for path in paths[geometry]
    }


@pytest.mark.parametrize("geometry", ["none", "nominal"])
def test_mask_in_is_mask_out(study, geometry):
    patient, paths = study
    for image in patient.images[:3]:
        (path,) = [path for path in paths[geometry] if path.name == f"{image.image_id}_seg.dcm"]
        seg = hd.seg.segread(path)
        (uid,) = [str(uid[2]) for uid in seg.get_source_image_uids()]
        assert uid == pydicom.dcmread(image.file).SOPInstanceUID
        back = seg.get_pixels_by_source_instance([uid], ignore_spatial_locations=True)
        assert np.array_equal(back[0, :, :, 0].astype(bool), image.mask)
        assert np.array_equal(read_mask(path, SHAPE), image.mask)
        assert back.sum() * SPACING_MM**2 == image.area_mm2


def test_patient_and_study_are_kept_in_new_series(study):
    patient, paths = study
    source = pydicom.dcmread(patient.images[0].file)
    made = [pydicom.dcmread(path) for path in paths["none"]]
    for keyword in ("PatientID", "PatientName", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert {str(result[keyword].value) for result in made} == {str(source[keyword].value)}
    series = {str(result.SeriesInstanceUID) for result in made}
    assert len(series) == len(made)
    assert str(source.SeriesInstanceUID) not in series
    assert {result.ContentQualification for result in made} == {"RESEARCH"}
    assert all("not verified" in result.SeriesDescription for result in made)
    assert all("FrameOfReferenceUID" not in result for result in made)
    # A result is a function of image and model: it bears the image's date, not that of its making.
    assert {(result.ContentDate, result.ContentTime) for result in made} == {
        (source.ContentDate, source.ContentTime)
    }


def test_the_segment_says_what_where_and_who(study):
    patient, paths = study
    seg = pydicom.dcmread(named(paths["none"], "_seg")[0])
    image = next(
        image
        for image in patient.images
        if pydicom.dcmread(image.file).SOPInstanceUID
        == seg.SourceImageSequence[0].ReferencedSOPInstanceUID
    )
    (segment,) = seg.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == codes.SCT.Lesion.value
    (region,) = segment.AnatomicRegionSequence
    assert region.CodeValue == codes.SCT.Breast.value
    side = {"L": codes.SCT.Left, "R": codes.SCT.Right}[image.laterality]
    assert region.AnatomicRegionModifierSequence[0].CodeValue == side.value
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert patient.model_sha256 in (
        segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    )
    assert seg.PatientOrientation == pydicom.dcmread(image.file).PatientOrientation
    assert seg.ContentCreatorName == ""


def test_geometry_only_where_it_is_asked_for(study):
    _, paths = study
    without, nominal = (pydicom.dcmread(named(paths[kind], "_seg")[0]) for kind in paths)
    assert "PixelMeasuresSequence" not in without.SharedFunctionalGroupsSequence[0]
    shared = nominal.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [SPACING_MM, SPACING_MM]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    position = nominal.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    assert position.ImagePositionPatient == [0, 0, 0]
    assert without.SOPInstanceUID != nominal.SOPInstanceUID


def test_the_report_is_read_back_by_highdicom(study):
    patient, paths = study
    report = hd.sr.srread(named(paths["none"], "_sr")[0])
    assert report.CompletionFlag == "PARTIAL"
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99MAMMOROI"
    segs = {pydicom.dcmread(path).SOPInstanceUID for path in named(paths["none"], "_seg")}
    groups = report.content.get_planar_roi_measurement_groups()
    referenced = [group.referenced_segmentation_frame for group in groups]
    assert {item.referenced_sop_instance_uid for item in referenced} == segs
    for group, item in zip(groups, referenced, strict=True):
        # "ReferencedFrameNumber and ReferencedSegmentNumber": only one of them is allowed.
        assert "ReferencedSegmentNumber" not in item[0].ReferencedSOPSequence[0]
        source = group.referenced_segmentation_frame.source_image_for_segmentation
        image = next(
            image
            for image in patient.images
            if pydicom.dcmread(image.file).SOPInstanceUID == source.referenced_sop_instance_uid
        )
        (area,) = group.get_measurements(codes.SCT.Area)
        assert area.value == image.area_mm2
        assert (area.unit.value, area.unit.scheme_designator) == ("mm2", "UCUM")
        numbers = {number.name.value: number for number in group.get_measurements()}
        assert all("Algorithm Name" in str(number) for number in numbers.values())
        # IBSI's Q4LE is the mean; a float comes back to the last bit.
        assert numbers["Q4LE"].name.scheme_designator == "IBSI"
        assert numbers["Q4LE"].value == FEATURES["original_firstorder_Mean"]
        assert numbers["Q4LE"].unit.value == "{intensity}"
        # pyradiomics' kurtosis is not IBSI's, so it does not bear IBSI's code.
        assert "IPH6" not in numbers
        meant = {number.name.meaning: number for number in numbers.values()}
        assert meant["original_firstorder_Kurtosis"].name.scheme_designator == "99MAMMOROI"
        assert meant["original_firstorder_Kurtosis"].value == 3.1
        assert set(FEATURES) & set(meant) == {
            "original_shape2D_Elongation", "original_shape2D_PixelSurface",
            "original_firstorder_Mean", "original_firstorder_Kurtosis",
            "original_firstorder_TotalEnergy",
        }  # fmt: skip
        assert len(numbers) == 3 + 5


def test_the_report_gives_risks_their_absence_and_flags(study):
    _, paths = study
    report = hd.sr.srread(named(paths["none"], "_sr")[0])
    groups = {
        group.tracking_identifier: group for group in report.content.get_image_measurement_groups()
    }
    assert set(groups) == {"Image R MLO", "sln", "her2-positive-status", "Patient"}
    values = {
        name: {number.name.value: number.value for number in group.get_measurements()}
        for name, group in groups.items()
    }
    assert values["sln"] == {
        "PROBABILITY": 0.31, "INTERVAL-LOW": 0.2, "INTERVAL-HIGH": 0.45, "THRESHOLD": 0.4,
        "IMAGES": 3, "TRAIN-PATIENTS": 168, "AUC": 0.72, "AUC-LOW": 0.59, "AUC-HIGH": 0.82,
        "TEST-PATIENTS": 72,
    }  # fmt: skip
    assert values["her2-positive-status"] == {"THRESHOLD": 0.3, "IMAGES": 0}
    answers = {
        name: [evaluation.value.value for evaluation in group.get_qualitative_evaluations()]
        for name, group in groups.items()
    }
    assert answers["sln"] == ["NEGATIVE"]
    assert answers["her2-positive-status"] == ["NONE"]
    assert answers["Image R MLO"] == ["NO-LESION"]
    text = {
        name: [
            str(item.TextValue)
            for item in group[0].ContentSequence
            if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
        ]
        for name, group in groups.items()
    }
    assert text["her2-positive-status"] == [
        "outside-training-size: The lesion is larger than 95 % (>= 60 mm) of training."
    ]
    assert "Trained on phantoms alone." in text["Patient"]
    assert "views-missing: One view is missing." in text["Patient"]
    assert text["Image R MLO"][0] == "no-lesion: No lesion was found."


def test_dcmtk_reads_the_report(study):
    _, paths = study
    printed = run_tool("dsrdump", "+Pc", named(paths["none"], "_sr")[0])
    assert printed.returncode == 0
    assert "error" not in printed.stderr.lower()
    assert '(PROBABILITY,99MAMMOROI,"Calibrated probability")="0.31" (1,UCUM' in printed.stdout
    for path in paths["none"]:
        assert run_tool("dcmftest", path).returncode == 0


@pytest.mark.parametrize("kind", ["seg", "sr"])
def test_dcmqi_reads_them(study, kind, tmp_path):
    tool = {"seg": "segimage2itkimage", "sr": "tid1500reader"}[kind]
    beside = Path(sys.executable).parent / tool
    program = str(beside) if beside.exists() else shutil.which(tool)
    if program is None:
        pytest.skip(f"dcmqi's {tool} is not installed (package dcmqi)")
    patient, paths = study
    path = named(paths["nominal"], f"_{kind}")[0]
    words = [program, "--inputDICOM", str(path)]
    if kind == "sr":
        out = tmp_path / "sr.json"
        subprocess.run([*words, "--outputMetadata", str(out)], check=True, capture_output=True)
        groups = json.loads(out.read_text())["Measurements"]
        areas = [
            float(number["value"])
            for group in groups
            for number in group["measurementItems"]
            if number["quantity"]["CodeMeaning"] == "Area"
        ]
        assert sorted(areas) == sorted(image.area_mm2 for image in patient.images[:3])
        return
    if importlib.util.find_spec("SimpleITK") is None:
        pytest.skip("SimpleITK is not installed")
    import SimpleITK as sitk

    words += ["--outputDirectory", str(tmp_path), "--outputType", "nii"]
    subprocess.run(words, check=True, capture_output=True)
    image = sitk.ReadImage(str(tmp_path / "1.nii.gz"))
    assert image.GetSpacing()[:2] == (SPACING_MM, SPACING_MM)
    back = sitk.GetArrayFromImage(image)[0] > 0
    assert any(np.array_equal(back, known.mask) for known in patient.images)


def test_the_capture_shows_outline_and_words(study):
    patient, paths = study
    (path,) = [path for path in paths["none"] if path.name == "image-0_sc.dcm"]
    picture = pydicom.dcmread(path)
    assert picture.BurnedInAnnotation == "NO"
    assert picture.Laterality == "L"
    assert "PixelSpacing" not in picture
    pixels = picture.pixel_array
    assert pixels.shape[0] > SHAPE[0]
    orange = (pixels == (230, 159, 0)).all(axis=2)[: SHAPE[0]]
    mask = patient.images[0].mask
    assert orange[29, 25]
    assert orange[1, 2]
    assert not (orange & mask).any()
    assert not orange[60:].any()
    assert pixels[SHAPE[0] :].max() == 255  # the words


def test_again_gives_the_same_bytes_and_another_model_other_uids(study, tmp_path):
    patient, paths = study
    again = write_objects(patient, tmp_path / "again", capture=True)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths["none"]]
    # An image alone gives the same segmentation as among others: a late view changes nothing.
    alone = write_objects(make_patient(patient.images[1]), tmp_path / "alone")
    together = next(path for path in paths["none"] if path.name == "image-1_seg.dcm")
    assert alone[0].read_bytes() == together.read_bytes()
    other = write_objects(replace(patient, model_sha256="cd" * 32), tmp_path / "other")
    uids = {str(pydicom.dcmread(path).SOPInstanceUID) for path in paths["none"]}
    assert not uids & {str(pydicom.dcmread(path).SOPInstanceUID) for path in other}


def test_another_version_is_another_result(study, tmp_path, monkeypatch):
    """Its number stands in the objects, and it may measure otherwise: archives keep one of two."""
    patient, paths = study
    for module in ("object_common", "object_uids"):
        monkeypatch.setattr(f"mammoroi.clinic.{module}.__version__", "99.0")
    again = write_objects(patient, tmp_path / "again", capture=True)
    for earlier, later in zip(paths["none"], again, strict=True):
        one, other = pydicom.dcmread(earlier), pydicom.dcmread(later)
        assert earlier.read_bytes() != later.read_bytes()
        assert one.SOPInstanceUID != other.SOPInstanceUID
        assert one.SeriesInstanceUID != other.SeriesInstanceUID


def test_another_spacing_is_another_result(study, tmp_path):
    patient, _ = study
    image = patient.images[0]
    results = [
        write_objects(make_patient(replace(image, spacing_mm=(mm, mm))), tmp_path / str(mm))
        for mm in (0.5, 0.4)
    ]
    uids = [{str(pydicom.dcmread(path).SOPInstanceUID) for path in paths} for paths in results]
    assert not uids[0] & uids[1]


def test_a_report_for_every_study(tmp_path):
    images = [make_image(tmp_path, number) for number in (0, 2)]
    change(images[1].file, StudyInstanceUID="1.2.3.4")
    paths = write_objects(make_patient(*images), tmp_path / "out")
    reports = [pydicom.dcmread(path) for path in named(paths, "_sr") + named(paths, "_sr-2")]
    assert len({str(report.StudyInstanceUID) for report in reports}) == 2
    for report in reports:
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        assert study.StudyInstanceUID == report.StudyInstanceUID
        assert "PertinentOtherEvidenceSequence" not in report


def test_a_report_that_rests_on_other_images_is_another(tmp_path):
    """Under the UID of the first an archive would drop it, or have it say something else."""
    images = [make_image(tmp_path, number) for number in (0, 2)]
    change(images[1].file, StudyInstanceUID="1.2.3.4")
    alone, both = make_patient(images[0]), make_patient(*images)
    failed = replace(alone, flags=(Flag("images-failed", "1 of 2 images failed."),))
    made = [alone, both, failed, replace(alone, batch="A"), replace(alone, batch="B")]
    uids = []
    for number, patient in enumerate(made):
        paths = write_objects(patient, tmp_path / str(number))
        found = [pydicom.dcmread(path) for path in paths if "_sr" in path.name]
        uids += [one.SOPInstanceUID for one in found if one.StudyInstanceUID != "1.2.3.4"]
        segs = {pydicom.dcmread(path).SOPInstanceUID for path in named(paths, "image-0_seg")}
        assert len(segs) == 1
    assert len(set(uids)) == len(made)


def test_names_that_become_the_same_stay_apart(tmp_path):
    images = [
        replace(make_image(tmp_path, number), image_id=name)
        for number, name in enumerate(("L CC", "L_CC", "L.CC"))
    ]
    paths = write_objects(make_patient(*images), tmp_path / "out")
    masks = [path for path in paths if path.stem.endswith("_seg")]
    assert [path.name for path in masks] == ["L_CC_seg.dcm", "L_CC-2_seg.dcm", "L.CC_seg.dcm"]
    assert len({str(pydicom.dcmread(path).SOPInstanceUID) for path in masks}) == 3


ODD = {
    "no-type-2": {
        "StudyID": None, "AccessionNumber": None, "ReferringPhysicianName": None,
        "PatientBirthDate": None, "PatientSex": None, "StudyDate": None, "StudyTime": None,
    },
    "no-orientation": {"PatientOrientation": None},
    "view-as-orientation": {"PatientOrientation": "CC"},
    "no-laterality": {"ImageLaterality": ""},
    "monochrome1": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "frame-of-reference": {"FrameOfReferenceUID": "1.2.3", "PositionReferenceIndicator": ""},
    "no-date": {
        "StudyDate": "", "SeriesDate": None, "AcquisitionDate": None, "ContentDate": None,
        "ContentTime": None,
    },
    "latin-1": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Zoë"},
    "utf-8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wang^XiaoDong=王^小東"},
    "japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "cyrillic": {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Иванова^Анна"},
    "no-such-character-set": {"SpecificCharacterSet": "ISO_IR 999", "PatientName": "Doe^Jane"},
    "no-device": {"DeviceSerialNumber": None, "ManufacturerModelName": None, "Manufacturer": ""},
    "burned-in": {"BurnedInAnnotation": "YES"},
    "midnight": {"StudyTime": "240000"},
    "two-physicians": {"ReferringPhysicianName": ["Zimmerle^Ottokar", "Vogel^Ida"]},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("number", [0, 3], ids=["lesion", "none"])
def test_odd_mammograms_give_valid_objects(odd, number, tmp_path):
    image = make_image(tmp_path, number)
    change(image.file, **ODD[odd])
    if odd == "no-laterality":
        image = replace(image, laterality=None)
    paths = write_objects(make_patient(image), tmp_path / "out", geometry="nominal", capture=True)
    assert {path.name: errors_of(path) for path in paths} == {path.name: [] for path in paths}
    if "PatientName" in ODD[odd]:
        names = {str(pydicom.dcmread(path).PatientName) for path in paths}
        assert names == {ODD[odd]["PatientName"]}


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_mammograms(syntax, tmp_path):
    image = make_image(tmp_path, 0)
    dataset = pydicom.dcmread(image.file)
    dataset.compress(syntax)
    dataset.save_as(image.file)
    paths = write_objects(make_patient(image), tmp_path / "out", capture=True)
    assert [errors_of(path) for path in paths] == [[], [], []]
    assert np.array_equal(read_mask(paths[0], SHAPE), image.mask)


def test_secondary_capture_of_film(tmp_path):
    """As digitised film comes: Secondary Capture, little known."""
    image = make_image(tmp_path, 0)
    dataset = pydicom.dcmread(image.file)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.ConversionType = "WSD"
    dataset.PatientOrientation = "CC"
    del dataset.ImageLaterality, dataset.ViewCodeSequence, dataset.ImagerPixelSpacing
    dataset.Laterality = "L"
    dataset.save_as(image.file)
    paths = write_objects(make_patient(image), tmp_path / "out", capture=True)
    assert [errors_of(path) for path in paths] == [[], [], []]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"StudyInstanceUID": None}, "Study Instance UID (0020,000D)"),
        ({"SeriesInstanceUID": ""}, "Series Instance UID (0020,000E)"),
        ({"SOPInstanceUID": "../../etc/passwd"}, "SOP Instance UID (0008,0018)"),
    ],
)
def test_what_cannot_be_done_without_is_named(attributes, message, tmp_path):
    image = make_image(tmp_path, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(image.file, **attributes)
    with pytest.raises(MammoroiError) as raised:
        write_objects(make_patient(image), tmp_path / "out")
    assert message in raised.value.found
    assert "image-0" in raised.value.found
    assert not (tmp_path / "out").exists()


def test_two_patients_are_refused(tmp_path):
    images = [make_image(tmp_path, number) for number in (0, 2)]
    change(images[1].file, PatientID="SECRET-7")
    with pytest.raises(MammoroiError, match="more than one Patient ID") as raised:
        write_objects(make_patient(*images), tmp_path / "out")
    assert "SECRET" not in str(raised.value)


def test_geometry_is_checked(tmp_path):
    with pytest.raises(MammoroiError, match="give one of: none, nominal"):
        write_objects(make_patient(), tmp_path, geometry="true")


def test_images_that_are_not_dicom_are_left_out(tmp_path, caplog):
    image = make_image(tmp_path, 0)
    png = tmp_path / "JANE_DOE.png"
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(png)
    patient = make_patient(image, replace(image, image_id="image-9", file=png))
    with caplog.at_level(logging.INFO):
        paths = write_objects(patient, tmp_path / "out")
    assert [path.name for path in paths] == ["image-0_seg.dcm", "patient-1_sr.dcm"]
    assert "1 of 2 images are not DICOM" in caplog.text
    assert "JANE" not in caplog.text
    assert write_objects(make_patient(patient.images[1]), tmp_path / "none") == []


def test_nothing_of_the_patient_in_logs_or_on_the_screen(tmp_path, caplog, capfd):
    """Values that libraries dislike, and would quote."""
    image = make_image(tmp_path, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        change(
            image.file,
            PatientName="DOE^JANE^A^B^C^D^E",
            AccessionNumber="ACC-SECRET-012345678901234",
            PatientSex="SECRETSEX",
        )
    dataset = pydicom.dcmread(image.file)
    dataset.add_new("PatientBirthDate", "LO", "SECRET 1960")
    dataset.save_as(image.file)
    capfd.readouterr()
    with caplog.at_level(logging.DEBUG, logger="mammoroi"):
        paths = write_objects(make_patient(image), tmp_path / "out", capture=True)
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err, *(path.name for path in paths)):
        assert "SECRET" not in text
        assert "DOE" not in text


@pytest.mark.slow
def test_a_full_field_mammogram(tmp_path):
    """4096 x 3328, as a large detector has."""
    image = make_image(tmp_path, 0)
    dataset = pydicom.dcmread(image.file)
    dataset.Rows, dataset.Columns = 4096, 3328
    dataset.PixelData = np.zeros((4096, 3328), np.uint16).tobytes()
    dataset.save_as(image.file)
    mask = np.zeros((4096, 3328), bool)
    mask[1000:1200, 3000:] = True
    mask[0, 0] = True
    paths = write_objects(make_patient(replace(image, mask=mask)), tmp_path / "out", capture=True)
    assert [errors_of(path) for path in paths] == [[], [], []]
    assert np.array_equal(read_mask(paths[0], mask.shape), mask)
    assert max(pydicom.dcmread(paths[2]).pixel_array.shape[1:2]) <= 2048
