"""Whatever identifies goes, whatever the software needs stays, and the key decides who is who."""

import csv
import errno
import itertools
import logging
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom import config as pydicom_config
from pydicom.datadict import DicomDictionary, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from mammoroi.cli import main
from mammoroi.clinic import deidentify_rules
from mammoroi.clinic.deidentify import Export, deidentify
from mammoroi.clinic.deidentify_rules import TABLE, rules
from mammoroi.clinic.objects import write_objects
from mammoroi.clinic.privacy import new_key
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_mammogram

from .made_results import SHAPE, change, errors_of, make_image, make_patient, run_tool

NAME, GIVEN, BORN, IDENTIFIER = "SECRETNAME", "XANTHIPPE", "19600229", "SECRET-ID-77"
UID = "1.2.276.0.7230010.99.77"
SECRETS = [NAME, GIVEN, BORN, IDENTIFIER, UID, "SECRET"]
TEXT_VRS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}


@pytest.fixture
def key(tmp_path):
    return new_key(tmp_path / "home" / "key.txt")


@pytest.fixture
def mammogram(tmp_path):
    """A file whose patient is known by name, in a folder that is named after her."""
    folder = tmp_path / "pacs" / NAME
    image = make_image(folder, 1)
    return change(
        image.file, PatientName=f"{NAME}^{GIVEN}", PatientID=IDENTIFIER, PatientBirthDate=BORN
    )


def export(inputs, out: Path, key: Path, **options) -> list:
    """De-identify and return the paths of the copies."""
    failures = deidentify(inputs, out, Export(key, **options))
    assert failures == []
    return sorted(out.rglob("*.dcm"))


def everything_written(out: Path) -> bytes:
    """All bytes below a folder, and all names."""
    paths = sorted(out.rglob("*"))
    names = "\n".join(path.relative_to(out).as_posix() for path in paths).encode()
    return names + b"".join(path.read_bytes() for path in paths if path.is_file())


def assert_no_secrets(content: bytes) -> None:
    upper = content.upper()
    assert [secret for secret in SECRETS if secret.encode() in upper] == []
    # Text in UTF-16 and dates written otherwise would not be found above.
    assert NAME.encode("utf-16-le") not in upper


def plant(dataset: Dataset, keywords) -> int:
    """Put something that identifies into attributes, by their kind."""
    planted = 0
    for keyword in keywords:
        vr = DicomDictionary[tag_for_keyword(keyword)][0]
        if vr in TEXT_VRS:
            value = f"{NAME}^{GIVEN}" if vr == "PN" else NAME
        elif vr in ("DA", "DT"):
            value = BORN
        elif vr == "UI":
            value = UID
        elif vr == "SQ":
            item = Dataset()
            item.PatientName, item.PatientID, item.TextValue = f"{NAME}^{GIVEN}", IDENTIFIER, NAME
            item.add_new(0x00091001, "LO", NAME)
            value = [item]
        else:
            continue
        dataset.add_new(tag_for_keyword(keyword), vr, value)
        planted += 1
    return planted


def test_every_attribute_of_the_dictionary(mammogram, tmp_path, key, monkeypatch):
    """Every attribute with text, a date, a UID or items that pydicom knows, outside and inside.

    Those that are kept are filled too, so far as a mammogram can still be read with it.
    """
    monkeypatch.setattr(pydicom_config.settings, "writing_validation_mode", pydicom_config.IGNORE)
    structural = {
        "SOPClassUID", "Modality", "PhotometricInterpretation", "BurnedInAnnotation",
        "SpecificCharacterSet",
    }  # fmt: skip
    names = [
        row[4]
        for tag, row in DicomDictionary.items()
        if row[4] and tag >> 16 not in (0x0000, 0x0002, 0x0004) and row[4] not in structural
    ]
    dataset = pydicom.dcmread(mammogram)
    planted = plant(dataset, names)
    assert planted > 2500
    dataset.PatientID = IDENTIFIER
    dataset.SOPInstanceUID = UID
    for sequence in ("ViewCodeSequence", "AnatomicRegionSequence"):
        plant(dataset[sequence].value[0], names)
    dataset.save_as(mammogram)
    (copy,) = export([mammogram], tmp_path / "out", key)
    assert_no_secrets(everything_written(tmp_path / "out"))
    assert pydicom.dcmread(copy).PatientIdentityRemoved == "YES"


