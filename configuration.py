"""Typed configuration: a YAML file, overridden on the command line by the same names.

A configuration is a frozen data class. Every one of its fields can stand in the file and on the
command line (``--segmentation.epochs 20``); an unknown key is refused with the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar

from .errors import MammoroiError

Result = TypeVar("Result")


Kind = Literal["study", "import", "serve"]


def find_config(name: str, kind: Kind | None = None) -> Path:
    """Path of a configuration: a file of the user's, or a shipped preset by its bare name.

    Parameters
    ----------
    name : str
        A path, or the name of a preset.
    kind : {"study", "import", "serve"}, optional
        What the settings are for; others are not offered where ``name`` is neither.

    Raises
    ------
    MammoroiError
        When it is neither; the nearest preset is named.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_configs()
    if name in shipped:
        return shipped[name]
    offered = {
        each: [preset for preset in shipped if kind_of(preset) == each]
        for each in typing.get_args(Kind)
        if kind in (None, each)
    }
    names = {form: preset for of in offered.values() for preset in of for form in _forms(preset)}
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {names[close[0]]}? If not, " if close else ""
    listed = "; ".join(
        f"{'' if kind else f'for {each}: '}{', '.join(of)}" for each, of in offered.items()
    )
    raise MammoroiError(
        f"configuration {name!r} is no file and no shipped preset",
        f"{hint}name a YAML file, or a preset ({listed})",
    )


def kind_of(preset: str) -> Kind:
    """What a shipped preset is for, by its name."""
    if preset.startswith("import-"):
        return "import"
    return "serve" if preset == "serve" else "study"


def _forms(preset: str) -> set[str]:
    """The names under which a preset may be meant: an import's with and without ``import-``."""
    return {preset, preset.removeprefix("import-")}


def shipped_configs() -> dict[str, Path]:
    """Shipped presets by their bare names."""
    folder = Path(str(resources.files("mammoroi.configs")))
    return {preset.stem: preset for preset in sorted(folder.glob("*.yaml"))}


def configured(
    target: Callable[..., Result], program: str, file: Path | None, overrides: Sequence[str]
) -> Result:
    """Call ``target`` with the settings of ``file`` and of the command line.

    Parameters
    ----------
    target : callable
        A frozen data class, whose fields may be data classes themselves, or a function.
    program : str
        The command as the user typed it, for the help text.
    file : Path or None
        YAML; None takes the defaults.
    overrides : sequence of str
        Arguments such as ``["--modeling.seed", "3"]``; ``--help`` prints the settings and exits.

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
        refuse_unknown_keys(target, file)
    quiet = logging.getLogger(f"{__name__}.parser")
    quiet.setLevel(logging.CRITICAL)
    parser = jsonargparse.ArgumentParser(
        prog=program,
        usage=f"{program} [--name.of.a.setting VALUE ...]",  # not all of them
        exit_on_error=False,
        allow_abbrev=False,
        logger=quiet,
    )
    config_file = jsonargparse.ActionConfigFile  # type: ignore[attr-defined]
    parser.add_argument("--config", action=config_file, help=argparse.SUPPRESS)
    if isinstance(target, type):
        parser.add_class_arguments(target)
    else:
        parser.add_function_arguments(target)
    arguments = [] if file is None else ["--config", str(file)]
    try:
        parsed = parser.parse_args([*arguments, *overrides])
        for name, value in list(parsed.items()):
            if isinstance(value, Path):  # `~` of a file is the home folder, as in a shell
                parsed[name] = value.expanduser()
        values = vars(parser.instantiate(parsed))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        message = _innermost(" ".join(str(error).split()))
        if (wrong := _wrong_value(target, message)) is not None:
            raise wrong from None
        raise MammoroiError(message, nearest_option(target, message, program)) from None
    except ValueError as error:
        refused = _refused(error)
        if refused is None:
            raise
        raise refused from None
    return target(**{name: values[name] for name in settings_of(target)})


def _innermost(message: str) -> str:
    """Leave of a message about a field of several types what is said of the data class in it."""
    name = re.match('Parser key "([^"]+)"', message)
    *around, said = re.split("Problem with given class_path '[^']*': ", message)
    if not around or name is None:
        return message
    return f"{name[1]}: {re.split(' Given value| - Expected', said)[0]}"


def _wrong_value(target: Callable[..., Any], message: str) -> MammoroiError | None:
    """Say in words which value a setting takes, where the parser names types of Python."""
    found = re.match(
        r'(?:(\S+): )?Parser key "([^"]+)": (?:Expected a|Does not validate) .*'
        r"(?:Got|Given) value: (.*)$",
        message,
    )
    if found is None:
        return None
    *place, value = found.groups()
    name = ".".join(part for part in place if part)
    owner: Any = target
    for part in name.split("."):
        annotation = settings_of(owner).get(part) if owner is not None else None
        owner = _owner(annotation)
    words = _values(annotation)
    if words is None:
        return None
    close = difflib.get_close_matches(value, _choices(annotation), n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}? (it takes {words})" if close else f"give {words}"
    return MammoroiError(f"{name} is '{value}'", hint)


def _owner(annotation: Any) -> Any:
    """The data class of a setting, or of the values of its list; None where there is none."""
    inner = (_owner(option) for option in typing.get_args(annotation))
    return config_class(annotation) or next((found for found in inner if found), None)


_VALUES = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path",
    type(None): "null",
}  # fmt: skip


def _values(annotation: Any) -> str | None:
    """The values of a type in words; None where there are none for it."""
    if annotation in _VALUES:
        return _VALUES[annotation]
    if dataclasses.is_dataclass(annotation):
        return "settings by name"
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _either([str(option) for option in options])
    if origin in (UnionType, typing.Union):
        words = [_values(option) for option in options]
        return None if None in words else _either([word for word in words if word])
    if origin in (tuple, list):
        each = _values(options[0])
        n = "" if origin is list or ... in options else f"{len(options)} "
        return each and f"a list of {n}values, each {each}"
    return None


def _either(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _choices(annotation: Any) -> list[str]:
    """The words that a type takes."""
    options = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return [str(option) for option in options]
    return [choice for option in options for choice in _choices(option)]


def _refused(error: ValueError) -> MammoroiError | None:
    """Find what a data class said of its values, where a field may also be of another type.

    The parser then tries each type, and raises an error whose text holds what every one said.
    """
    for line in str(error).splitlines():
        found, arrow, action = line.partition(" -> ")
        if arrow:
            return MammoroiError(found.lstrip(" -"), action)
    return None


def settings_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Names and types of the settings that a data class or a function takes."""
    hints = typing.get_type_hints(target)
    if dataclasses.is_dataclass(target):
        names = [field.name for field in dataclasses.fields(target)]
    else:
        names = list(inspect.signature(target).parameters)
    return {name: hints[name] for name in names}


