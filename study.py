"""The whole way: stage after stage, each skipped when nothing that it depends on has changed.

A stage is ``stage(config, study_folder) -> Path``: it reads the files of the stages before it and
writes its own. What was done stands in ``stages.json``: for each stage a key (SHA-256 of its
settings, also those in a preset of features, of mammoroi's version and of the files that it read),
its settings, the SHA-256 of what it wrote, and of what the stages that it needs had written when it
ran: a stage that is asked for by its name refuses to go on from one that has not read what is there
now, and from images or masks that are no longer those that ``accept`` read (``files.csv``).
A stage is skipped when both still hold and no case had failed. The report costs little and rests
on code that changes without a change of settings: asked for by its own name, it is always made.
``config.json`` has the settings with which the stages ran; of those that have not run, the present
ones. A stage that refuses, fails or is stopped changes nothing there. ``run.json`` tells how the
last run went (:mod:`.run_record`).
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

from . import __version__
from .cohort.places import cohort_files, refuse_shared_folder
from .cohort.synthetic_config import SyntheticConfig
from .errors import MammoroiError
from .fallen_out import count_cases
from .files import plain, read_json, sha256_file, sha256_of, write_json
from .lock import held
from .resources import measured
from .run_record import Run
from .set_aside import bring_back, forget, set_aside
from .stages import STAGES, Stage, StudyConfig

logger = logging.getLogger(__name__)

LOCK = ".study.lock"
ORPHAN_S = 10.0
"""Processes that load images look every 5 seconds for the run that began them, and hold what it
held for that long when it was killed."""


def run_study(config: StudyConfig, only: str | None = None) -> int:
    """Run all stages of a study, or one of them, and return how many cases fell out.

    Parameters
    ----------
    config : StudyConfig
        The settings.
    only : str, optional
        The name of one stage. The stages that it needs must have run.

    Returns
    -------
    int
        Cases that were excluded or failed, over all stages that ran or were skipped.

    Raises
    ------
    MammoroiError
        When a stage refuses its input as a whole, a stage that ``only`` needs has not run, the
        settings do not ask for ``only``, or another process is at work in the study folder.
    """
    _refuse_unasked(only, config)
    # Worker processes may have been started elsewhere: a relative path is not theirs.
    out = config.out.resolve()
    if only in (None, "accept"):
        refuse_shared_folder(config.cohort.folder, out)
    if config.segmentation.normal_cohort is not None:
        refuse_shared_folder(Path(config.segmentation.normal_cohort), out)
    with held(out / LOCK, str(config.out), ORPHAN_S):
        return _run(config, only, out)


def _run(config: StudyConfig, only: str | None, out: Path) -> int:
    if config.synthetic is not None and only in (None, "accept"):
        _synthesize(config.synthetic, config.cohort.folder.resolve())
    done: dict[str, Any] = _read_or_empty(out / "stages.json")
    for stage in STAGES:
        if stage.asked(config):
            _bring_back(stage, out, done)
        else:
            _withdraw(stage, out, done)
    lost = False
    if only is not None:
        _tell_other_settings(config, only, done)
        lost = only != "accept" and _lacks_files(config, out, done)
    if only is None or not (out / "config.json").exists():
        write_json(out / "config.json", _as_run(config, done))
    run = Run(out)
    looked = only is not None  # whoever asks for one stage waits for no other
    for stage in STAGES:
        if stage.name != only and (only is not None or not stage.asked(config)):
            run.remember(done.get(stage.name))
            continue
        key = _key(stage, config, done)
        current = _is_current(stage, out, key, done.get(stage.name)) and not (lost and stage.opens)
        if only != "report" and current:
            logger.info("%s: unchanged, skipped", stage.name)
            run.add({**done[stage.name]["record"], "skipped": True}, _as_run(config, done))
            continue
        if not looked and stage.name != "accept":
            _look_ahead(config, out)
            looked = True
        logger.info("%s", stage.name)
        files = _seen(config)
        function = getattr(importlib.import_module(f".{stage.module}", __package__), stage.name)
        with measured() as usage:
            function(stage.config(config), out)
        record = {"stage": stage.name, **usage.as_dict(), **count_cases(stage.name, out)}
        done[stage.name] = {
            "key": key,
            "settings": stage.settings(config),
            "read": _read_by(stage, config, done),
            "wrote": stage.digest(out),
            "record": record,
        }
        if stage.name == "accept":
            done["accept"]["files"] = files
        write_json(out / "stages.json", done)
        settings = _as_run(config, done)
        write_json(out / "config.json", settings)
        run.add({**record, "skipped": False}, settings)
    return run.fallen_out


def _look_ahead(config: StudyConfig, out: Path) -> None:
    """Refuse a preset or a column that is not there: else it is said after hours of training."""
    for stage in STAGES:
        if stage.name == "model" and stage.asked(config):
            from .modeling.fit import check_asked
            from .radiomics.presets import load_preset

            load_preset(config.radiomics.preset)
            check_asked(stage.config(config), out)


def _as_run(config: StudyConfig, done: dict[str, Any]) -> dict[str, Any]:
    """Give the settings with which the stages have run; where none has, the present ones."""
    settings: dict[str, Any] = plain(config)
    for stage in STAGES:
        for part, noted in done.get(stage.name, {}).get("settings", {}).items():
            whole = stage.own is None
            settings[part] = noted if whole else settings[part] | noted
    return settings


_HOW = ("workers", "accelerator", "devices", "precision")
"""Settings of a shared section that change how a stage runs; whoever takes them does so at once."""


def _tell_other_settings(config: StudyConfig, only: str, done: dict[str, Any]) -> None:
    """Say which of the present settings count for nothing when one stage runs alone."""
    (stage,) = (stage for stage in STAGES if stage.name == only)
    given, own = plain(config), stage.settings(config)
    changed = []
    for part, value in _as_run(config, done).items():
        if part not in stage.sections:
            changed += [part] if value != given[part] else []
        elif stage.own is not None:  # the rest of the section is that of the stage before it
            others = value.keys() - own[part].keys() - {*_HOW}
            differ = [name for name in given[part] if name in others]
            differ = [name for name in differ if value[name] != given[part][name]]
            changed += [f"{part}.{name}" for name in differ]
    if changed:
        logger.warning(
            "this command does not use what has changed in %s since the last run: "
            "`mammoroi study` does, and runs again what rests on it",
            ", ".join(changed),
        )


def _seen(config: StudyConfig) -> str:
    """Name, size and time of change of the cohort's files, as one SHA-256."""
    return sha256_of(_cohort_files(config.cohort.folder))