def test_private_meta_overlay_and_hidden_places(mammogram, tmp_path, key):
    dataset = pydicom.dcmread(mammogram)
    dataset.preamble = (NAME.encode() * 20)[:128]
    dataset.file_meta.SourceApplicationEntityTitle = "SECRET"
    dataset.file_meta.PrivateInformationCreatorUID = UID
    dataset.file_meta.PrivateInformation = NAME.encode()
    block = dataset.private_block(0x0019, NAME, create=True)
    block.add_new(1, "PN", f"{NAME}^{GIVEN}")
    item = Dataset()
    item.PatientName = NAME
    block.add_new(2, "SQ", [item])
    view = dataset.ViewCodeSequence[0]
    view.CodeMeaning = f"view of {NAME}"
    view.private_block(0x0019, NAME, create=True).add_new(1, "LO", NAME)
    dataset.AcquisitionContextSequence = [item]
    for group in (0x6000, 0x6002, 0x5000):
        dataset.add_new((group, 0x0022), "LO", NAME)
        dataset.add_new((group, 0x3000), "OW", NAME.encode())
    dataset.add_new(0xFFFCFFFC, "OB", NAME.encode())
    dataset.PixelData += NAME.encode()
    dataset.Manufacturer = f"Made for {NAME}"
    # What is called a number and is none: pydicom would not write it, others do.
    tag = Tag(0x00180060)
    dataset._dict[tag] = RawDataElement(tag, "DS", 10, b"SECRETNAME", 0, False, True, True, None)
    dataset.save_as(mammogram)
    (copy,) = export([mammogram], tmp_path / "out", key)
    assert_no_secrets(everything_written(tmp_path / "out"))
    assert errors_of(copy) == []
    made = pydicom.dcmread(copy)
    assert made.ViewCodeSequence[0].CodeMeaning == "medio-lateral oblique"
    assert made.Manufacturer == ""
    assert len(made.PixelData) == SHAPE[0] * SHAPE[1] * 2


@pytest.mark.parametrize(
    "kept", [c for n in range(4) for c in itertools.combinations(("dates", "device", "patient"), n)]
)
def test_valid_with_every_option(kept, tmp_path, key):
    image = make_image(tmp_path / "in", 0)
    seg, *_ = write_objects(make_patient(image), tmp_path / "in")
    copies = export([image.file, seg], tmp_path / "out", key, keep=frozenset(kept))
    assert [errors_of(copy) for copy in copies] == [[], []]
    codes = {"dates": "113107", "device": "113109", "patient": "113108"}
    for copy in copies:
        made = pydicom.dcmread(copy)
        assert made.PatientIdentityRemoved == "YES"
        assert made.DeidentificationMethod
        assert [item.CodeValue for item in made.DeidentificationMethodCodeSequence] == [
            "113100", *(codes[name] for name in kept)
        ]  # fmt: skip
        assert made.LongitudinalTemporalInformationModified == (
            "MODIFIED" if "dates" in kept else "REMOVED"
        )
    made = pydicom.dcmread(next(copy for copy in copies if pydicom.dcmread(copy).Modality == "MG"))
    assert bool(made.StudyDate) == ("dates" in kept)
    assert ("DeviceSerialNumber" in made) == ("device" in kept)
    assert bool(made.PatientSex) == ("patient" in kept) == ("PatientAge" in made)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_pixels_and_what_the_software_needs_stay(syntax, photometric, mammogram, tmp_path, key):
    inverse = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    change(mammogram, PhotometricInterpretation=photometric, PresentationLUTShape=inverse)
    dataset = pydicom.dcmread(mammogram)
    if syntax is not None:
        dataset.compress(syntax)
        dataset.save_as(mammogram)
    (copy,) = export([mammogram], tmp_path / "out", key)
    made = pydicom.dcmread(copy)
    assert made.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert made.PixelData == pydicom.dcmread(mammogram).PixelData
    before, after = read_mammogram(mammogram), read_mammogram(copy)
    assert np.array_equal(before.pixels, after.pixels)
    for name in ("spacing", "view", "laterality", "intent", "bits_stored"):
        assert getattr(before, name) == getattr(after, name)


