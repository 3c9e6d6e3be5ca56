"""UIDs of result objects: functions of the source, the model and the kind, so that nothing doubles.

A result that is made again has the UID that it had, and the same bytes: an archive that has it
already loses nothing and gains nothing. What changes a result is in its UID: the source images and
the spacing at which they were read, the model's SHA-256, the declared geometry, of a report also
what its risks and flags rest on besides its own images, the version of this software, which stands
in the result, and :data:`LAYOUT`, which is raised whenever a version under way writes the same
result in another way.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import __version__

LAYOUT = "2"


def result_uid(
    kind: str,
    model_sha256: str,
    sources: Iterable[tuple[str, tuple[float, float]]],
    *,
    geometry: str = "none",
    besides: Iterable[str] = (),
) -> str:
    """The SOP Instance UID of a result.

    Parameters
    ----------
    kind : str
        ``seg``, ``sr`` or ``sc``.
    model_sha256 : str
        The model that drew and judged.
    sources : iterable of (str, (float, float))
        SOP Instance UID of each image, and its row and column spacing in mm; any order.
    geometry : str
        As given to :func:`.objects.write_objects`.
    besides : iterable of str
        What else changes the result, in its order.
    """
    images = [f"{uid} {row:.6g} {column:.6g}" for uid, (row, column) in sources]
    return derived_uid(kind, model_sha256, geometry, *sorted(images), *besides)


def derived_uid(*names: str) -> str:
    """A UID that is always the same for the same names and version."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=["mammoroi results", __version__, LAYOUT, *names]))
