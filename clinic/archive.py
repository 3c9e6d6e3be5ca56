"""The file of a bundle: a zip archive that is checked, member by member, before anything is read.

Members are stored, not compressed, in the order of their names, with a fixed date, so that equal
contents give equal bytes. ``manifest.json`` holds ``format, version, made_by`` and ``members``: of
every other member its ``sha256`` and ``bytes``. What a bundle may hold is a short list of names
(:data:`MEMBERS`); an archive with any other name, a link, a folder, or a member that is encrypted
or compressed is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import MammoroiError
from ..files import plain
from ..modeling.config import TARGET_NAME

FORMAT = "mammoroi-bundle"
VERSION = 1
MANIFEST = "manifest.json"
MEMBERS = re.compile(
    r"manifest\.json|bundle\.json|card\.md|preset\.yaml|ranges\.json"
    r"|(outline/)?fold-[0-9]{1,3}/model\.(json|safetensors)|outline/outline\.json"
    rf"|classifiers/{TARGET_NAME}/model\.(json|skops)"
)
"""Full names of what a bundle may hold."""
MOST_MEMBERS = 400
MOST_BYTES = 1 << 30
"""Of one member."""
MOST_BYTES_IN_ALL = 4 << 30
_DATE = (1980, 1, 1, 0, 0, 0)
_AGAIN = "get the bundle again from its source, or make it again with `mammoroi bundle`"


def pack(members: Mapping[str, bytes]) -> bytes:
    """Give the archive of some members; the manifest is added.

    Parameters
    ----------
    members : Mapping
        Contents by name, without ``manifest.json``.
    """
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"mammoroi {__version__}",
        "members": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in sorted(members.items())
        },
    }
    return packed_again({MANIFEST: as_json(manifest), **members})


def packed_again(members: Mapping[str, bytes]) -> bytes:
    """Give the archive of members that hold their manifest already."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members, key=lambda name: (name != MANIFEST, name)):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # Unix, wherever it is made
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, members[name])
    return stream.getvalue()


def unpack(path: Path) -> dict[str, bytes]:
    """Read an archive into memory, every name, size and hash checked.

    Raises
    ------
    MammoroiError
        When it is no archive, was cut short or changed, is of another format, or holds anything
        that a bundle does not hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if infos and min(info.header_offset for info in infos) > 0:
                # The end of a file that was cut may be that of a classifier, a zip archive too.
                raise zipfile.BadZipFile("its end is that of another archive")
            _check_directory(path, infos)
            members = {info.filename: archive.read(info) for info in infos}
    except FileNotFoundError:
        raise MammoroiError(f"{path} does not exist", "check the path of the bundle") from None
    except (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise MammoroiError(
            f"{path} is no bundle, or was cut short or changed: {error}", _AGAIN
        ) from None
    check_members(path, members)
    return members


def read_folder(folder: Path) -> dict[str, bytes]:
    """Read an unpacked bundle; files beside its members are left alone.

    Raises
    ------
    MammoroiError
        As :func:`unpack`, and when a member is missing.
    """
    manifest = folder / MANIFEST
    members = {MANIFEST: manifest.read_bytes()}
    for name in _listed(folder, members[MANIFEST]):
        if not MEMBERS.fullmatch(name):
            raise _foreign(folder, name)
        if not (folder / name).is_file():
            raise MammoroiError(f"{folder} lacks {name}, which its manifest lists", _AGAIN)
        members[name] = (folder / name).read_bytes()
    check_members(folder, members)
    return members


def check_members(path: Path, members: Mapping[str, bytes]) -> None:
    """Refuse members that are not those of the manifest, byte for byte."""
    if MANIFEST not in members:
        raise MammoroiError(
            f"{path} holds no {MANIFEST}, so it is no bundle",
            "name a file that `mammoroi bundle` wrote",
        )
    listed = _listed(path, members[MANIFEST])
    for name in sorted(set(listed) ^ (set(members) - {MANIFEST})):
        what = "lacks" if name in listed else "holds besides what its manifest lists"
        raise MammoroiError(f"{path} {what} {name}", _AGAIN)
    for name, entry in listed.items():
        if hashlib.sha256(members[name]).hexdigest() != entry["sha256"]:
            raise MammoroiError(
                f"{path}: {name} was changed: its SHA-256 is not that of the manifest", _AGAIN
            )


def _listed(path: Path, manifest: bytes) -> dict[str, Any]:
    """The members that a manifest lists."""
    try:
        content = json.loads(manifest)
        form, version = content["format"], content["version"]
        members: dict[str, Any] = content["members"]
        digests = [entry["sha256"] for entry in members.values()]
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, ValueError):
        raise MammoroiError(f"{path}: {MANIFEST} is not that of a bundle", _AGAIN) from None
    if form != FORMAT or not all(isinstance(digest, str) for digest in digests):
        raise MammoroiError(f"{path}: {MANIFEST} is not that of a bundle", _AGAIN)
    if version != VERSION:
        raise MammoroiError(
            f"{path} is a bundle of format {version}, and this mammoroi ({__version__}) reads "
            f"format {VERSION}",
            "make it again from its study with `mammoroi bundle`, or use the mammoroi that made "
            f"it: {content.get('made_by', 'not said')}",
        )
    return members


def _check_directory(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive by its list of members, before any of them is read."""
    if len(infos) > MOST_MEMBERS:
        raise MammoroiError(f"{path} holds {len(infos)} members, a bundle few", _AGAIN)
    seen: set[str] = set()
    for info in infos:
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not MEMBERS.fullmatch(name) or kind not in (0, stat.S_IFREG):
            raise _foreign(path, name)
        if name in seen:
            raise MammoroiError(f"{path} holds {name} twice", _AGAIN)
        seen.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise MammoroiError(
                f"{path}: {name} is compressed or encrypted, which a bundle's members are not",
                _AGAIN,
            )
        if info.file_size > MOST_BYTES:
            raise MammoroiError(f"{path}: {name} claims {info.file_size} bytes", _AGAIN)
    total = sum(info.file_size for info in infos)
    if total > MOST_BYTES_IN_ALL:
        raise MammoroiError(f"{path} claims {total} bytes", _AGAIN)


def _foreign(path: Path, name: str) -> MammoroiError:
    return MammoroiError(
        f"{path} holds {name!r}, which no bundle of mammoroi does",
        "do not use this file; get the bundle again from its source",
    )


def as_json(value: Any) -> bytes:
    """JSON of a member, as :func:`..files.write_json` writes it."""
    return (json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n").encode()