@pytest.mark.parametrize("coding", ["+ti", "+te", "+tb", "+td", "-F"])
def test_every_uncompressed_coding(coding, mammogram, tmp_path, key):
    """Implicit, explicit, big endian, deflated; and a bare data set without file meta."""
    change(mammogram, KVP="28", PatientComments=NAME)
    other = mammogram.with_name("other.dcm")
    assert run_tool("dcmconv", coding, mammogram, other).returncode == 0
    (copy,) = export([other], tmp_path / "out", key)
    assert_no_secrets(everything_written(tmp_path / "out"))
    # dciodvfy does not inflate, and deflated bytes hide what is in them.
    plain = tmp_path / "plain.dcm"
    assert run_tool("dcmconv", "+te", copy, plain).returncode == 0
    assert_no_secrets(plain.read_bytes())
    assert errors_of(plain) == []
    made = pydicom.dcmread(copy)
    assert made.KVP == 28
    if coding != "-F":
        syntax = pydicom.dcmread(other).file_meta.TransferSyntaxUID
        assert made.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(made.pixel_array, pydicom.dcmread(mammogram).pixel_array)


def test_mask_and_mammogram_still_belong_together(tmp_path, key):
    image = make_image(tmp_path / "in", 0)
    seg, *_ = write_objects(make_patient(image), tmp_path / "in", geometry="nominal")
    export([image.file, seg], tmp_path / "out", key)
    with (tmp_path / "out" / "images.csv").open() as stream:
        rows = {row["kind"]: row for row in csv.DictReader(stream)}
    assert rows["mask"]["of"] == rows["image"]["file"]
    assert rows["mask"]["patient_id"] == rows["image"]["patient_id"]
    assert (rows["image"]["view"], rows["image"]["laterality"]) == ("CC", "L")
    mask = tmp_path / "out" / rows["mask"]["file"]
    assert np.array_equal(read_mask(mask, SHAPE), image.mask)
    made = pydicom.dcmread(mask)
    mammogram = pydicom.dcmread(tmp_path / "out" / rows["image"]["file"])
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == mammogram.SOPInstanceUID
    assert made.StudyInstanceUID == mammogram.StudyInstanceUID


@pytest.mark.parametrize("place", ["frame", "shared", "series"])
def test_a_mask_names_its_mammogram_in_several_places(place, tmp_path, key):
    """As segmentations of other makers do."""
    image = make_image(tmp_path / "in", 0)
    seg, *_ = write_objects(make_patient(image), tmp_path / "in")
    made = pydicom.dcmread(seg)
    source = made.SourceImageSequence
    (frame,) = made.PerFrameFunctionalGroupsSequence
    del made.SourceImageSequence
    if place != "frame":
        del frame.DerivationImageSequence
    if place == "shared":
        derivation = Dataset()
        derivation.SourceImageSequence = source
        made.SharedFunctionalGroupsSequence[0].DerivationImageSequence = [derivation]
    made.save_as(seg)
    export([image.file, seg], tmp_path / "out", key)
    with (tmp_path / "out" / "images.csv").open() as stream:
        rows = {row["kind"]: row for row in csv.DictReader(stream)}
    assert rows["mask"]["of"] == rows["image"]["file"]


def test_the_key_decides_who_is_who(tmp_path, key):
    files = [make_image(tmp_path / "in", number).file for number in range(2)]
    change(files[1], StudyInstanceUID="1.2.3.4", StudyDate="20250102")  # a year later
    other = make_image(tmp_path / "in", 2).file
    change(other, PatientID="P002")

    def people(folder: str, key: Path) -> dict[str, tuple[str, str]]:
        export([*files, other], tmp_path / folder, key, keep=frozenset({"dates"}))
        with (tmp_path / folder / "images.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        return {
            (row["laterality"] + row["view"]): (
                row["patient_id"],
                str(pydicom.dcmread(tmp_path / folder / row["file"]).StudyDate),
            )
            for row in rows
        }

    first = people("first", key)
    assert first["LCC"][0] == first["LMLO"][0] != first["RCC"][0]
    assert people("again", key) == first
    assert everything_written(tmp_path / "first") == everything_written(tmp_path / "again")
    second = people("second", new_key(tmp_path / "home" / "other.txt"))
    assert not {row[0] for row in first.values()} & {row[0] for row in second.values()}
    # Dates move, by the same days for all of one patient.
    days = [np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for _, d in (first["LCC"], first["LMLO"])]
    assert days[1] - days[0] == np.timedelta64(366, "D")
    assert first["LCC"][1] < "20240102"
    assert first["LCC"][1] != second["LCC"][1]


def test_ages_above_89_are_one(mammogram, tmp_path, key):
    change(mammogram, PatientAge="097Y")
    (copy,) = export([mammogram], tmp_path / "out", key, keep=frozenset({"patient"}))
    assert pydicom.dcmread(copy).PatientAge == "090Y"


