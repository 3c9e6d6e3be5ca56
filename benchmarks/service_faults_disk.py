"""Faults of the disk: little space, none, read-only, no permission."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service_lab import Fault, Lab, Row, catalogue, with_service
from service_parts import send, wait_for

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


@fault("less free space than cases.min_free_gb")
def quota(lab: Lab) -> Iterator[Row]:
    other = with_service(lab, "quota", cases={"settle_s": 0.3, "min_free_gb": 1e9}).start()
    dataset = lab.fresh()
    path = other.watched / "a.dcm"
    path.write_bytes(lab.file(dataset))
    answer = send(other.port, [dataset])
    assert answer == [0xA700], answer
    wait_for(lambda: other.counter("refused.no-space") >= 2, 20, "the folder was looked at")
    problems = other.health()["problems"]
    other.stop()
    assert path.exists()
    yield "listener", f"status {answer[0]:04X} (no-space), health says {problems}"
    yield "folder", "left where it is"


@fault("disk is full (tmpfs of 1 MB)")
def disk_full(lab: Lab) -> Iterator[Row]:
    disk = lab.folder / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if done.returncode:
        yield "listener", "NOT TRIED: only root can mount a small disk"
        return
    try:
        other = with_service(
            lab, "small", home=str(disk / "home"), destination={}, cases={"settle_s": 0.3}
        )
        other.home = disk / "home"
        other.start()
        datasets = [lab.fresh(shape=(300, 300)) for _ in range(8)]
        answers = send(other.port, datasets)
        assert answers[0] == 0, answers
        assert answers[-1] == 0xA700, answers
        kept = {path.name for path in other.home.rglob("images/*.dcm")}
        assert len(kept) == answers.count(0), (kept, answers)
        assert not list((other.home / "parts").iterdir())
        alive = other.health()["state"]
        other.stop()
    finally:
        subprocess.run(["umount", disk], check=True)
    yield (
        "listener",
        f"{answers.count(0)} images taken, {answers.count(0xA700)} x status A700; all that were "
        f"confirmed are whole; no half file; {alive}",
    )


@fault("home is read-only")
def read_only(lab: Lab) -> Iterator[Row]:
    other = with_service(lab, "read-only", destination={})
    disk = lab.folder / "read-only-disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", disk], check=False)
    if done.returncode:
        yield "service", "NOT TRIED: only root can mount"
        return
    other.settings["home"] = str(disk / "home")
    other.home = disk / "home"
    try:
        other.start()
        other.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code = other.start(wait=False).process.wait(600)  # type: ignore[union-attr]
        said = other.log.read_text().splitlines()[-1]
    finally:
        subprocess.run(["umount", disk], check=True)
    assert code == 1, code
    assert "cannot be used" in said, said
    yield "service", f"refused, exit code {code}, said why"


@fault("file without permission to read; folder without permission to remove")
def permission(lab: Lab) -> Iterator[Row]:
    if os.getuid() != 0:
        yield "folder", "NOT TRIED: only root can start a service as another user"
        return
    try:
        subprocess.run([sys.executable, "-c", ""], user=65534, check=True)
    except (PermissionError, subprocess.CalledProcessError):
        yield "folder", "NOT TRIED: another user may not run this Python"
        return
    folder = Path(tempfile.mkdtemp(prefix="permission-"))
    folder.chmod(0o755)
    other = with_service(lab, "permission")
    other.settings |= {"home": str(folder / "home")}
    other.home, other.watched = folder / "home", folder / "watched"
    other.settings["watch"] |= {"folder": str(other.watched)}
    other.home.mkdir()
    other.watched.mkdir()
    os.chown(other.home, 65534, 65534)
    dataset, locked = lab.fresh(), lab.fresh()
    (other.watched / "locked.dcm").write_bytes(lab.file(locked))
    (other.watched / "locked.dcm").chmod(0o600)
    (other.watched / "open.dcm").write_bytes(lab.file(dataset))
    (other.watched / "open.dcm").chmod(0o644)
    for parent in (lab.folder, other.folder):
        parent.chmod(0o755)
    try:
        other.start(user=65534, group=65534, extra_groups=[])
        wait_for(lambda: other.counter("watch_left") >= 2, 30, "both are said")
        lab.has_result(dataset.SOPInstanceUID)
        lab.accepted.add(str(dataset.SOPInstanceUID))
        os.chown(other.watched, 65534, 65534)
        (other.watched / "locked.dcm").chmod(0o644)
        os.utime(other.watched / "locked.dcm")
        lab.has_result(locked.SOPInstanceUID)
        lab.accepted.add(str(locked.SOPInstanceUID))
        other.wait_idle()
        assert other.counter("sent") == 2, other.health()
        other.stop()
    finally:
        shutil.rmtree(folder)
    yield "folder", "said once; the one that cannot be removed is processed once; tried again later"
