"""What infer says of new mammograms: the study's own numbers, and doubt where doubt is due."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from scipy.ndimage import gaussian_filter

from mammoroi.cli import main
from mammoroi.clinic.bundle import Bundle
from mammoroi.clinic.infer import infer, new_patients
from mammoroi.clinic.intervals import RiskSpread, spread_of
from mammoroi.clinic.ranges import Distribution
from mammoroi.clinic.results import PatientResult, Risk
from mammoroi.clinic.risks import index_images
from mammoroi.clinic.service.config import ProcessingConfig
from mammoroi.clinic.service.processing import Processing
from mammoroi.clinic.tables import risk_row
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.imaging.dicom import FOR_PROCESSING
from mammoroi.modeling.calibration import fit_calibration
from mammoroi.radiomics import extract
from mammoroi.segmentation.new_mammograms import image_names

IDS = {"image_id": str, "patient_id": str}


@pytest.fixture(scope="module")
def files(second: Path) -> list[Path]:
    """CC and MLO of one breast of the second cohort's patients, in order."""
    cohort = load_cohort(second)
    return [cohort.path(image) for image in cohort.images["image"]]


@pytest.fixture
def edited(files: list[Path], tmp_path: Path) -> Callable[..., Path]:
    """Copies of files with other attributes and pixels."""

    def edit(number: int, name: str, pixels: Callable | None = None, **attributes: object) -> Path:
        dataset = pydicom.dcmread(files[number])
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        if pixels is not None:
            changed = pixels(dataset.pixel_array.astype(np.int64)).clip(0, 4095).astype("<u2")
            dataset.PixelData = changed.tobytes()
            dataset.Rows, dataset.Columns = changed.shape
        path = tmp_path / "new" / f"{name}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path)
        return path

    return edit


def only(found: tuple[list[PatientResult], list]) -> PatientResult:
    (patient,), failures = found
    assert not failures
    return patient


def codes(flags: tuple) -> set[str]:
    return {flag.code for flag in flags}


def test_the_studys_own_test_patients_get_the_studys_own_risks(study, bundle):
    """Masks, features and risks are those that the study found, by another way."""
    cohort, tests = load_cohort(study), load_splits(study).test
    rows = cohort.images[cohort.images["patient_id"].isin(tests)]
    patients, failures = infer([cohort.path(image) for image in rows["image"]], bundle)
    assert not failures
    drawn = read_csv(study / "masks" / "predictions.csv", dtype=IDS).set_index("image_id")
    features = pd.read_parquet(study / "features" / "automatic.parquet").set_index("image_id")
    risks = read_csv(study / "models" / "sln" / "automatic" / "predictions.csv", dtype=IDS)
    expected = risks.set_index("patient_id")
    owners = rows.set_index("image_id")["patient_id"]
    checked = 0
    for patient in patients:
        for image in patient.images:
            assert image.area_mm2 == pytest.approx(drawn.loc[image.image_id, "area_mm2"])
            for name, value in (image.features or {}).items():
                assert value == pytest.approx(features.loc[image.image_id, name], rel=1e-9)
        (risk,) = patient.risks
        row = expected.loc[owners[patient.images[0].image_id]]
        if row["missed"]:
            assert risk.risk is None
        elif risk.risk is not None:
            assert risk.risk == pytest.approx(row["risk"], rel=1e-9)
            checked += 1
    assert checked >= 5