def test_a_short_name_does_not_take_a_device_with_it(mammogram, tmp_path, key):
    change(
        mammogram, PatientName="ANN^LI", Manufacturer="Scanner Works", ManufacturerModelName="LI 3"
    )
    (copy,) = export([mammogram], tmp_path / "out", key)
    made = pydicom.dcmread(copy)
    assert made.Manufacturer == "Scanner Works"
    assert made.ManufacturerModelName == ""


def test_a_number_within_an_identifier_identifies(mammogram, tmp_path, key):
    change(mammogram, PatientID="MRN-7736451", ManufacturerModelName="Export 7736451")
    (copy,) = export([mammogram], tmp_path / "out", key)
    assert b"7736451" not in copy.read_bytes()


@pytest.mark.parametrize("name", ["Meier-Huber^Ida", "Meier^Ida (Huber)", "Meier/Huber", "X_Huber"])
def test_a_part_of_a_double_name_is_a_word_of_it(name, mammogram, tmp_path, key):
    change(mammogram, PatientName=name, ManufacturerModelName="Raum Huber", Manufacturer="Works")
    (copy,) = export([mammogram], tmp_path / "out", key)
    assert b"Huber" not in copy.read_bytes()
    assert pydicom.dcmread(copy).Manufacturer == "Works"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Köhl^Anna", "Anlage Köhl"),
        ("ÖZ^Li", "Öz 3"),
        ("Yamada^Taro=山田^太郎", "山田の装置"),
        ("Lin^Ming=林^明", "林明"),
    ],
)
def test_a_short_name_in_letters_that_are_not_plain(name, text, mammogram, tmp_path, key):
    change(
        mammogram, SpecificCharacterSet="ISO_IR 192", PatientName=name, ManufacturerModelName=text
    )
    (copy,) = export([mammogram], tmp_path / "out", key)
    assert text.encode() not in copy.read_bytes()


def test_no_patient_id_means_one_patient_per_study(tmp_path, key):
    files = [make_image(tmp_path / "in", number).file for number in range(3)]
    for file in files:
        change(file, PatientID="")
    change(files[2], StudyInstanceUID="1.2.3.4")
    copies = export(files, tmp_path / "out", key)
    assert len({copy.parent for copy in copies}) == 2