def _lacks_files(config: StudyConfig, out: Path, done: dict[str, Any]) -> bool:
    """Tell whether images of the study lack a file, before a stage is run alone.

    Such images are cases that fail. Sizes and times of change are looked at first; only where
    they are not what ``accept`` saw are the files read.

    Raises
    ------
    MammoroiError
        When a file is another one than ``accept`` read: the stages before the one that is asked for
        rest on it, too.
    """
    entry = done.get("accept")
    if entry is None or entry.get("files") == _seen(config):
        return False
    from .cohort.accept import FILES, lost_and_changed

    if not (out / FILES).is_file():
        raise MammoroiError(
            f"{out} does not say which images and masks its stage 'accept' read",
            "run `mammoroi study CONFIG`",
        )
    lost, changed = lost_and_changed(out)
    if changed:
        raise MammoroiError(
            f"images or masks were changed since the stage 'accept' of {out} read them: "
            f"{len(changed)}, such as those of {changed[0]}",
            "run `mammoroi study CONFIG`, which makes anew what rests on them",
        )
    return bool(lost)


def _withdraw(stage: Stage, out: Path, done: dict[str, Any]) -> None:
    """Set aside what a stage wrote for earlier settings, so that no other stage reads it."""
    set_aside(stage.name, stage.writes, out, done.get(stage.name))
    if done.pop(stage.name, None) is not None:
        write_json(out / "stages.json", done)


def _bring_back(stage: Stage, out: Path, done: dict[str, Any]) -> None:
    """Bring back what was set aside while the settings did not ask for a stage."""
    entry = bring_back(stage.name, out)
    if entry is not None:
        done[stage.name] = entry
        write_json(out / "stages.json", done)
    forget(stage.name, out)


def _refuse_unasked(only: str | None, config: StudyConfig) -> None:
    """Raise for a stage that the settings do not ask for: of automatic masks, of classifiers."""
    if not any(stage.name == only and not stage.asked(config) for stage in STAGES):
        return
    if config.masks == "manual" and only != "perturb":
        raise MammoroiError(
            f"masks is manual: these settings ask for manual masks alone, not for {only!r}",
            "set masks to both",
        )
    if not config.modeling.tasks:
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
        if _is_outdated(need, config, done) or done[need.name]["wrote"] != need.digest(out)
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
    if "radiomics" in stage.sections:
        from .radiomics.presets import preset_file

        preset = preset_file(config.radiomics.preset)
        inputs += [sha256_file(preset)] if preset.is_file() else []  # the stage says what is wrong
    if stage.name == "train" and config.segmentation.start_from is not None:
        from .segmentation.outline import training_places
        from .segmentation.start import start_key

        folds = range(config.cohort.n_folds)
        places = training_places(config.segmentation)
        inputs += [start_key(settings, fold) for settings, _ in places for fold in folds]
    others = {"train": ("pretraining_cohort", "normal_cohort"), "segment": ("normal_cohort",)}
    for setting in others.get(stage.name, ()):
        if (folder := getattr(config.segmentation, setting)) is not None:
            inputs.append(_cohort_files(Path(folder)))
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
    return [
        (path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(set(cohort_files(folder)))
        if path.is_file()
    ]


def _is_current(stage: Stage, out: Path, key: str, entry: dict[str, Any] | None) -> bool:
    """Tell whether a stage may be skipped: same key, same files, and no failed case to retry."""
    return (
        entry is not None
        and entry["key"] == key
        and {"read", "settings"} <= entry.keys()
        and ("files" in entry or stage.name != "accept")
        and not entry["record"]["failed"]
        and entry["wrote"] == stage.digest(out)
    )
