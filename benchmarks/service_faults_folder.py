"""Faults in the watched folder: links, odd names and dates, files that are not whole yet."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from service_lab import Fault, Lab, Row, catalogue
from service_parts import wait_for

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


@fault("link to a file, link to a folder, named pipe")
def links(lab: Lab) -> Iterator[Row]:
    outside = lab.folder / "outside"
    outside.mkdir()
    (outside / "a.dcm").write_bytes(lab.file(lab.fresh()))
    watched = lab.service.watched
    before = lab.service.counter("watch_left")
    (watched / "link.dcm").symlink_to(outside / "a.dcm")
    (watched / "folder").symlink_to(outside)
    os.mkfifo(watched / "pipe.dcm")
    wait_for(lambda: lab.service.counter("watch_left") == before + 3, 20, "links are left")
    assert (outside / "a.dcm").exists()
    for name in ("link.dcm", "folder", "pipe.dcm"):
        (watched / name).unlink()
    yield "folder", "left where they are, said once each"


@fault("folders in folders; names with line breaks, umlauts, bytes that are no text")
def odd_names(lab: Lab) -> Iterator[Row]:
    for name in (b"a/b/c/d.dcm", "Müller\n2.dcm".encode(), b"\xff\xfe\x80.dcm", b"no ending"):
        dataset = lab.fresh()
        answer = lab.by_folder(lab.file(dataset), name)
        assert answer == "taken (received)", answer
        lab.accepted.add(str(dataset.SOPInstanceUID))
    assert not (lab.service.watched / "a").exists()
    yield "folder", answer + "; folders that became empty are removed"


@fault("file that is still being written")
def still_written(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    content = lab.file(dataset)
    path = lab.service.watched / "slow.dcm"
    longest, last = 0.0, time.monotonic()
    with path.open("wb") as stream:
        for at in range(0, len(content), len(content) // 12 + 1):
            stream.write(content[at : at + len(content) // 12 + 1])
            stream.flush()
            time.sleep(0.05)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            assert path.exists() or longest > 0.15, "taken before it was whole"
    if longest > 0.15:  # this machine is too busy to write without pauses
        yield from still_written(lab)
        return
    wait_for(lambda: not path.exists(), 20, "taken")
    lab.accepted.add(str(dataset.SOPInstanceUID))
    lab.has_result(dataset.SOPInstanceUID)
    yield "folder", "taken when it had not changed for watch.stable_s"


@fault("name of a file under way (.part), hidden file")
def under_way(lab: Lab) -> Iterator[Row]:
    path = lab.service.watched / "x.dcm.part"
    path.write_bytes(lab.file(lab.fresh()))
    time.sleep(1.0)
    assert path.exists()
    path.unlink()
    yield "folder", "left alone"


@fault("file date of 1970, of 2100")
def dates(lab: Lab) -> Iterator[Row]:
    for when in (0, 4_102_444_800):
        dataset = lab.fresh()
        path = lab.service.watched / ".dated"
        path.write_bytes(lab.file(dataset))
        os.utime(path, (when, when))
        target = path.rename(path.with_name(f"{when}.dcm"))
        wait_for(lambda target=target: not target.exists(), 20, "taken")
        lab.accepted.add(str(dataset.SOPInstanceUID))
    yield "folder", "taken like any other"


@fault("watched folder is away for a while")
def folder_away(lab: Lab) -> Iterator[Row]:
    away = lab.service.watched.rename(lab.service.watched.with_name("away"))
    wait_for(lambda: "watched folder is not there" in lab.service.log.read_text(), 20)
    problems = lab.service.health()["problems"]
    assert "watch-stopped" in problems, problems
    away.rename(lab.service.watched)
    dataset = lab.fresh()
    answer = lab.by_folder(lab.file(dataset))
    assert answer == "taken (received)", answer
    lab.accepted.add(str(dataset.SOPInstanceUID))
    yield "folder", "said once, health says watch-stopped; when it is back: " + answer