def test_the_command_writes_the_documented_files(model, study, files, tmp_path, caplog, capsys):
    out, again = tmp_path / "out", tmp_path / "again"
    images = [str(file) for file in files[:4]]
    assert main(["infer", *images, "--out", str(out), "--model", str(model)]) == 0
    assert "trained on phantoms only" in caplog.text
    assert "parameter dictionary" not in caplog.text, "pyradiomics' note on its own workings"
    said = capsys.readouterr().out
    for file in files[:4]:
        assert re.search(rf"patient-[12]  {file.stem}: (lesion found, \d+ mm²|no lesion)", said)
    assert "patient-2  risks: sln " in said
    assert f"Pages: {out / 'pages'}, 2 files" in said
    assert said.endswith(f"Results: {out}\n")
    predictions = read_csv(out / "predictions.csv", dtype=IDS)
    assert predictions["image_id"].tolist() == [file.stem for file in files[:4]]
    assert predictions["patient_id"].tolist() == ["patient-1"] * 2 + ["patient-2"] * 2
    for file in files[:4]:
        mask = np.asarray(Image.open(out / "masks" / f"{file.stem}.png"))
        assert mask.shape == pydicom.dcmread(file).pixel_array.shape
        assert (out / "masks" / "overlays" / f"{file.stem}.png").stat().st_size > 1000
    features = read_csv(out / "features.csv", dtype=IDS)
    assert set(features["image_id"]) == set(predictions.loc[predictions["found"], "image_id"])
    risks = read_csv(out / "risks.csv", dtype=IDS)
    given = risks[risks["lower"].notna()]
    assert ((given["lower"] < given["risk"]) & (given["risk"] < given["upper"])).all()
    assert (out / "pages" / "patient-2.html").exists()
    assert len(list((out / "objects" / "patient-1").glob("*_seg.dcm"))) == 2
    record = read_json(out / "results.json")
    assert record["model"]["sha256"] == predictions["model_sha256"][0]
    assert record["patients"][0]["risks"][0]["target"] == "sln"
    assert len(read_csv(out / "failures.csv")) == 0
    # A study folder, named first as before, goes the same way.
    assert main(["infer", str(study), *images, "--out", str(again)]) == 0
    for name in ("predictions.csv", "features.csv", "risks.csv", "results.json"):
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_a_folder_never_holds_two_runs_patients(model, study, files, tmp_path, capsys):
    """One woman's objects must not lie beside another's; the same command again changes nothing."""
    out = tmp_path / "out"
    ours = ["--out", str(out), "--model", str(model)]
    first = ["infer", *map(str, files[:4]), *ours]
    assert main(first) == 0
    made = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["infer", str(files[4]), *ours]) != 0
    said = capsys.readouterr().err
    assert f"{out} holds results of another run (not the same images)" in said
    assert "name another folder with --out" in said
    assert main(["infer", *map(str, files[:4]), "--out", str(out)]) != 0
    assert "not the same model" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == made
    # What is not written again goes, as when an image fails that did not fail before.
    (out / "objects" / "patient-3").mkdir()
    (out / "objects" / "patient-3" / "old_seg.dcm").write_bytes(b"of another woman")
    assert main(first) == 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == made
    (out / "inputs.json").unlink()
    assert main(first) != 0
    assert "no inputs.json says" in capsys.readouterr().err


def test_a_full_disk_ends_it_since_half_the_objects_would_be_taken_for_all(
    files, tmp_path, monkeypatch, capsys
):
    """The service sends what it finds: a SEG without the report that did not fit."""
    save = Dataset.save_as

    def small_disk(dataset, path, **options):
        if dataset.Modality == "SR":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(dataset, path, **options)

    monkeypatch.setattr(Dataset, "save_as", small_disk)
    assert main(["infer", str(files[0]), "--out", str(tmp_path / "out")]) == 1
    assert "free space on its disk" in capsys.readouterr().err
    with pytest.raises(OSError, match="No space left"):
        Processing(ProcessingConfig())([files[0]], tmp_path / "service")