REFUSED = {
    "burned-in": ({"BurnedInAnnotation": "YES"}, "has text burned into its pixels"),
    "unstated": ({"BurnedInAnnotation": None}, "does not say whether text is burned in"),
    "unstated-film": (
        {"BurnedInAnnotation": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
        "and is a Secondary Capture",
    ),
    "report": ({"Modality": "SR"}, "of modality SR: only mammograms"),
    "odd-modality": ({"Modality": NAME}, "of modality unknown"),
    "colour": ({"PhotometricInterpretation": "RGB"}, "is not a grey image"),
    "name-as-colour": ({"PhotometricInterpretation": NAME}, "is no grey single-frame mammogram"),
    "bits": ({"BitsStored": 8, "HighBit": 7}, "outside the 0 to 255 of its 8 stored bits"),
    "nobody": ({"PatientID": "", "StudyInstanceUID": None}, "neither Patient ID"),
    "private-class": ({"SOPClassUID": "1.2.3"}, "no image of a standard class"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_and_recorded_without_a_name(reason, mammogram, tmp_path, key, caplog, capsys):
    attributes, message = REFUSED[reason]
    change(mammogram, **attributes)
    good = make_image(tmp_path / "pacs", 0).file
    out, crosswalk = tmp_path / "out", tmp_path / "home" / "crosswalk.csv"
    words = ["deidentify", mammogram.parent.parent, "-o", out, "--key", key]
    words += ["--crosswalk", crosswalk]
    with caplog.at_level(logging.DEBUG):
        assert main([*map(str, words)]) == 3
    assert len(list(out.rglob("*.dcm"))) == 1  # the good one
    with (out / "failures.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert message in row["error"]
    assert row["stage"] == "deidentify"
    assert_no_secrets(everything_written(out))
    printed = capsys.readouterr()
    for text in (caplog.text, printed.err):
        assert NAME not in text
        assert IDENTIFIER not in text
    assert row["case"] in printed.err
    # At home it is known which file that was.
    with crosswalk.open() as stream:
        rows = {entry["file"]: entry for entry in csv.DictReader(stream)}
    assert rows[mammogram.as_posix()]["case"] == row["case"]
    assert rows[good.as_posix()]["exported"]
    assert stat.S_IMODE(crosswalk.stat().st_mode) == 0o600


def test_unstated_is_taken_by_declared_choice(mammogram, tmp_path, key):
    change(mammogram, BurnedInAnnotation=None)
    words = ["deidentify", mammogram, "-o", tmp_path / "out", "--key", key, "--unstated", "accept"]
    assert main([*map(str, words)]) == 0
    change(mammogram, BurnedInAnnotation="YES")
    assert main([*map(str, words)]) == 3


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        (NAME, NAME.lower().encode()),
        ("Müllerin", "MÜLLERIN".encode()),
        ("MÜLLERIN", "Müllerin".encode("latin-1")),
    ],
)
def test_a_comment_in_the_compressed_stream(name, comment, mammogram, tmp_path, key):
    change(mammogram, SpecificCharacterSet="ISO_IR 192", PatientName=name)
    dataset = pydicom.dcmread(mammogram)
    dataset.compress(JPEG2000Lossless)
    marker = b"\xff\x64"  # COM of JPEG 2000 (ISO 15444-1), written by the coder
    start = dataset.PixelData.index(marker)
    length = int.from_bytes(dataset.PixelData[start + 2 : start + 4])
    comment = (comment * 9)[: length - 4]
    data = dataset.PixelData
    dataset.PixelData = data[: start + 6] + comment + data[start + 2 + length :]
    dataset.save_as(mammogram)
    (failure,) = deidentify([mammogram], tmp_path / "out", Export(key))
    assert "stands in the compressed pixel data" in failure.error
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_a_full_disk_is_not_said_of_every_file(mammogram, tmp_path, key, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Dataset, "save_as", full)
    words = ["deidentify", mammogram, "-o", tmp_path / "out", "--key", key]
    assert main([*map(str, words)]) == 1
    assert "free space on its disk" in capsys.readouterr().err


def test_a_file_that_may_not_be_read_is_not_called_damaged(mammogram, tmp_path, key, monkeypatch):
    real = Path.open

    def closed(path, *given, **options):
        if path == mammogram:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *given, **options)

    monkeypatch.setattr(Path, "open", closed)
    (failure,) = deidentify([mammogram], tmp_path / "out", Export(key))
    assert failure.error == f"{failure.case} cannot be read or written: Permission denied"
    assert "permissions" in failure.action


def test_files_that_are_none(mammogram, tmp_path, key):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "empty.dcm").touch()
    (folder / "text.dcm").write_text(NAME)
    (folder / "cut.dcm").write_bytes(mammogram.read_bytes()[:900])
    shutil.copy(mammogram, folder / "one.dcm")
    shutil.copy(mammogram, folder / "two.dcm")
    failures = deidentify([folder], tmp_path / "out", Export(key))
    assert len(failures) == 4
    assert sum("SOP Instance UID of another file" in failure.error for failure in failures) == 1
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1
    assert_no_secrets(everything_written(tmp_path / "out"))


@pytest.mark.parametrize("text", ["XANTHIPPE SECRET", "SECRETNAME 2", "X77_SECRET", "4711X"])
def test_a_name_within_a_coded_string(text, mammogram, tmp_path, key):
    """Not the whole value, but a word of it, or one with figures beside it."""
    names = [name for name, action in rules(frozenset()).items() if action == "keep"]
    coded = [n for n in names if DicomDictionary[tag_for_keyword(n)][0] in ("CS", "LO", "SH")]
    needed = {"Modality", "PhotometricInterpretation", "BurnedInAnnotation", "SpecificCharacterSet"}
    given = dict.fromkeys(set(coded) - needed, text)
    change(mammogram, PatientName="SECRET^SECRETNAME^XANTHIPPE", PatientID="4711", **given)
    (copy,) = export([mammogram], tmp_path / "out", key)
    assert text.encode() not in copy.read_bytes()


def test_a_name_does_not_take_codes_with_it(mammogram, tmp_path, key):
    change(mammogram, PatientName="PRESENT^SENTA^NO", PatientID="10")
    (copy,) = export([mammogram], tmp_path / "out", key)
    made, source = pydicom.dcmread(copy), pydicom.dcmread(mammogram)
    for name in ("PresentationIntentType", "BurnedInAnnotation", "ImageType", "ViewPosition"):
        assert made.get(name) == source.get(name)


