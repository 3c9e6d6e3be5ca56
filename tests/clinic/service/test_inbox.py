"""The way in and the states of a case, without a network and by a clock of our own."""

import errno
import os
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from mammoroi.clinic.service.admission import REFUSALS, Image, examine, pixel_digest
from mammoroi.clinic.service.config import CasesConfig, ServeConfig, WatchConfig
from mammoroi.clinic.service.home import Home
from mammoroi.clinic.service.inbox import Inbox
from mammoroi.clinic.service.log import Counters
from mammoroi.clinic.service.watch import Watch
from mammoroi.clinic.service.worker import Worker
from mammoroi.errors import MammoroiError

from .conftest import parts, service_lab


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Bench:
    """A home and an inbox whose clock is set by hand."""

    def __init__(self, folder):
        self.config = ServeConfig(
            home=folder / "home",
            cases=CasesConfig(settle_s=30.0, min_free_gb=0.0, keep_hours=1.0),
            watch=WatchConfig(folder=folder / "watched", stable_s=5.0),
        )
        self.clock, self.counters = Clock(), Counters()
        self.home = Home(self.config.home)
        self.inbox = Inbox(self.home, self.config, self.counters, self.clock)

    def put(self, dataset):
        return self.put_bytes(service_lab.Lab.file(None, dataset))

    def put_bytes(self, content):
        return self.inbox.receive(lambda stream: stream.write(content), len(content))


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "watched").mkdir()
    return Bench(tmp_path)


def test_a_study_is_complete_when_nothing_came_for_the_settle_time(bench):
    first, second = parts.study("A")[:2]
    case = bench.put(first).case
    bench.clock.now += 29
    assert bench.inbox.settle() == []
    assert bench.put(second).case == case
    bench.clock.now += 29
    assert bench.inbox.settle() == []
    bench.clock.now += 1
    assert bench.inbox.settle() == [case]
    assert len(bench.home.images("ready", case)) == 2


def test_a_file_that_lies_among_the_cases_holds_nobody_up(bench):
    """Somebody looked for a study there and left a note; the cases around it go on."""
    case = bench.put(parts.study("A")[0]).case
    for state in ("incoming", "ready", "outbox", "done"):
        (bench.home.folder / state / "note.txt").touch()
    bench.clock.now += 31
    assert bench.inbox.settle() == [case]
    assert bench.home.cases("ready") == [case]
    assert bench.home.count("ready") == 1
    assert (bench.home.folder / "incoming" / "note.txt").exists()


def test_images_that_come_while_the_study_is_processed_wait(bench):
    first, second = parts.study("A")[:2]
    case = bench.put(first).case
    bench.clock.now += 30
    bench.inbox.settle()
    bench.home.move(case, "ready", "working")
    bench.put(second)
    bench.clock.now += 60
    assert bench.inbox.settle() == []
    bench.home.move(case, "working", "done")
    assert bench.inbox.settle() == [case]


@pytest.mark.parametrize("jump_s", [-3e7, -3600, 3600, 3e7])
def test_the_time_of_day_may_jump(bench, monkeypatch, jump_s):
    """Nothing that is decided depends on it: neither settling nor the watched folder."""
    case = bench.put(parts.mammogram("A")).case
    path = bench.config.watch.folder / "a.dcm"
    path.write_bytes(service_lab.Lab.file(None, parts.mammogram("B")))
    watch = Watch(bench.config.watch, bench.home, bench.inbox, bench.counters, bench.clock)
    stopping = threading.Event()
    watch.step(stopping)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + jump_s)
    os.utime(path, (real + jump_s, real + jump_s))
    watch.step(stopping)
    bench.clock.now += 4.9
    watch.step(stopping)
    assert path.exists()
    bench.clock.now += 0.2
    watch.step(stopping)
    assert not path.exists()
    bench.clock.now += 24.9
    assert bench.inbox.settle() == [case]