@pytest.mark.parametrize("command", ["infer", "segment"])
def test_results_in_the_folder_of_the_mammograms_are_not_read_as_such(
    command, files, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.dcm").write_bytes(files[0].read_bytes())
    words = [command, ".", "--out", "results"]
    assert main(words) == 0
    made = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(words) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == made


def test_nothing_says_who_the_patient_is(edited, model, tmp_path, caplog):
    secret = {"PatientID": "ID-4711-SECRET", "PatientName": "Secretive^Sandra"}
    edited(0, "a", **secret)
    edited(1, "b", **secret)
    (tmp_path / "new" / "c.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"ID-4711-SECRET" * 40)
    out = tmp_path / "out"
    assert main(["infer", str(tmp_path / "new"), "-o", str(out), "--model", str(model)]) == 3
    for path in out.rglob("*"):
        if path.suffix in (".csv", ".json", ".md", ".png", ".html"):
            assert b"SECRET" not in path.read_bytes(), path
            assert b"Secretive" not in path.read_bytes(), path
    assert "SECRET" not in caplog.text


def test_a_bad_file_fails_and_its_patient_goes_on(edited, files, bundle, tmp_path):
    good = edited(0, "good")
    tomosynthesis = edited(1, "tomo", SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3")
    other = edited(1, "other", Modality="CR")
    (tmp_path / "new" / "zero.dcm").write_bytes(b"")
    (tmp_path / "new" / "cut.dcm").write_bytes(good.read_bytes()[:3000])
    (patient,), failures = infer([tmp_path / "new"], bundle)
    assert {failure.case for failure in failures} == {"tomo", "other", "zero", "cut"}
    words = {failure.case: failure.error for failure in failures}
    assert "tomosynthesis" in words["tomo"]
    assert "modality CR" in words["other"]
    assert all(failure.action for failure in failures)
    assert [image.file for image in patient.images] == [good]
    assert {"images-failed", "one-view"} <= codes(patient.flags)
    assert tomosynthesis.exists()
    assert other.exists()


def test_a_mask_beside_the_mammograms_is_called_a_mask(files, bundle, tmp_path):
    """Also with a spacing given, with which it would be processed as a patient of its own."""
    grey = pydicom.dcmread(files[0]).pixel_array
    Image.fromarray(grey.astype(np.uint16)).save(tmp_path / "image.png")
    Image.fromarray(np.where(grey > 2000, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    for spacing in (None, 0.5):
        patients, failures = infer([tmp_path], bundle, spacing_mm=spacing)
        failed = {failure.case: failure for failure in failures}
        assert "probably a mask" in failed["mask"].error
        assert failed["mask"].action.startswith("name the mammograms alone")
        assert len(patients) == (spacing is not None)
    assert (
        infer([tmp_path / "image.png"], bundle).failures[0].action.startswith("give --spacing_mm")
    )


def test_names_that_repeat_in_an_export_of_a_pacs_get_their_folders(files, model, tmp_path):
    pacs = [tmp_path / "pacs" / name for name in ("A/1/IM0001", "A/2/IM0001.dcm", "B/IM0001")]
    for file, source in zip(pacs, files, strict=False):
        file.parent.mkdir(parents=True)
        file.write_bytes(source.read_bytes())
    out = tmp_path / "out"
    assert main(["infer", str(tmp_path / "pacs"), "--out", str(out), "--model", str(model)]) == 0
    named = ["A-1-IM0001", "A-2-IM0001", "B-IM0001"]
    assert read_csv(out / "predictions.csv", dtype=IDS)["image_id"].tolist() == named
    assert sorted(file.stem for file in (out / "masks").glob("*.png")) == named
    assert {file.stem for file in out.glob("objects/*/*_seg.dcm")} <= {f"{n}_seg" for n in named}


def test_names_are_told_apart_by_folders_where_that_can_be():
    def named(*paths: str) -> list[str]:
        return image_names([Path(path) for path in paths])

    assert named("x/a.png", "x/b.png", "y/c.png") == ["a", "b", "c"]
    assert named("x/a.png", "/else/x/a.png")[1].endswith("else-x-a")
    assert named("x/a.png", "x/y/a.dcm", "x/b.png") == ["a", "y-a", "b"]
    assert named("x/a/../c/a.png", "x/b/a.png") == ["c-a", "b-a"]
    assert named("x/DICOMDIR", "x/y/A/a", "x/y/B/a") == ["DICOMDIR", "A-a", "B-a"]
    for paths in (
        ("x/a.png", "x/a.dcm"),
        ("x/a.png", "x/a.png"),
        ("x/y/a.png", "x/z/a.png", "x/y-a.dcm"),
        (f"x/{'y' * 199}/a.png", f"x/{'z' * 199}/a.png"),
    ):
        with pytest.raises(MammoroiError, match="several files are named"):
            named(*paths)
    assert named(f"x/{'y' * 236}.dcm") == ["y" * 236]
    with pytest.raises(MammoroiError, match="has more than 240 bytes"):
        named(f"x/{'ü' * 121}")


def test_what_lies_on_every_disc_and_in_every_folder_is_no_image(files, tmp_path):
    for name in ("DICOMDIR", "Thumbs.db", "desktop.ini", ".DS_Store", "sub/dicomdir"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(MammoroiError, match="there is no image"):
        new_patients([tmp_path])
    (tmp_path / "sub" / "IM0001").write_bytes(files[0].read_bytes())
    ((image,),) = (patient.images for patient in new_patients([tmp_path]))
    assert image.image_id == "IM0001"
    named = tmp_path / "DICOMDIR"
    assert new_patients([named])[0].images[0].file == named, "who names it may know why"


def test_a_folder_that_cannot_be_read_is_not_left_out(files, tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "IM0001").write_bytes(files[0].read_bytes())
    scandir = os.scandir

    def guarded(path):
        if Path(path).name in ("closed", "lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(MammoroiError, match="closed cannot be read: Permission denied"):
        new_patients([tmp_path])
    (tmp_path / "closed").rename(tmp_path / "lost+found")
    assert len(new_patients([tmp_path])) == 1


def test_equal_names_and_no_image_are_refused(files, tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("same.dcm", "same"):
        (tmp_path / name).write_bytes(files[0].read_bytes())
    with pytest.raises(MammoroiError, match="several files are named same"):
        new_patients([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MammoroiError, match="there is no image"):
        new_patients([tmp_path / "empty"])
    with pytest.raises(MammoroiError, match="give millimetres per pixel"):
        new_patients([tmp_path / "same.dcm"], spacing_mm=70.0)


def test_an_image_like_those_of_the_training_raises_no_flag_of_range(files, bundle):
    patients, _ = infer(files[:12], bundle)
    found = {
        code for patient in patients for image in patient.images for code in codes(image.flags)
    }
    assert not {code for code in found if code.startswith(("outside", "other"))}
    assert any(patient.risks[0].lower is not None for patient in patients)


def test_brighter_images_are_flagged_and_get_no_interval(edited, bundle):
    bright = [edited(k, f"bright{k}", pixels=lambda grey: grey * 1.6) for k in (0, 1)]
    patient = only(infer(bright, bundle))
    flags = [flag for image in patient.images for flag in image.flags]
    text = next(flag.text for flag in flags if flag.code == "outside-training-intensity")
    assert "99.8th percentile" in text
    assert "in training" in text
    (risk,) = patient.risks
    assert risk.lower is None
    assert codes(risk.flags) & {"no-interval", "unlike-training"}


def test_another_spacing_size_view_and_intent_are_flagged(edited, bundle):
    other = edited(0, "other", ImagerPixelSpacing=[0.9, 0.9])
    (image,) = only(infer([other], bundle)).images
    assert {"outside-training-spacing", "outside-training-size"} <= codes(image.flags)
    raw = edited(0, "raw", SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1")
    patient = only(infer([raw], bundle))
    assert "other-intent" in codes(patient.images[0].flags)
    assert patient.risks[0].risk is None
    assert "other-intent" in codes(patient.risks[0].flags)
    view = pydicom.dcmread(raw).ViewCodeSequence
    view[0].CodeValue, view[0].CodeMeaning = "399260004", "medio-lateral"
    lateral = edited(0, "lateral", ViewCodeSequence=view, ViewPosition="ML")
    (image,) = only(infer([lateral], bundle)).images
    assert image.view == "ML"
    assert "outside-training-view" in codes(image.flags)


def test_a_breast_implant_is_flagged(edited, bundle):
    images = [
        edited(k, f"implant{k}", BreastImplantPresent=says) for k, says in enumerate(["YES", "NO"])
    ]
    with_one, without = only(infer(images, bundle)).images
    assert "implant" in codes(with_one.flags)
    assert "implant" not in codes(without.flags)


def test_without_a_lesion_there_is_no_risk(files, bundle):
    network = bundle.networks[0]
    inference = {**network.card["inference"], "threshold": 1.1}
    blind = replace(
        bundle, networks=(replace(network, card={**network.card, "inference": inference}),)
    )
    patient = only(infer(files[:2], blind))
    assert not any(image.found for image in patient.images)
    assert all("no-lesion" in codes(image.flags) for image in patient.images)
    assert "no-lesion" in codes(patient.flags)
    (risk,) = patient.risks
    assert (risk.risk, risk.lower, risk.above_threshold, risk.n_images) == (None, None, None, 0)
    assert "not-measured" in codes(risk.flags)


def test_regions_that_the_mask_left_out_are_flagged_and_no_others(files, bundle, monkeypatch):
    """Many regions, some of which are one or two by the grid on which they are counted."""

    def noise(model, array, *_) -> list[np.ndarray]:
        rng = np.random.default_rng(array.size)
        smooth = gaussian_filter(rng.normal(size=array.shape), 2)
        return [(1 / (1 + np.exp(-2 * smooth / smooth.std()))).astype(np.float32)]

    def flagged(most: int) -> list[str | None]:
        network = bundle.networks[0]
        rules = {"threshold": 0.8, "max_components": most, "minimum_area_mm2": 25.0}
        card = {**network.card, "inference": {**network.card["inference"], **rules}}
        noisy = replace(bundle, networks=(replace(network, card=card),))
        texts = [
            {flag.code: flag.text for flag in image.flags}.get("several-lesions")
            for patient in infer(files[:6], noisy).patients
            for image in patient.images
        ]
        assert len(texts) == 6
        return texts

    monkeypatch.setattr("mammoroi.segmentation.predict.probabilities", noise)
    assert flagged(0) == [None] * 6, "0 keeps them all"
    few = flagged(3)
    for text in few:
        n_regions, n_drawn = map(int, re.findall(r"\d+", str(text)))
        assert n_regions > n_drawn == 3
    assert flagged(4 * max(int(str(text).split()[0]) for text in few)) == [None] * 6


def test_lesions_of_both_breasts_are_not_mixed(edited, bundle):
    """Four views of one patient: the risk rests on one breast, and says on which."""
    one = {"PatientID": "P", "IssuerOfPatientID": "here"}
    study = generate_uid()
    four = [edited(k, f"four{k}", StudyInstanceUID=study, **one) for k in range(2)]
    side = "R" if pydicom.dcmread(four[0]).ImageLaterality == "L" else "L"
    mirrored = [
        edited(
            k, f"four{k}", pixels=lambda grey: grey[:, ::-1], ImageLaterality=side,
            StudyInstanceUID=study, **one,
        )
        for k in (2, 3)
    ]  # fmt: skip
    patient = only(infer([*four, *mirrored], bundle))
    assert len(patient.images) == 4
    assert "both-breasts" in codes(patient.flags)
    used = index_images(patient.images)
    assert len({image.laterality for image in used}) == 1
    assert patient.risks[0].n_images == len(used) == 2
    alone = only(infer([image.file for image in used], bundle))
    assert alone.risks[0].risk == patient.risks[0].risk
    new = {"StudyInstanceUID": generate_uid(), "SOPInstanceUID": generate_uid()}
    other = edited(0, "later", **new, **one)
    assert "several-studies" in codes(only(infer([*four, other], bundle)).flags)


def test_risks_rest_on_the_breast_that_was_measured(edited, bundle, monkeypatch):
    """A lesion that could not be measured neither chooses the breast nor counts as a view."""
    side = "R" if pydicom.dcmread(edited(0, "side")).ImageLaterality == "L" else "L"
    four = [edited(k, f"measured{k}", PatientID="P") for k in (0, 1)]
    four.append(edited(2, "measured2", PatientID="P", ImageLaterality=side))
    whole = extract.extract_case

    def small(mammogram, *given):
        if mammogram.source in four[:2]:
            raise MammoroiError("too small", "leave it")
        return whole(mammogram, *given)

    monkeypatch.setattr(extract, "extract_case", small)
    (patient,), failures = infer(four, bundle)
    assert {failure.stage for failure in failures} == {"infer/radiomics"}
    assert patient.risks[0].n_images == 1
    assert {"one-view", "both-breasts"} <= codes(patient.flags)


def test_features_that_a_filter_left_out_of_a_small_image_end_nothing(
    files, bundle, model, tmp_path, monkeypatch
):
    """pyradiomics leaves a filter out that is larger than the image."""
    whole = extract.extract_case
    taken = {name.partition("@")[0] for name in bundle.classifiers[0].model.features()}
    missing = min(taken)

    def small(mammogram, *given):
        found = whole(mammogram, *given)
        left_out.setdefault(files[2], min(set(found) - taken))
        return {name: found[name] for name in found if name != left_out.get(mammogram.source)}

    left_out = {files[0]: missing}

    monkeypatch.setattr(extract, "extract_case", small)
    out = tmp_path / "out"
    images = [str(files[k]) for k in (0, 2, 4)]
    assert main(["infer", *images, "--out", str(out), "--model", str(model)]) == 3
    (failure,) = read_csv(out / "failures.csv").itertuples()
    assert (failure.case, failure.stage) == (files[0].stem, "infer/radiomics")
    assert missing in failure.error
    features = read_csv(out / "features.csv", dtype=IDS).set_index("image_id")
    assert list(features.index) == [files[2].stem, files[4].stem]
    assert features[left_out[files[2]]].notna().tolist() == [False, True]
    assert len(read_csv(out / "risks.csv")) == 3 * len(bundle.classifiers)
    page = (out / "pages" / "patient-1.html").read_text("utf-8")
    assert "The lesion could not be measured" in page
    assert "Not processed" not in page


def test_nothing_is_said_of_risks_where_there_are_none(files, bundle):
    bare = replace(bundle, classifiers=(), preset=None)
    patient = only(infer(files[:1], bare))
    assert patient.images[0].found
    assert (patient.risks, patient.flags) == ((), ())


def test_raw_images_beside_those_of_the_trainings_kind_take_no_risk_away(edited, files, bundle):
    """Archives hold both of every exposure: For Processing does not withhold For Presentation."""
    raw = [
        edited(
            k, f"raw{k}", SOPClassUID=FOR_PROCESSING, PresentationIntentType="FOR PROCESSING",
            SOPInstanceUID=generate_uid(),
        )
        for k in range(2)
    ]  # fmt: skip
    alone, both = only(infer(files[:2], bundle)), only(infer([*raw, *files[:2]], bundle))
    assert len(both.images) == 4
    assert both.risks == alone.risks
    assert only(infer(raw, bundle)).risks[0].risk is None


def test_a_side_that_is_not_stated_is_said(edited, files, bundle):
    """Four views of both breasts would otherwise be one breast without a word."""
    four = [
        edited(k, f"side{k}", PatientID="P", ImageLaterality=None if k else "L") for k in range(3)
    ]
    flags = {flag.code: flag.text for flag in only(infer(four, bundle)).flags}
    assert flags["side-unknown"].startswith("Of 2 of 3 images with a lesion")
    assert "side-unknown" not in codes(only(infer(four[1:2], bundle)).flags), "one alone is one"
    assert "side-unknown" not in codes(only(infer(files[:2], bundle)).flags)


def test_one_id_of_two_issuers_is_two_patients(edited):
    here = edited(0, "here", PatientID="1", IssuerOfPatientID="A")
    there = edited(1, "there", PatientID="1", IssuerOfPatientID="B")
    none = [edited(k, f"none{k}", PatientID="") for k in (2, 3)]
    patients = new_patients([here, there, *none])
    assert [len(patient.images) for patient in patients] == [1, 1, 2], "none: one examination"


@pytest.mark.parametrize("command", [["infer"], ["segment"], ["deidentify", "--new-key", "--key"]])
def test_a_name_that_is_no_text_is_said_before_anything_is_done(command, files, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(files[0], os.fsencode(folder) + b"/M\xfcller.dcm")
    words = [*command, str(tmp_path / "key")] if "--key" in command else command
    assert main([*words, str(folder), "--out", str(out)]) == 1
    assert r"M\udcfcller.dcm' is not text in UTF-8 -> rename" in capsys.readouterr().err
    assert not out.exists()


def test_a_page_names_no_folder_of_a_failed_image(edited, model, tmp_path):
    folder = tmp_path / "DOE-JANE"
    edited(0, "good").parent.rename(folder)
    shutil.copy(edited(1, "bad", Modality="CT"), folder)
    out = tmp_path / "out"
    assert main(["infer", str(folder), "--out", str(out), "--model", str(model)]) == 3
    page = (out / "pages" / "patient-1.html").read_text("utf-8")
    assert "bad has modality CT, not MG" in page
    assert "DOE" not in page


def test_a_word_in_place_of_the_patient_id_joins_nobody(edited):
    """Exports give everybody the same: two examinations are then two patients."""
    studies = [generate_uid(), generate_uid()]
    files = [
        edited(k, f"all{k}", PatientID="ANONYMOUS", StudyInstanceUID=studies[k // 2])
        for k in range(4)
    ]
    assert [len(patient.images) for patient in new_patients(files)] == [2, 2]


def test_an_image_that_is_given_twice_counts_once(edited, files, bundle):
    """A copy under another name would weigh its view, and its breast, twice."""
    copy = edited(0, "copy")
    (patient,), (failure,) = infer([files[0], copy, files[1]], bundle)
    (alone,), _ = infer(files[:2], bundle)
    assert patient.risks == alone.risks
    assert failure.case == "copy"
    assert f"is the image {files[0].stem} again" in failure.error
    assert "images-failed" in codes(patient.flags)
    damaged = edited(0, "damaged", Rows=1)
    (patient,), (failure,) = infer([damaged, files[0]], bundle)
    assert (failure.case, patient.images[0].image_id) == ("damaged", files[0].stem)


def test_a_spacing_is_asked_for_and_then_flagged(bundle, tmp_path, files, capsys):
    grey = pydicom.dcmread(files[0]).pixel_array
    Image.fromarray(grey.astype(np.uint16)).save(tmp_path / "plain.png")
    patients, (failure,) = infer([tmp_path / "plain.png"], bundle)
    assert not patients
    assert "states no pixel spacing" in failure.error
    assert "--spacing_mm" in failure.action
    found = infer([tmp_path / "plain.png", files[0]], bundle, spacing_mm=0.4)
    assert not found.failures
    plain, own = (image for patient in found.patients for image in patient.images)
    assert plain.spacing_mm == (0.4, 0.4)
    assert plain.spacing_source == "given by the user for all files"
    assert "spacing-given" in codes(plain.flags)
    assert own.spacing_mm == (0.5, 0.5), "what a file says itself counts"
    assert own.spacing_source.startswith("Imager Pixel Spacing")
    assert "spacing-given" not in codes(own.flags)


def test_a_batch_is_refused_where_none_is_known(bundle, files):
    with pytest.raises(MammoroiError, match="take features as they are"):
        infer(files[:1], bundle, batch="Berlin")


def test_the_shipped_bundle_gives_masks_features_and_risks(tmp_path):
    """At the spacing of `mammoroi synthesize`, right after installing, without a flag of range."""
    assert main(["synthesize", str(tmp_path / "c"), "--n_patients", "1", "--seed", "99"]) == 0
    patient = only(infer([tmp_path / "c" / "images"]))
    assert len(patient.risks) == 4
    for image in patient.images:
        assert image.found
        assert image.features
        assert not {code for code in codes(image.flags) if code.startswith("outside")}
    assert all(risk.risk is not None and 0 < risk.risk < 1 for risk in patient.risks)
    assert any("trying out" in notice for notice in patient.notices)


def test_risks_say_how_well_their_classifiers_did(study, bundle, files):
    """The study's own AUC of test patients, which a study of phantoms so small does not tell."""
    (risk,) = next(patient for patient in infer(files[:12], bundle)[0] if patient.risks).risks
    known = read_json(study / "models" / "sln" / "automatic" / "metrics.json")["test"]
    assert risk.tested is not None
    assert risk.tested.n == known["n"]
    assert risk.tested.auc == pytest.approx(known["auc"], rel=1e-5)
    assert (risk.tested.lower, risk.tested.upper) == pytest.approx(
        (known["auc_lower"], known["auc_upper"]), rel=1e-5
    )
    assert ("not-told-from-chance" in codes(risk.flags)) == (known["auc_lower"] <= 0.5)
    row = risk_row("patient-1", risk)
    assert (row["n_test"], row["auc"]) == (risk.tested.n, risk.tested.auc)
    assert row["n_train"] == 30
    (before,) = (replace(one, tested=None) for one in bundle.classifiers)
    (patient, *_), _ = infer(files[:2], replace(bundle, classifiers=(before,)))
    assert patient.risks[0].risk is None or "untested" in codes(patient.risks[0].flags)


def test_intervals_hold_the_share_of_positives_as_often_as_they_claim():
    """Scores whose true calibration is known: about 95 of 100 intervals hold the truth."""
    rng = np.random.default_rng(4)
    at = np.array([-1.5, 0.0, 1.0])
    truth = 1 / (1 + np.exp(-(-0.5 + 0.9 * at)))
    held = np.zeros(3)
    repeats = 600
    for _ in range(repeats):
        scores = rng.normal(size=150)
        labels = rng.random(150) < 1 / (1 + np.exp(-(-0.5 + 0.9 * scores)))
        calibration = fit_calibration(scores, labels)
        spread = spread_of(calibration, scores, labels)
        assert spread is not None
        ends = np.array([spread.interval(calibration, score) for score in at])
        held += (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    assert np.all(np.abs(held / repeats - 0.95) < 0.03), held / repeats


def test_an_interval_is_not_made_up():
    calibration = fit_calibration(np.zeros(4), np.array([0, 1, 0, 1]))
    assert spread_of(calibration, np.arange(19.0), np.arange(19) % 2) is None, "too few"
    assert spread_of(calibration, np.arange(20.0), np.arange(20) % 2) is not None
    assert spread_of(calibration, np.zeros(40), np.arange(40) % 2) is None, "equal scores"
    assert spread_of(calibration, np.arange(40.0), np.ones(40)) is None, "one class"
    prevalence = spread_of(None, np.zeros(40), np.arange(40) % 4 == 0)
    assert prevalence is not None
    lower, upper = prevalence.interval(calibration, 0.0)
    assert (lower, upper) == pytest.approx((0.1419, 0.4019), abs=5e-4), "Wilson's, of 10 in 40"
    assert RiskSpread.from_json(vars(prevalence)) == prevalence


def test_a_range_has_some_slack_and_an_end():
    known = Distribution.of([10.0, 20.0, np.nan])
    assert known is not None
    assert known.n == 2
    assert not known.outside(20.9)
    assert known.outside(21.1)
    assert known.outside(8.9)
    constant = Distribution.of([0.07] * 5)
    assert constant is not None
    assert not constant.outside(0.0705)
    assert constant.outside(0.1)
    assert Distribution.of([np.nan]) is None


def test_a_bundle_can_be_used_for_many_calls(files, bundle: Bundle):
    first, second = (only(infer(files[:2], bundle)) for _ in range(2))
    risks: list[Risk] = [first.risks[0], second.risks[0]]
    assert risks[0] == risks[1]