def config_class(annotation: Any) -> type | None:
    """The data class in a field's type (``X`` or ``X | None``), if there is one."""
    options = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(option, type):
            return option
    return None


def field_names(target: Callable[..., Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields of a configuration, nested ones too."""
    for name, annotation in settings_of(target).items():
        yield prefix + name
        nested = config_class(annotation)
        if nested is not None:
            yield from field_names(nested, f"{prefix}{name}.")


def refuse_unknown_keys(target: Callable[..., Any], file: Path) -> None:
    """Raise for a key of a YAML file that is no setting, stands twice or has no value."""
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        refuse_repeated_keys(yaml.compose(text, yaml.SafeLoader), file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        raise MammoroiError(f"{file} cannot be read as YAML: {message}", "mend the file") from None
    if not isinstance(content, dict):
        raise MammoroiError(f"{file} holds no settings", "write `name: value` lines into it")
    _walk(target, content, "", file)


def refuse_repeated_keys(node: Any, file: Path) -> None:
    """Raise where a key stands twice in one section: YAML would silently take the last.

    Parameters
    ----------
    node : Any
        What ``yaml.compose`` makes of the file's text.
    file : Path
        The file, for the message.
    """
    children = node.value if isinstance(getattr(node, "value", None), list) else []
    seen: set[str] = set()
    for child in children:
        key, value = child if isinstance(child, tuple) else (None, child)
        if key is not None and str(key.value) in seen:
            raise MammoroiError(
                f"{file} line {key.start_mark.line + 1}: {key.value} stands a second time",
                "keep one of the two; the settings of a section go under one heading",
            )
        if key is not None:
            seen.add(str(key.value))
        refuse_repeated_keys(value, file)


def _walk(target: Callable[..., Any], content: dict[str, Any], prefix: str, file: Path) -> None:
    settings = settings_of(target)
    names = list(settings)
    for key, value in content.items():
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1, cutoff=0.5)
            valid = f"remove it (valid here: {', '.join(names)})"
            hint = f"did you mean {prefix}{close[0]}?" if close else valid
            raise MammoroiError(f"{file}: unknown key {prefix}{key}", hint)
        if value is None and type(None) not in typing.get_args(settings[key]):
            raise MammoroiError(
                f"{file}: {prefix}{key} is empty", "write a value, or remove the line"
            )
        nested = config_class(settings[key])
        if nested is settings[key] and not isinstance(value, dict):
            raise MammoroiError(
                f"{file}: {prefix}{key} is '{value}'", "give its settings by name, indented"
            )
        if nested is not None and isinstance(value, dict):
            _walk(nested, value, f"{prefix}{key}.", file)


def nearest_option(target: Callable[..., Any], message: str, program: str) -> str:
    """What to do about an argument that the parser refused, with the nearest valid name."""
    if "unrecognized arguments" in message or "does not accept" in message:
        names = [f"--{name}" for name in field_names(target)]
        for word in message.split():
            option = word.split("=")[0]
            close = difflib.get_close_matches(option, names, n=1, cutoff=0.6)
            if option.startswith("--") and close:
                return f"did you mean {close[0]}?"
    return f"see `{program} --help`"