def test_a_file_that_became_a_link_is_not_followed(bench, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(service_lab.Lab.file(None, parts.mammogram("A")))
    watch = Watch(bench.config.watch, bench.home, bench.inbox, bench.counters, bench.clock)
    path = bench.config.watch.folder / "a.dcm"
    path.symlink_to(secret)
    seen = type("Seen", (), {"identity": (0, 0, 10, 0), "not_before": 0.0})()
    watch._take(path, seen)
    assert secret.exists()
    assert bench.counters.read() == {"watch_left": 1}


def test_a_link_is_said_once_for_as_long_as_it_is_there(bench, tmp_path):
    watch = Watch(bench.config.watch, bench.home, bench.inbox, bench.counters, bench.clock)
    link = bench.config.watch.folder / "a.dcm"
    link.symlink_to(tmp_path)
    stopping = threading.Event()
    for _ in range(3):
        watch.step(stopping)
    assert bench.counters.read() == {"watch_left": 1}
    link.unlink()
    watch.step(stopping)
    link.symlink_to(tmp_path)
    watch.step(stopping)
    assert bench.counters.read() == {"watch_left": 2}


def test_what_lies_on_every_disc_and_in_every_folder_is_left_alone(bench):
    """It would be a failed case, and the health would not be well for it."""
    for name in ("DICOMDIR", "Thumbs.db", "desktop.ini"):
        (bench.config.watch.folder / name).write_bytes(b"x" * 200)
    watch = Watch(bench.config.watch, bench.home, bench.inbox, bench.counters, bench.clock)
    for _ in range(3):
        watch.step(threading.Event())
        bench.clock.now += 10
    assert len(list(bench.config.watch.folder.iterdir())) == 3
    assert (bench.home.failed(), bench.counters.read()) == ({}, {})


def test_a_folder_that_cannot_be_read_is_said_once(bench, monkeypatch, caplog):
    (bench.config.watch.folder / "closed").mkdir()
    closed, scandir = {"closed"}, os.scandir

    def guarded(path):
        if Path(path).name in closed:
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    watch = Watch(bench.config.watch, bench.home, bench.inbox, bench.counters, bench.clock)
    for _ in range(3):
        watch.step(threading.Event())
    assert bench.counters.read() == {"watch_left": 1}
    assert watch.is_well
    closed.add("watched")
    watch.step(threading.Event())
    assert not watch.is_well
    closed.clear()
    watch.step(threading.Event())
    assert watch.is_well
    bench.config.watch.folder.rename(bench.config.watch.folder.with_name("away"))
    watch.step(threading.Event())
    assert not watch.is_well
    assert bench.counters.read() == {"watch_left": 2}
    assert "is a folder that cannot be read" in caplog.text
    assert "closed" not in caplog.text


def test_a_repeated_image_is_known_for_as_long_as_its_note_is_kept(bench):
    dataset = parts.mammogram("A")
    receipt = bench.put(dataset)
    bench.clock.now += 30
    bench.inbox.settle()
    bench.home.move(receipt.case, "ready", "working")
    folder = bench.home.case("working", receipt.case)
    image = folder / "images" / f"{receipt.image}.dcm"
    digest = pixel_digest(image, examine(image, 1e9))
    (folder / "record.json").write_text(f'{{"images": {{"{receipt.image}": "{digest}"}}}}')
    bench.home.move(receipt.case, "working", "done")
    image = bench.home.images("done", receipt.case)[0]
    image.unlink()
    assert bench.put(dataset).repeated
    dataset.PixelData = bytes(reversed(dataset.PixelData))
    assert bench.put(dataset).refusal.reason == "conflict"


def test_what_was_kept_is_removed_in_time_and_its_note_stays(bench):
    case = bench.put(parts.mammogram("A")).case
    bench.home.move(case, "incoming", "done")
    folder = bench.home.case("done", case)
    (folder / "record.json").write_text("{}")
    for age, there in ((3000, True), (4000, False)):
        os.utime(folder, (time.time() - age, time.time() - age))
        worker = Worker(
            *(bench.home, bench.inbox, None, bench.config.cases, bench.counters),
            keep_results=False,
        )
        worker._sweep()
        assert (folder / "images").exists() is there
    assert (folder / "record.json").exists()


def test_results_that_nobody_could_make_again_are_kept(bench):
    """Without a PACS they are the only ones; a view that comes days later has its own."""
    for number in range(3):
        folder = bench.home.case("outbox", "case")
        (folder / "images").mkdir(parents=True)
        (folder / "images" / f"{number}.dcm").touch()
        (folder / "out").mkdir()
        (folder / "out" / "risks.csv").write_text(str(number))
        done = bench.home.move("case", "outbox", "done")
        found = {path.parent.name: path.read_text() for path in done.glob("out*/risks.csv")}
        before = {f"out-{n + 1}": str(n) for n in range(number)}
        assert found == {"out": str(number)} | before
        (done / "images" / f"{number}.dcm").unlink()  # as after cases.keep_hours


@pytest.mark.parametrize("links", [True, False])
def test_a_late_view_joins_the_earlier_ones_also_where_there_are_no_links(
    bench, monkeypatch, links
):
    def no_link(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(source))

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    first, second = parts.study("A")[:2]
    case = bench.put(first).case
    bench.home.move(case, "incoming", "done")
    bench.put(second)
    bench.home.move(case, "incoming", "working")
    worker = Worker(
        *(bench.home, bench.inbox, None, bench.config.cases, bench.counters), keep_results=False
    )
    worker._add_earlier(case)
    kept, joined = bench.home.images("done", case), bench.home.images("working", case)
    assert len(joined) == 2
    assert kept[0].read_bytes() in [image.read_bytes() for image in joined]
    assert not list((bench.home.folder / "parts").iterdir())


def test_little_space_ends_the_keeping_at_once(bench):
    case = bench.put(parts.mammogram("A")).case
    bench.home.move(case, "incoming", "done")
    scarce = replace(bench.config.cases, min_free_gb=1e6)
    Worker(*(bench.home, bench.inbox, None, scarce, bench.counters), keep_results=False)._sweep()
    assert not bench.home.images("done", case)


def test_images_of_two_failed_runs_are_both_kept(bench):
    first, second = parts.study("A")[:2]
    case = bench.put(first).case
    bench.home.move(case, "incoming", "failed/unusable")
    bench.put(second)
    bench.home.move(case, "incoming", "failed/unusable")
    assert len(list((bench.home.folder / "failed/unusable" / case / "images").iterdir())) == 2


def test_a_failed_image_may_be_sent_again(bench):
    dataset = parts.mammogram("A")
    case = bench.put(dataset).case
    bench.home.move(case, "incoming", "failed/crash")
    receipt = bench.put(dataset)
    assert receipt.refusal is None
    assert not receipt.repeated
    assert bench.home.failed() == {"crash": 0}
    assert len(bench.home.images("incoming", case)) == 1


def test_a_failed_image_may_be_sent_again_with_other_pixels(bench):
    """Those that it had were damaged; of an image that has results they are a conflict."""
    dataset = parts.mammogram("A")
    receipt = bench.put(dataset)
    bench.home.move(receipt.case, "incoming", "failed/images")
    sound = bytes(reversed(dataset.PixelData))
    dataset.PixelData = sound
    assert bench.put(dataset).refusal is None
    assert bench.home.failed() == {"images": 0}
    (image,) = bench.home.images("incoming", receipt.case)
    assert pydicom.dcmread(image).PixelData == sound


def test_any_damage_to_a_file_ends_in_a_reason(bench):
    """Random bytes changed, ends cut off: taken, or refused for a known reason."""
    sound = service_lab.Lab.file(None, parts.mammogram("A"))
    generator = random.Random(5)
    refused = 0
    for _ in range(100):
        content = bytearray(sound)
        for _ in range(generator.choice([1, 1, 3, 30])):
            at = generator.randrange(132, min(len(content), 2000))
            content[at] = generator.randrange(256)
        if generator.random() < 0.2:
            content = content[: generator.randrange(len(content))]
        receipt = bench.put_bytes(bytes(content))
        assert receipt.refusal is None or receipt.refusal.reason in REFUSALS
        refused += receipt.refusal is not None
    assert 10 < refused < 100
    assert not list((bench.home.folder / "parts").iterdir())


@pytest.mark.parametrize("coding", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80"])
def test_compressed_mammograms_are_taken_and_told_apart(tmp_path, coding):
    path = tmp_path / "a.dcm"
    dataset = parts.mammogram("A")
    dataset.compress(coding, generate_instance_uid=False)
    path.write_bytes(service_lab.Lab.file(None, dataset))
    found = examine(path, 1e9)
    assert isinstance(found, Image)
    assert found.coding == coding
    digest = pixel_digest(path, found)
    assert digest.startswith(f"{coding}:")
    path.write_bytes(path.read_bytes()[:-100])
    assert examine(path, 1e9).reason == "truncated"


def test_key_and_folder_are_the_owners_alone(bench):
    assert (bench.home.folder / "key").stat().st_mode & 0o777 == 0o600
    assert bench.home.folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(MammoroiError, match="another mammoroi serve uses it"):
        Home(bench.home.folder)
    name = bench.home.name("1.2.3")
    bench.home.close()
    again = Home(bench.home.folder)
    assert again.name("1.2.3") == name