def test_hidden_places_of_masks_signed_pixels_and_wrong_kinds(tmp_path, key):
    image = make_image(tmp_path / "in", 0)
    (path, _) = write_objects(make_patient(image), tmp_path / "masks")
    mask = pydicom.dcmread(path)
    whole = mask.PixelData
    mask.PixelData += NAME.encode()
    mask.save_as(path)
    (copy,) = export([path], tmp_path / "mask", key)
    assert pydicom.dcmread(copy).PixelData == whole
    dataset = pydicom.dcmread(image.file)
    dataset.add_new("BodyPartExamined", "OB", NAME.encode())
    pixels = dataset.pixel_array.astype("<u2") // 2
    dataset.PixelRepresentation = 1
    for signs, fails in ((0, 0), (0xF800, 0), (0x0800, 0), (0x8000, 1)):
        marked = pixels.copy()
        marked[10:20, 10:20] |= signs
        dataset.PixelData = marked.tobytes()
        dataset.save_as(image.file)
        failures = deidentify([image.file], tmp_path / f"signed-{signs}", Export(key))
        assert ["above the 12 stored bits" in one.error for one in failures] == [True] * fails
        assert_no_secrets(everything_written(tmp_path / f"signed-{signs}"))


def test_a_second_export_continues_both_tables(tmp_path, key):
    """A follow-up joins its first part; who was who in that is not forgotten."""
    out, who = tmp_path / "out", tmp_path / "home" / "who.csv"
    files = [make_image(tmp_path / "in", number).file for number in range(3)]

    def tables(inputs) -> list[list[str]]:
        deidentify(inputs, out, Export(key, crosswalk=who))
        return [sorted(read_csv(path)["file"]) for path in (out / "images.csv", who)]

    tables(files[:1])
    assert [len(table) for table in tables(files[1:])] == [3, 3]
    again = [path.read_bytes() for path in (out / "images.csv", who)]
    assert [len(table) for table in tables(files[1:])] == [3, 3]
    assert again == [path.read_bytes() for path in (out / "images.csv", who)]
    next(out.rglob("*.dcm")).unlink()
    assert len(tables(files[1:])[0]) >= 2, "what was removed is not listed"
    who.write_text("name\nof another table\n")
    with pytest.raises(MammoroiError, match="no table of an earlier export"):
        tables(files[:1])


def test_what_must_stay_apart(mammogram, tmp_path, key):
    out = tmp_path / "out"
    inside = new_key(out / "key.txt")
    with pytest.raises(MammoroiError, match=r"the key .* is inside the output folder"):
        deidentify([mammogram], out, Export(inside))
    with pytest.raises(MammoroiError, match=r"the crosswalk .* is inside the output folder"):
        deidentify([mammogram], out, Export(key, crosswalk=out / "who.csv"))
    with pytest.raises(MammoroiError, match="lie within each other"):
        deidentify([mammogram.parent], mammogram.parent / "out", Export(key))


def test_the_key_is_made_once_and_asked_for(mammogram, tmp_path, capsys):
    words = ["deidentify", str(mammogram), "-o", str(tmp_path / "out"), "--key"]
    key = tmp_path / "home" / "key.txt"
    assert main([*words, str(key)]) == 1
    assert "--new-key makes a new one" in capsys.readouterr().err
    assert main([*words, str(key), "--new-key"]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().strip()) == 64
    assert main([*words, str(key), "--new-key"]) == 1
    assert "exists already" in capsys.readouterr().err
    key.write_text("hunter2")
    assert main([*words, str(key)]) == 1
    assert "holds no key" in capsys.readouterr().err


def test_the_table():
    """Tags and names agree with the dictionary, and what the profile protects is not just kept."""
    with TABLE.open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        tag = tag_for_keyword(row["keyword"])
        assert row["tag"] == f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        if row["profile"] and row["keyword"] != "SourceImageSequence":
            without = rules(frozenset())[row["keyword"]]
            assert without in ("empty", "remove", "uid", "pseudonym"), row
    source = next(row for row in rows if row["keyword"] == "SourceImageSequence")
    assert source["profile"] == "X/Z/U*"  # U*: kept, with the UIDs in it replaced


@pytest.mark.parametrize(("byte", "days"), [(b"\x00", 1), (b"\xff", 368)])
def test_dates_move_by_1_to_3652_days(byte, days, monkeypatch):
    """Never by none, whatever the key makes of a patient."""
    digest = SimpleNamespace(digest=lambda: 32 * byte)
    monkeypatch.setattr(deidentify_rules, "hmac", SimpleNamespace(new=lambda *_: digest))
    mammogram = Dataset()
    mammogram.PatientID = "1"
    person = deidentify_rules.person_of(mammogram, b"key", frozenset())
    assert person.days == days
