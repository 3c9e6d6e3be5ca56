"""What went wrong, for whom, and what to do about it.

Two shapes of trouble exist. A :class:`MammoroiError` stops the command that raised it: a
configuration that cannot be meant, a folder that is not there. A :class:`Failure` is one case
that could not be processed: it is recorded in a table, the other cases go on, and the command
ends with :data:`EXIT_CASES_FAILED` instead of 0.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

EXIT_OK = 0
EXIT_BAD_INPUT = 1
EXIT_CASES_FAILED = 3

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


class MammoroiError(Exception):
    """Something that the user can mend.

    Parameters
    ----------
    found : str
        What was found, naming the file, row or case.
    action : str
        What to do about it, as an instruction.
    """

    def __init__(self, found: str, action: str) -> None:
        super().__init__(f"{found} -> {action}")
        self.found = found
        self.action = action

    def __reduce__(self) -> tuple[type[MammoroiError], tuple[str, str]]:
        """Survive the way back from a worker process."""
        return type(self), (self.found, self.action)


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk took no more, which is no case's fault and would be every further one's."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


def of_the_disk(error: OSError) -> MammoroiError | None:
    """Say what a disk did not take or give, and what to do; None for an error of another kind."""
    place = error.filename or "a file"
    if error.errno in DISK_FULL:
        return MammoroiError(
            f"{place} could not be written: {error.strerror}",
            "free space on its disk, then run the same command again",
        )
    if error.errno in _REFUSED:
        return MammoroiError(
            f"{place} cannot be read or written: {error.strerror}",
            "see to its permissions, or name another place, then run the same command again",
        )
    return None


@dataclass(frozen=True)
class Failure:
    """One case that a stage could not process; a row of ``failures.csv``.

    Attributes
    ----------
    case : str
        ``image_id`` or ``patient_id``.
    stage : str
        The stage and, where it matters, the source of the mask: ``"radiomics/manual"``.
    error : str
        What was found.
    action : str
        What to do.
    """

    case: str
    stage: str
    error: str
    action: str

    @classmethod
    def of(cls, case: str, stage: str, error: BaseException) -> Failure:
        """Describe an exception that was caught at the boundary of one case."""
        if isinstance(error, OSError):
            error = of_the_disk(error) or error
        if isinstance(error, MammoroiError):
            return cls(case, stage, error.found, error.action)
        return cls(
            case,
            stage,
            f"{type(error).__name__}: {error}",
            "run this case alone; if the data are sound, report it as a fault of mammoroi",
        )
