"""Typed configuration: a YAML file, overridden on the command line by the same names.

A configuration is a frozen data class. Every one of its fields can stand in the file and on the
command line (``--segmentation.epochs 20``); an unknown key is refused with the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from .errors import MammoroiError

Config = TypeVar("Config")


def find_config(name: str) -> Path:
    """Path of a configuration: a file of the user's, or a shipped preset by its bare name.

    Raises
    ------
    MammoroiError
        When it is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    folder = Path(str(resources.files("mammoroi.configs")))
    shipped = sorted(preset.stem for preset in folder.glob("*.yaml"))
    if name in shipped:
        return folder / f"{name}.yaml"
    raise MammoroiError(
        f"configuration {name!r} is no file and no shipped preset",
        f"name a YAML file, or one of: {', '.join(shipped)}",
    )


def load_config(
    cls: type[Config], program: str, file: Path | None, overrides: Sequence[str]
) -> Config:
    """Read ``file`` into the data class ``cls`` and apply command-line ``overrides``.

    Parameters
    ----------
    cls : type
        A frozen data class whose fields may be data classes themselves.
    program : str
        The command as the user typed it, for the help text.
    file : Path or None
        YAML; None takes the defaults.
    overrides : sequence of str
        Arguments such as ``["--modeling.seed", "3"]``; ``--help`` prints the fields and exits.

    Raises
    ------
    MammoroiError
        For text that is not YAML, an unknown key (with the nearest valid one) or a value of the
        wrong type.
    """
    import argparse
    import logging

    import jsonargparse

    if file is not None:
        refuse_unknown_keys(cls, file)
    quiet = logging.getLogger(f"{__name__}.parser")
    quiet.setLevel(logging.CRITICAL)
    parser = jsonargparse.ArgumentParser(prog=program, exit_on_error=False, logger=quiet)
    parser.add_argument("--config", action=jsonargparse.ActionConfigFile, help=argparse.SUPPRESS)
    parser.add_class_arguments(cls)
    arguments = [] if file is None else ["--config", str(file)]
    try:
        parsed = parser.parse_args([*arguments, *overrides])
        values = parser.instantiate(parsed).as_dict()
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        message = " ".join(str(error).split())
        raise MammoroiError(message, nearest_option(cls, message, program)) from None
    values.pop("config", None)
    return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})  # type: ignore[arg-type]


def config_class(annotation: Any) -> type | None:
    """The data class in a field's type (``X`` or ``X | None``), if there is one."""
    options = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(option, type):
            return option
    return None


def field_names(cls: type, prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields of a configuration, nested ones too."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        yield prefix + field.name
        nested = config_class(hints[field.name])
        if nested is not None:
            yield from field_names(nested, f"{prefix}{field.name}.")


def refuse_unknown_keys(cls: type, file: Path) -> None:
    """Raise for the first key of a YAML file that the data class does not know."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        raise MammoroiError(f"{file} cannot be read as YAML: {message}", "mend the file") from None
    if not isinstance(content, dict):
        raise MammoroiError(f"{file} holds no settings", "write `name: value` lines into it")
    _walk(cls, content, "", file)


def _walk(cls: type, content: dict[str, Any], prefix: str, file: Path) -> None:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key, value in content.items():
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{close[0]}?" if close else "remove it"
            raise MammoroiError(
                f"{file}: unknown key {prefix}{key}", f"{hint} (valid here: {', '.join(names)})"
            )
        nested = config_class(hints[key])
        if nested is not None and isinstance(value, dict):
            _walk(nested, value, f"{prefix}{key}.", file)


def nearest_option(cls: type, message: str, program: str) -> str:
    """What to do about an argument that the parser refused, with the nearest valid name."""
    if "unrecognized arguments" in message or "does not accept" in message:
        names = [f"--{name}" for name in field_names(cls)]
        for word in message.split():
            option = word.split("=")[0]
            close = difflib.get_close_matches(option, names, n=1, cutoff=0.6)
            if option.startswith("--") and close:
                return f"did you mean {close[0]}?"
    return f"see `{program} --help`"
