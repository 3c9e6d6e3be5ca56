"""The whole way: stage after stage, each skipped when nothing that it depends on has changed.

A stage is ``stage(config, study_folder) -> Path``: it reads the files of the stages before it and
writes its own. What was done stands in ``stages.json``: for each stage a key (SHA-256 of its
settings, of mammoroi's version and of the files that it read), the SHA-256 of what it wrote, and
of what the stages that it needs had written when it ran: a stage that is asked for by its name
refuses to go on from one that has not read what is there now.
A stage is skipped when both still hold and no case had failed. The report costs little and rests
on code that changes without a change of settings: asked for by its own name, it is always made.
``run.json`` tells how the last
run went: versions, settings, seeds, seconds, peak memory, and cases (in = used + excluded +
failed) of every stage; a run of one stage keeps what stands there of the stages before it.
"""

from __future__ import annotations

import importlib
import logging
import platform
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from . import __version__
from .cohort.places import refuse_shared_folder
from .cohort.synthetic_config import SyntheticConfig
from .errors import Failure, MammoroiError
from .files import plain, read_csv, read_json, sha256_file, sha256_of, write_json
from .resources import measured
from .set_aside import bring_back, forget, set_aside
from .spreadsheet import read_spreadsheet
from .stages import STAGES, Stage, StudyConfig

logger = logging.getLogger(__name__)


def run_study(config: StudyConfig, only: str | None = None) -> int:
    """Run all stages of a study, or one of them, and return how many cases fell out.

    Parameters
    ----------
    config : StudyConfig
        The settings; saved as ``config.json`` in the study folder.
    only : str, optional
        The name of one stage. The stages that it needs must have run.

    Returns
    -------
    int
        Cases that were excluded or failed, over all stages that ran or were skipped.

    Raises
    ------
    MammoroiError
        When a stage refuses its input as a whole, a stage that ``only`` needs has not run, or the
        settings do not ask for ``only``.
    """
    _refuse_unasked(only, config)
    # Worker processes may have been started elsewhere: a relative path is not theirs.
    out = config.out.resolve()
    if only in (None, "accept"):
        refuse_shared_folder(config.cohort.folder, out)
    out.mkdir(parents=True, exist_ok=True)
    if config.synthetic is not None and only in (None, "accept"):
        _synthesize(config.synthetic, config.cohort.folder.resolve())
    done: dict[str, Any] = _read_or_empty(out / "stages.json")
    for stage in STAGES:
        if stage.asked(config):
            _bring_back(stage, out, done)
        else:
            _withdraw(stage, out, done)
    settings = plain(config) if only is None else _as_run(config, only, done)
    write_json(out / "config.json", settings)
    run = Run(out, settings)
    for stage in STAGES:
        if stage.name != only and (only is not None or not stage.asked(config)):
            run.remember(done.get(stage.name))
            continue
        key = _key(stage, config, done)
        if only != "report" and _is_current(stage, out, key, done.get(stage.name)):
            logger.info("%s: unchanged, skipped", stage.name)
            run.add({**done[stage.name]["record"], "skipped": True})
            continue
        logger.info("%s", stage.name)
        function = getattr(importlib.import_module(f".{stage.module}", __package__), stage.name)
        with measured() as usage:
            function(stage.config(config), out)
        record = {"stage": stage.name, **usage.as_dict(), **count_cases(stage.name, out)}
        done[stage.name] = {
            "key": key,
            "read": _read_by(stage, config, done),
            "wrote": _digest(stage, out),
            "record": record,
        }
        write_json(out / "stages.json", done)
        run.add({**record, "skipped": False})
    return run.fallen_out


