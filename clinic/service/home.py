"""The folder in which a case moves from state to state, each time by one rename.

A case is one folder, named by the keyed hash of its Study Instance UID. Where it lies is its
state::

    home/
      key             32 random bytes (mode 0600) behind all hashes; made at the first start
      lock            held by the service that runs
      parts/          what is still being written; emptied at every start
      incoming/CASE/  images of a study that may not be complete
      ready/CASE/     complete, waits for the worker
      working/CASE/   with the worker; put back into ready/ by the next start after a kill
      outbox/CASE/    has results, waits for the PACS
      done/CASE/      finished
      failed/REASON/CASE/

and inside it are

    =====================  ==================================================================
    ``images/IMAGE.dcm``   the mammograms, named by the keyed hash of their SOP Instance UID
    ``out/``               what the processing wrote; DICOM objects to send in ``out/objects``
    ``out-1/`` ...         what it wrote of images that were not kept until a further one came
    ``tries.json``         how often it failed and was interrupted
    ``record.json``        what became of it: images with the digest of their pixels, failures
    =====================  ==================================================================

A rename either happened or did not, so a kill at any moment leaves each case in one state. Renames
and look-ups take one lock (:attr:`Home.lock`); one process uses a home at a time (``lock``).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
from pathlib import Path
from typing import IO, Any

from ...errors import MammoroiError
from ...files import read_json, sync, write_json
from ..privacy import pseudonym

STATES = ("incoming", "ready", "working", "outbox", "done")
FAILED = "failed"
PARTS = "parts"
_KEY_BYTES = 32


class Home:
    """A service's folder, locked while this object lives.

    Parameters
    ----------
    folder : Path
        Made if it is not there, for its owner alone (mode 0700).

    Raises
    ------
    MammoroiError
        When another service uses it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.lock = threading.RLock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = self._take_lock("lock", "another mammoroi serve uses it")
            for name in (*STATES, FAILED, PARTS):
                (self.folder / name).mkdir(exist_ok=True, mode=0o700)
            for path in (self.folder / PARTS).iterdir():
                path.unlink()
            self._key = self._read_key()
        except OSError as error:
            raise MammoroiError(
                f"{self.folder} cannot be used: {error.strerror}",
                "give the service a folder of its own, on a disk with space, that it may write",
            ) from None

    def _take_lock(self, name: str, otherwise: str) -> IO[bytes]:
        stream = (self.folder / name).open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise MammoroiError(
                f"{self.folder}: {otherwise}", "stop it first, or choose another home"
            ) from None
        return stream

    def _read_key(self) -> bytes:
        path = self.folder / "key"
        if not path.exists():
            part = self.folder / PARTS / "key"
            part.touch(mode=0o600)
            part.write_bytes(secrets.token_bytes(_KEY_BYTES))
            sync(part)
            part.rename(path)
            sync(self.folder)
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise MammoroiError(
                f"{path} is damaged ({len(key)} bytes)",
                "restore it from a backup; without it, repeated images are not recognised",
            )
        return key

    def close(self) -> None:
        """Let another service use the folder."""
        self._held.close()

    def name(self, value: str) -> str:
        """Name of a patient's or a study's value: its keyed hash."""
        return pseudonym(value, self._key)

    def part(self) -> Path:
        """Path for a file that is being written; it becomes visible by a rename."""
        return self.folder / PARTS / secrets.token_hex(8)

    def case(self, state: str, case: str) -> Path:
        """Folder of a case in a state, whether it is there or not."""
        return self.folder / state / case

    def cases(self, state: str) -> list[str]:
        """Cases in a state, those that came first first; what is no folder is none."""
        found = []
        for entry in os.scandir(self.folder / state):
            try:
                if entry.is_dir(follow_symlinks=False):
                    found.append((entry.stat().st_mtime_ns, entry.name))
            except FileNotFoundError:  # moved on since
                continue
        return [name for _, name in sorted(found)]

    def count(self, state: str) -> int:
        """How many cases are in a state."""
        return len(self.cases(state))

    def failed(self) -> dict[str, int]:
        """How many cases or files lie in ``failed/``, by reason."""
        reasons = sorted(path for path in (self.folder / FAILED).iterdir() if path.is_dir())
        return {path.name: sum(1 for _ in path.iterdir()) for path in reasons}

    def move(self, case: str, state: str, to: str) -> Path:
        """Move a case from one state to another; ``to`` may be ``failed/REASON``.

        What lies there under its name already, from an earlier run of the case, is replaced; its
        images join those of this one. Results whose images are not kept any more stay beside those
        of this run, in ``out-1`` and so on: nobody could make them again.
        """
        source, target = self.case(state, case), self.folder / to / case
        with self.lock:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if target.exists():
                images = list((target / "images").glob("*.dcm"))
                for image in images:
                    image.rename(source / "images" / image.name)
                for kept in target.glob("out-*"):
                    kept.rename(source / kept.name)
                if not images and (target / "out").exists():
                    number = 1 + sum(1 for _ in source.glob("out-*"))
                    (target / "out").rename(source / f"out-{number}")
                shutil.rmtree(target)
            source.rename(target)
            sync(target.parent)
            sync(self.folder / state)
        return target

    def images(self, state: str, case: str) -> list[Path]:
        """Mammograms of a case, by name."""
        return sorted((self.case(state, case) / "images").glob("*.dcm"))

    def find(self, case: str, image: str) -> Path | str | None:
        """Where an image that came before is now: its file, the digest of its pixels, or None."""
        with self.lock:
            places = [self.case(state, case) for state in STATES]
            places += [reason / case for reason in (self.folder / FAILED).iterdir()]
            for place in places:
                path = place / "images" / f"{image}.dcm"
                if path.exists():
                    return path
            digest = self.record("done", case).get("images", {}).get(image)
            return None if digest is None else str(digest)

    def record(self, state: str, case: str) -> dict[str, Any]:
        """``record.json`` of a case; empty when there is none."""
        return read_if_there(self.case(state, case) / "record.json")

    def free_gb(self) -> float:
        """Free space on the disk, in GB (1e9 bytes)."""
        return shutil.disk_usage(self.folder).free / 1e9


def read_if_there(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty when the file is not there or damaged."""
    try:
        content = read_json(path)
    except MammoroiError:
        return {}
    return content if isinstance(content, dict) else {}


def write_synced(path: Path, value: Any) -> None:
    """Write JSON so that it survives a power cut."""
    write_json(path, value, to_disk=True)
