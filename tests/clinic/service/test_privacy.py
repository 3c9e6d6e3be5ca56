"""Nothing that the service says or names can tell who was examined."""

import stat

import pytest

from .conftest import parts, service_lab


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A service through which went whatever makes it or a library speak."""
    folder = tmp_path_factory.mktemp("privacy")
    service = parts.Service(
        folder,
        cases={"settle_s": 0.2, "timeout_s": 5.0, "attempts": 1},
        destination={"url": f"http://127.0.0.1:{parts.free_port()}/dicom-web"},
    ).start()
    words = ("warn", "error", "crash", "fail", "nothing")
    sent = [parts.mammogram(f"P{n}", ImageComments=f"do:{w}") for n, w in enumerate(words)]
    bad = [
        parts.mammogram("B1", Modality="CT"),
        parts.mammogram("B2", Rows=None),
        parts.mammogram("B3", NumberOfFrames=2),
        parts.mammogram("B4", StudyInstanceUID=None),
    ]
    odd = parts.mammogram("O1")
    odd.add_new("PatientBirthDate", "LO", parts.IDENTITY["PatientName"])
    odd["PatientBirthDate"].VR = "DA"
    parts.send(service.port, [*sent, *bad, odd])
    other = parts.mammogram("P0", ImageComments="")
    other.PixelData = bytes(reversed(other.PixelData))
    parts.send(service.port, [other])
    for number, dataset in enumerate(bad):
        name = f"{parts.IDENTITY['PatientName']} {parts.IDENTITY['PatientID']} {number}.dcm"
        (service.watched / name).write_bytes(service_lab.Lab.file(None, dataset))
    (service.watched / f"{parts.IDENTITY['PatientID']}.link").symlink_to("/etc/passwd")
    failed = {"error": 1, "crash": 1, "unusable": 1, "no-result": 1}
    parts.wait_for(lambda: failed.items() <= service.health()["failed"].items(), 100, "failures")
    parts.wait_for(lambda: service.counter("send_failures") >= 2, 60, "retries")
    parts.wait_for(lambda: service.counter("watched") == 4, 60, "the folder")
    health = service.health()
    service.stop()
    everything = [*sent, *bad, odd, other]
    return service, health, everything


def identifying(datasets):
    """Every value of the input that could tell who it is, and their parts."""
    values = set()
    for word in parts.IDENTITY.values():
        values |= {word, *word.replace("^", " ").split()}
    for dataset in datasets:
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
            values.add(str(dataset.get(keyword, "1.2.840.99999.1")))
    return {value.lower() for value in values if len(value) > 3} - {"screening"}


def test_log_and_health_hold_no_identifying_value(busy):
    service, health, datasets = busy
    log = service.log.read_text().lower()
    values = identifying(datasets)
    assert len(values) > 30
    assert log.count("\n") > 30
    assert [value for value in values if value in log] == []
    told = (str(health) + (service.home / "health.json").read_text()).lower()
    assert [value for value in values if value in told] == []


def test_names_of_files_hold_no_identifying_value(busy):
    service, _, datasets = busy
    names = "\n".join(str(path.relative_to(service.home)) for path in service.home.rglob("*"))
    assert [value for value in identifying(datasets) if value in names.lower()] == []


def test_what_libraries_print_lies_beside_the_images_for_the_owner_alone(busy):
    service, _, _ = busy
    logs = [log.read_text() for log in service.home.glob("outbox/*/out/process.log")]
    assert any(parts.IDENTITY["PatientID"] in log for log in logs)
    for path in service.home.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_the_log_says_what_happened(busy):
    service, _, _ = busy
    log = service.log.read_text()
    for words in (
        "refused (wrong-modality), its modality is not MG",
        "refused (conflict)",
        "failed (error), the processing raised an error; see failed/error",
        "failed (crash)",
        "PACS: away (ConnectionError), next try in",
        "is a link or no plain file, left alone",
        "service: stopped",
    ):
        assert words in log
