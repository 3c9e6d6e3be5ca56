"""Orthanc in, Orthanc out, with the shipped bundle: what a clinic would see."""

import shutil
import subprocess
import sys

import pydicom
import pytest
import requests

from .conftest import parts

COMMAND = "import sys; from mammoroi.cli import main; sys.exit(main(['serve', *sys.argv[1:]]))"


def storescu(port, called, folder):
    """Send a folder as dcmtk does; its exit code."""
    words = ["storescu", "-aet", "SENDER", "-aec", called, "+sd", "127.0.0.1", str(port)]
    return subprocess.run([*words, str(folder)], capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def clinic(needs_orthanc, tmp_path_factory):
    """Three studies of four views, each by another way, and what is in Orthanc afterwards.

    The first comes into Orthanc by ``storescu`` and is forwarded by it, the second comes by
    ``storescu`` at once, the third by the watched folder.
    """
    if shutil.which("storescu") is None:
        pytest.skip("storescu is not installed (apt: dcmtk)")
    folder = tmp_path_factory.mktemp("clinic")
    service = parts.Service(
        folder,
        [sys.executable, "-c", COMMAND],
        cases={"settle_s": 1.0, "timeout_s": 1200.0},
    )
    orthanc = parts.Orthanc(folder / "orthanc", {"MAMMOROI": service.port}).start()
    service.settings["destination"]["url"] = f"{orthanc.url}/dicom-web"
    service.start()
    studies = {name: parts.phantom_study(name, 1.0) for name in ("FIRST", "SECOND", "THIRD")}
    for name, views in studies.items():
        (folder / name).mkdir()
        for number, view in enumerate(views):
            view.save_as(folder / name / f"{number}.dcm")
    try:
        for name in studies:
            assert storescu(orthanc.dicom, "ORTHANC", folder / name) == 0
        for study in requests.get(f"{orthanc.url}/studies?expand", timeout=30).json():
            if study["PatientMainDicomTags"]["PatientID"] == "MRN-FIRST-94170":
                forward = f"{orthanc.url}/modalities/MAMMOROI/store"
                assert requests.post(forward, json=study["ID"], timeout=60).ok
        assert storescu(service.port, "MAMMOROI", folder / "SECOND") == 0
        shutil.copytree(folder / "THIRD", service.watched / "THIRD")
        parts.wait_for(lambda: service.counter("sent") == 3, 240, "three studies are sent")
        yield service, orthanc, studies
    finally:
        service.stop()
        orthanc.stop()


def stored(orthanc, study):
    """Everything that Orthanc has of a study, but the mammograms."""
    uid = str(study[0].StudyInstanceUID)
    instances = requests.post(
        f"{orthanc.url}/tools/find",
        json={"Level": "Instance", "Query": {"StudyInstanceUID": uid}},
        timeout=30,
    ).json()
    for instance in instances:
        content = requests.get(f"{orthanc.url}/instances/{instance}/file", timeout=30).content
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        if dataset.Modality != "MG":
            yield dataset


@pytest.mark.parametrize("name", ["FIRST", "SECOND", "THIRD"])
def test_results_lie_beside_the_mammograms(clinic, name):
    _, orthanc, studies = clinic
    results = list(stored(orthanc, studies[name]))
    kinds = sorted(result.Modality for result in results)
    assert kinds.count("SR") == 1
    assert 1 <= kinds.count("SEG") <= 4
    assert len(kinds) == 1 + kinds.count("SEG")
    for result in results:
        assert result.PatientID == studies[name][0].PatientID
        assert result.StudyInstanceUID == studies[name][0].StudyInstanceUID
    report = next(result for result in results if result.Modality == "SR")
    assert report.VerificationFlag == "UNVERIFIED"
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in report.get("CurrentRequestedProcedureEvidenceSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {str(view.SOPInstanceUID) for view in studies[name]} <= {str(uid) for uid in evidence}


def test_results_are_valid(clinic, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (apt: dicom3tools)")
    _, orthanc, studies = clinic
    for number, result in enumerate(stored(orthanc, studies["SECOND"])):
        path = tmp_path / f"{number}.dcm"
        result.save_as(path)
        done = subprocess.run(
            ["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False
        )
        assert "Error" not in done.stderr, done.stderr


def test_sending_a_study_again_changes_nothing(clinic):
    service, orthanc, studies = clinic
    before = orthanc.instances()
    assert parts.send(service.port, studies["FIRST"]) == [0] * 4
    assert service.counter("repeated") == 4
    assert service.idle()
    assert orthanc.instances() == before


def test_the_log_names_nobody(clinic):
    service, _, studies = clinic
    log = service.log.read_text().lower()
    words = {word.lower() for word in parts.IDENTITY.values()} | {"quenstedt", "wilhelmine"}
    words |= {str(view.SOPInstanceUID) for views in studies.values() for view in views}
    words |= {str(views[0].StudyInstanceUID) for views in studies.values()}
    words |= {str(views[0].PatientID).lower() for views in studies.values()}
    words.add(str(service.watched).lower())
    assert [word for word in words if word in log] == []
    assert service.health()["model"].lower() in log
