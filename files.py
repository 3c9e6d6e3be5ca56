"""How every stage writes: to a temporary name, then renamed, so that no reader sees half a file.

Tables are written with a fixed format (UTF-8, comma, point, line feed) so that equal results are
equal bytes.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DISK_FULL, Failure, MammoroiError

if TYPE_CHECKING:
    import pandas as pd


def sync(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's entries, also after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic(path: Path, to_disk: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    The temporary name keeps the suffix of ``path``, so that writers that choose a format by
    suffix do the same for it. When the block raises, ``path`` is left as it was.

    Parameters
    ----------
    path : Path
        The file.
    to_disk : bool
        Whether the disk must hold it when the block has ended, also after a power cut: where
        something else is removed because it is there.

    Raises
    ------
    OSError
        When the disk takes no more, whatever the writer raised; it names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_PART)
    try:
        handle, name = tempfile.mkstemp(prefix=_PART, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if to_disk:
            sync(temporary)
        temporary.replace(path)
        if to_disk:
            with suppress(OSError):  # not every file system can do it for a folder
                sync(path.parent)
    except Exception as error:
        code = _disk_error(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


_PART = ".part-"


def _disk_error(error: Exception) -> int | None:
    """Give the number of an error in writing the temporary file, None for any other error.

    NumPy and safetensors say only in words that the disk is full.
    """
    if isinstance(error, MammoroiError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    if number is not None:
        named = isinstance(error, OSError) and error.filename
        return number if not named or Path(str(named)).name.startswith(_PART) else None
    if re.search(r"requested and \d+ written", str(error)):
        return errno.ENOSPC
    return next((code for code in DISK_FULL if os.strerror(code) in str(error)), None)


def check_writable(folder: Path) -> None:
    """See that a folder, which is made where it is missing, takes a file.

    Raises
    ------
    OSError
        When it does not: better before a long computation than after it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.NamedTemporaryFile(prefix=_PART, dir=folder) as stream:
            stream.write(b"0")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


def remove_unfinished(folder: Path) -> None:
    """Remove what :func:`atomic` left in a folder when its process was killed.

    Only for a folder into which nobody else writes.
    """
    for path in folder.glob(f"{_PART}*"):
        path.unlink(missing_ok=True)


INPUTS = "inputs.json"
"""What the results in a folder were made of; see :func:`claim_folder`."""


def claim_folder(out: Path, made_of: Mapping[str, Any], results: Sequence[str]) -> None:
    """Let a folder hold the results of one run alone, so that none of another stays among them.

    What the results are made of is written to ``inputs.json`` before them. When it stands there
    already, the earlier results are removed: the run writes them again.

    Parameters
    ----------
    out : Path
        Folder for the results; made where it is missing.
    made_of : mapping of str to anything
        What must not be mixed, such as the images' and the model's SHA-256, by its name for
        readers.
    results : sequence of str
        Patterns of the files that a run may write, relative to ``out``.

    Raises
    ------
    MammoroiError
        When results are there that were made of something else, or do not say of what.
    """
    present = [file for pattern in results for file in sorted(out.glob(pattern)) if file.is_file()]
    record = out / INPUTS
    if present:
        known = read_json(record) if record.is_file() else None
        wanted = plain(dict(made_of))
        if known != wanted:
            raise MammoroiError(
                f"{out} holds results {_origin(known, wanted)}, such as "
                f"{present[0].relative_to(out).as_posix()}",
                "name another folder with --out, or remove this one if its results are not needed: "
                "a folder holds the results of one run",
            )
    for file in present:
        file.unlink()
    write_json(record, made_of)


def _origin(known: Any, wanted: dict[str, Any]) -> str:
    """Say in which way results are another run's."""
    if not isinstance(known, dict):
        return f"of which no {INPUTS} says what they were made of"
    differing = [name for name in wanted if known.get(name) != wanted[name]]
    return f"of another run (not the same {' and '.join(differing or wanted)})"


def write_text(path: Path, text: str, to_disk: bool = False) -> Path:
    """Write ``text`` as UTF-8 and return ``path``; ``to_disk`` as for :func:`atomic`."""
    with atomic(path, to_disk) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def plain(value: Any) -> Any:
    """Turn data classes, paths, NumPy scalars and arrays into what JSON knows; NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any, to_disk: bool = False) -> Path:
    """Write ``value`` as indented JSON (see :func:`plain`) and return ``path``."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n"
    return write_text(path, text, to_disk)


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote.

    Raises
    ------
    MammoroiError
        When the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MammoroiError(
            f"{path} does not exist", "check the path, or run the stage that writes it"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MammoroiError(f"{path} is not JSON: {error}", "delete it and run again") from None


def write_csv(path: Path, table: pd.DataFrame, to_disk: bool = False) -> Path:
    """Write a table without its index; a missing value is an empty cell. Returns ``path``."""
    with atomic(path, to_disk) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return path


def write_parquet(path: Path, table: pd.DataFrame) -> Path:
    """Write a table without its index and return ``path``."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
    return path


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table that a stage wrote; only an empty cell is missing (``NA`` stays text).

    Numbers come back to the last digit: a risk that is a threshold still is that threshold.

    Raises
    ------
    MammoroiError
        When the file is missing, empty or no table.
    """
    import pandas as pd

    # From 3.1 on pandas always reads so, and warns of the argument.
    asks = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
    precision: dict[str, Any] = {"float_precision": "round_trip"} if asks else {}
    try:
        table: pd.DataFrame = pd.read_csv(
            path, keep_default_na=False, na_values=[""], **precision, **options
        )
        return table
    except FileNotFoundError:
        raise MammoroiError(
            f"{path} does not exist", "check the path, or run the stage that writes it"
        ) from None
    except (UnicodeDecodeError, ValueError) as error:
        raise MammoroiError(f"{path} is not a table: {error}", "save it as CSV in UTF-8") from None


def write_failures(path: Path, failures: Iterable[Failure]) -> Path:
    """Write ``failures.csv`` (columns ``case, stage, error, action``), also when there are none."""
    import pandas as pd

    columns = [field.name for field in dataclasses.fields(Failure)]
    rows = [dataclasses.astuple(failure) for failure in failures]
    return write_csv(path, pd.DataFrame(rows, columns=columns))


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_files(files: Mapping[str, Path]) -> dict[str, str | None]:
    """SHA-256 of each file by its name; None of one that cannot be read."""
    found: dict[str, str | None] = {}
    for name, file in files.items():
        try:
            found[name] = sha256_file(file)
        except OSError:
            found[name] = None
    return found


def sha256_of(*parts: Any) -> str:
    """SHA-256 of any values that :func:`plain` can turn into JSON, as 64 hexadecimal digits."""
    text = json.dumps(plain(parts), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