def _as_run(config: StudyConfig, only: str, done: dict[str, Any]) -> dict[str, Any]:
    """Give the settings with which the stages have run when one of them now runs alone.

    Its own are the present ones; those of other stages that have run are what they were then, and
    it is said where the present ones differ.
    """
    given: dict[str, Any] = plain(config)
    before = _read_or_empty(config.out / "config.json")
    (own,) = (stage.sections for stage in STAGES if stage.name == only)
    others = {part for stage in STAGES if stage.name in done for part in stage.sections}
    kept = {part: before[part] for part in given if part in others - {*own} and part in before}
    if changed := [part for part, value in kept.items() if value != given[part]]:
        logger.warning(
            "other settings of %s than those that were run count for nothing here: "
            "`mammoroi study` runs everything that they change",
            ", ".join(changed),
        )
    return given | kept


def _withdraw(stage: Stage, out: Path, done: dict[str, Any]) -> None:
    """Set aside what a stage wrote for earlier settings, so that no other stage reads it."""
    about = None
    if stage.name in done:
        settings = _read_or_empty(out / "config.json")
        kept = {part: settings[part] for part in stage.sections if part in settings}
        about = {"entry": done[stage.name], "settings": kept}
    set_aside(stage.name, stage.writes, out, about)
    if done.pop(stage.name, None) is not None:
        write_json(out / "stages.json", done)


def _bring_back(stage: Stage, out: Path, done: dict[str, Any]) -> None:
    """Bring back what was set aside while the settings did not ask for a stage.

    ``config.json`` gets the settings that it ran with, unless another stage has run with others.
    """
    about = bring_back(stage.name, out)
    if about is not None:
        others = {part for one in STAGES if one.name in done for part in one.sections}
        kept = {part: value for part, value in about["settings"].items() if part not in others}
        write_json(out / "config.json", _read_or_empty(out / "config.json") | kept)
        done[stage.name] = about["entry"]
        write_json(out / "stages.json", done)
    forget(stage.name, out)


def _refuse_unasked(only: str | None, config: StudyConfig) -> None:
    """Raise for a stage that is for classifiers, where the settings ask for none."""
    if config.modeling.tasks:
        return
    if any(stage.name == only and not stage.asked(config) for stage in STAGES):
        raise MammoroiError(
            f"modeling.tasks is empty: these settings ask for masks alone, not for {only!r}",
            "name a task, such as --modeling.tasks '[sln]'",
        )


def _synthesize(config: SyntheticConfig, folder: Path) -> None:
    """Make the synthetic cohort unless the folder already holds one of these settings."""
    from .cohort.synthetic import synthesize

    key = sha256_of("synthesize", __version__, config)
    marker = folder / "synthesized.json"
    if _read_or_empty(marker).get("key") != key:
        logger.info("synthesize")
        synthesize(config, folder)
        write_json(marker, {"key": key, "config": config})


def _read_or_empty(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path) if path.exists() else {}
    return content


def _key(stage: Stage, config: StudyConfig, done: dict[str, Any]) -> str:
    """Key of a stage: its settings, the version, and what the stages before it wrote."""
    out = config.out.resolve()
    needs = _needs(stage, config)
    missing = [
        need.name
        for need in needs
        if _is_outdated(need, config, done) or done[need.name]["wrote"] != _digest(need, out)
    ]
    if missing:
        raise MammoroiError(
            f"stage {stage.name!r} needs {', '.join(missing)}: missing, interrupted or changed "
            f"since in {config.out}",
            f"run `mammoroi {missing[0]} CONFIG` first, or `mammoroi study CONFIG` for all",
        )
    inputs: list[Any] = [done[need.name]["wrote"] for need in needs]
    inputs += [sha256_file(out / name) for name in stage.reads if (out / name).is_file()]
    if stage.name == "accept":
        inputs.append(_cohort_files(config.cohort.folder))
    if stage.name == "train" and config.segmentation.start_from is not None:
        from .segmentation.start import start_key

        inputs += [start_key(config.segmentation, fold) for fold in range(config.cohort.n_folds)]
    if stage.name == "train" and config.segmentation.pretraining_cohort is not None:
        inputs.append(_cohort_files(Path(config.segmentation.pretraining_cohort)))
    return sha256_of(stage.name, __version__, stage.config(config), inputs)


def _needs(stage: Stage, config: StudyConfig) -> list[Stage]:
    return [need for need in STAGES if need.name in stage.needs and need.asked(config)]


def _read_by(stage: Stage, config: StudyConfig, done: dict[str, Any]) -> dict[str, str]:
    """What the stages that a stage needs have written, by their names."""
    return {need.name: done[need.name]["wrote"] for need in _needs(stage, config)}


def _is_outdated(stage: Stage, config: StudyConfig, done: dict[str, Any]) -> bool:
    """Whether a stage has not run, or has read what stages before it have since written anew."""
    if stage.name not in done:
        return True
    if any(_is_outdated(need, config, done) for need in _needs(stage, config)):
        return True
    return bool(done[stage.name].get("read") != _read_by(stage, config, done))


def _cohort_files(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every file below a cohort folder or named by its table."""
    files = [folder / name for name in ("cohort.csv", "patients.csv", "cohort.json")]
    if files[0].is_file():  # a missing table is for the stage itself to describe
        images = read_spreadsheet(files[0])
        for column in ("image", "mask", "mask_reader2"):
            if column in images:
                files += [folder / value for value in images[column].dropna()]
    return [
        (path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(set(files))
        if path.is_file()
    ]


def _digest(stage: Stage, out: Path) -> str:
    """SHA-256 of the names and contents of everything that a stage wrote."""
    return sha256_of(
        [
            (path.relative_to(out).as_posix(), sha256_file(path))
            for path in sorted({path for pattern in stage.writes for path in out.glob(pattern)})
            if path.is_file()
        ]
    )


def _is_current(stage: Stage, out: Path, key: str, entry: dict[str, Any] | None) -> bool:
    """Tell whether a stage may be skipped: same key, same files, and no failed case to retry."""
    return (
        entry is not None
        and entry["key"] == key
        and "read" in entry
        and not entry["record"]["failed"]
        and entry["wrote"] == _digest(stage, out)
    )


def count_cases(stage: str, out: Path) -> dict[str, int]:
    """Cases of a stage: ``cases_in = used + excluded + missed + failed``.

    A case is an image; in ``extract`` it is an image with one source of its mask, in ``perturb``
    one with one perturbation, in ``model`` a target with one source; in ``train`` an image of
    another cohort that could not be prepared counts, too. What could not be prepared fails in
    ``train`` and again in ``segment``. ``missed`` counts automatic masks without any pixel, and
    perturbed ones that are too small: results, not failures.
    """

    def rows(name: str) -> int:
        path = out / name
        return len(read_csv(path)) if path.exists() else 0

    used = excluded = missed = failed = 0
    if stage == "accept":
        cohort = read_json(out / "cohort.json")
        used = cohort["n_images_used"]
        excluded = cohort["n_images_in"] - used
    elif stage == "train":
        unprepared = rows(PREPARED_FAILURES)
        used, failed = rows("cohort.csv") - unprepared, unprepared + rows(OTHERS_FAILURES)
    elif stage == "segment":
        used, failed = rows("masks/predictions.csv"), rows(MASKS_FAILURES)
    elif stage == "extract":
        import pyarrow.parquet as parquet

        tables = (out / "features").glob("[!.]*.parquet")
        used = sum(parquet.read_metadata(table).num_rows for table in tables)
        missed, failed = rows("features/missed.csv"), rows("features/failures.csv")
    elif stage == "perturb":
        counts = read_json(out / "stability" / "perturbed.json")["counts"]
        used, missed, failed = counts["used"], counts["too_small"], counts["failed"]
    elif stage == "model":
        used = sum(len(target["rois"]) for target in read_json(out / "models" / "targets.json"))
        failed = rows("models/failures.csv")
    elif stage == "agree":
        failed = rows("agreement_failures.csv")
        used = rows("cohort.csv") - failed
    else:
        used = rows("cohort.csv")
    return {
        "cases_in": used + excluded + missed + failed,
        "used": used,
        "excluded": excluded,
        "missed": missed,
        "failed": failed,
    }


PREPARED_FAILURES = "segmentation/prepared/failures.csv"
"""Images that could not be prepared; those of a second stage are the same."""

OTHERS_FAILURES = "segmentation/prepared/others/failures.csv"
"""Images that only the pre-training wants; those of a second stage are the same."""

MASKS_FAILURES = "masks/failures.csv"
"""Images without an automatic mask: first those that could not be prepared."""

EXCLUDED = "excluded.csv"

FAILURES = (
    EXCLUDED,
    PREPARED_FAILURES,
    OTHERS_FAILURES,
    MASKS_FAILURES,
    "agreement_failures.csv",
    "features/failures.csv",
    "stability/failures.csv",
    "models/failures.csv",
)
"""The files of a study that list the cases that fell out, in the order of the stages."""


def fallen_out_lines(out: Path, most: int = 3) -> list[str]:
    """Say what fell out of a study, file by file: how many rows, and the first of them.

    A row that a file before has is not said again.

    Parameters
    ----------
    out : Path
        The study folder.
    most : int
        How many rows of each file are told in full.
    """
    lines: list[str] = []
    told: set[Failure] = set()
    for name in FAILURES:
        rows = [row for row in _failures(out / name) if row not in told]
        told.update(rows)
        if rows:
            both = " (images and patients)" if name == EXCLUDED else ""
            lines.append(f"{out / name}: {len(rows)} lines{both}")
            lines += [f"  {row.case}: {row.error} -> {row.action}" for row in rows[:most]]
        if len(rows) > most:
            lines.append(f"  and {len(rows) - most} more")
    return lines


def _failures(path: Path) -> list[Failure]:
    """Read a table of cases that fell out; none where there is no table."""
    if not path.exists():
        return []
    table = read_csv(path, dtype=str)[[field.name for field in fields(Failure)]]
    return [Failure(*row) for row in table.itertuples(index=False)]


def _told_again(out: Path) -> int:
    """Count the images that fell out of ``segment`` because ``train`` could not prepare them."""
    return len({*_failures(out / PREPARED_FAILURES)} & {*_failures(out / MASKS_FAILURES)})


class Run:
    """The record of one run, written to ``run.json`` after every stage."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self._out = out
        self._settings = settings
        self._stages: list[dict[str, Any]] = []
        self._added: set[str] = set()
        self._fallen_out = 0

    def remember(self, entry: dict[str, Any] | None) -> None:
        """Take over the record of a stage that an earlier run did and this one was not asked for.

        A stage that comes after the one asked for is never written: it may be out of date.
        """
        if entry is not None:
            self._stages.append({**entry["record"], "skipped": True})

    def add(self, record: dict[str, Any]) -> None:
        """Add a stage's record and write the file."""
        self._fallen_out += record["excluded"] + record["failed"]
        if record["stage"] == "segment" and "train" in self._added:
            self._fallen_out -= _told_again(self._out)
        self._added.add(record["stage"])
        self._stages.append(record)
        settings = self._settings
        write_json(
            self._out / "run.json",
            {
                "mammoroi": __version__,
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
                "versions": versions(),
                "seeds": {
                    part: settings[part]["seed"] for part in ("cohort", "segmentation", "modeling")
                },
                "config": settings,
                "stages": self._stages,
            },
        )

    @property
    def fallen_out(self) -> int:
        """Cases excluded or failed so far, in the stages asked for.

        An image that could not be prepared counts once, though ``train`` and ``segment`` list it.
        """
        return self._fallen_out


LIBRARIES = (
    "torch",
    "lightning",
    "monai",
    "segmentation-models-pytorch",
    "pyradiomics-bhklab",
    "SimpleITK",
    "pydicom",
    "scikit-learn",
    "imbalanced-learn",
    "numpy",
    "pandas",
)


def versions(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Installed version of each library; ``"not installed"`` where it is missing."""
    from importlib import metadata

    found = {}
    for library in libraries:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found
