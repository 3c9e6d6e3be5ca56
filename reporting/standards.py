"""Reporting standards, filled in from a run as far as its files show it.

CLEAR (Kocak et al., Insights Imaging 2023;14:75; 58 items), METRICS (Kocak et al., Insights Imaging
2024;15:8; 30 items with weights) and TRIPOD+AI (Collins et al., BMJ 2024;385:e078378; 27 items, 52
with the lettered ones) are for studies of classifiers. A study of the masks alone has CLAIM
instead (2024 update, Tejani et al., Radiol Artif Intell 2024;6:e240300; 44 items), whose model is
then the segmentation. The topics are in our own short words: read them beside the originals.

``configs/standards/<standard>.csv`` says for each item who answers it. ``software``: its evidence
is looked for in the run's files. ``assisted``: what the files say is written down, and a person
judges it. ``human``: left to a person. ``evidence`` names facts (:mod:`.facts`); those with a
question mark are added where they exist, those with an exclamation mark count when they say
the contrary; without the others the item has no evidence.

``standards/<standard>.csv`` in the study folder: ``item, section, topic, who, status, value,
evidence, answer, hint`` (METRICS also ``weight, score``). ``status`` is one of :data:`STATUS`;
``value`` what the run says and ``evidence`` the files that say so; ``answer`` what a person wrote
into ``standards_answers.csv`` (``standard, item, answer``) in the study folder.
``standards/to_answer.csv`` lists what is open, in that file's format.

METRICS counts a ``yes``. An item that nobody answered and the run does not evidence counts as no,
as its authors have it, except that items for people stay open: the score is a range.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import read_csv, write_csv
from ..spreadsheet import read_spreadsheet
from .facts import FACTS
from .record import Record, listed
from .tables import Table

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).resolve().parent.parent / "configs" / "standards"
ANSWERS = "standards_answers.csv"
TITLES = {"clear": "CLEAR", "metrics": "METRICS", "tripod_ai": "TRIPOD+AI", "claim": "CLAIM"}
OF_MASKS = ("claim",)
"""The standards of a study of the masks alone; the others are those of classifiers."""

SHOWN = "shown by the run"
NO_EVIDENCE = "no evidence in this run"
CONFIRM = "to be judged by a person"
OPEN = "to be answered by a person"
ANSWERED = "answered by a person"
NOT_APPLICABLE = "not applicable"
MANY = 1
"""Files of the same name of more models than this are written as a pattern."""
STATUS = (SHOWN, NO_EVIDENCE, CONFIRM, OPEN, ANSWERED, NOT_APPLICABLE)
_NOT_APPLICABLE = re.compile(r"(n/?a|n\.a\.|not applicable)(?![a-z])", re.IGNORECASE)
_YES_NO = re.compile(r"(yes|no)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Score:
    """The METRICS score that a run and its people's answers support, as shares of 1.

    Attributes
    ----------
    shown : float
        Weight of the items that the run evidences.
    answered : float
        Weight of those that people answered with yes.
    remaining : float
        Weight of those that wait for a person.
    unsupported : float
        Weight of those that software could evidence and this run does not, or that people answered
        with no.
    """

    shown: float
    answered: float
    remaining: float
    unsupported: float

    @property
    def lowest(self) -> float:
        """The score if every open answer were no."""
        return self.shown + self.answered

    @property
    def highest(self) -> float:
        """The score if every open answer were yes."""
        return self.lowest + self.remaining

    def __str__(self) -> str:
        return (
            f"METRICS between {self.lowest:.1%} and {self.highest:.1%}: {self.shown:.1%} is shown "
            f"by the run, {self.answered:.1%} answered with yes, {self.remaining:.1%} waits for a "
            f"person, {self.unsupported:.1%} is without evidence or answered with no"
        )


def standards(study: Path) -> dict[str, pd.DataFrame]:
    """Fill in the standards that apply to a study from its files.

    Parameters
    ----------
    study : Path
        The study folder, finished or not.

    Returns
    -------
    dict of str to DataFrame
        ``clear``, ``metrics``, ``tripod_ai``, or ``claim`` where the study is of the masks alone: a
        row for each item, columns as in the files. A file that is missing is no evidence.

    Raises
    ------
    MammoroiError
        When a file cannot be read, or an answer names an unknown item, repeats one, or is neither
        yes nor no where METRICS asks.
    """
    study = Path(study)
    if not study.is_dir():
        raise MammoroiError(f"there is no folder {study}", "give the folder of a study")
    record = Record(study)
    answers = _answers(study)
    names = [name for name in TITLES if (name in OF_MASKS) != record.classifiers]
    return {name: _filled(name, record, answers) for name in names}


def write_standards(study: Path) -> dict[str, pd.DataFrame]:
    """Write ``standards/*.csv`` into a study folder; gives what :func:`standards` gives."""
    import pandas as pd

    filled = standards(study)
    for name in TITLES:
        if name not in filled:
            (Path(study) / "standards" / f"{name}.csv").unlink(missing_ok=True)
    for name, table in filled.items():
        write_csv(Path(study) / "standards" / f"{name}.csv", table)
    rows = []
    for name, table in filled.items():
        waiting = table[table["status"].isin((NO_EVIDENCE, CONFIRM, OPEN))]
        rows.append(waiting[["item", "answer", "topic", "value", "hint"]].assign(standard=name))
    columns = ["standard", "item", "answer", "topic", "value", "hint"]
    write_csv(Path(study) / "standards" / "to_answer.csv", pd.concat(rows)[columns])
    return filled


def score(metrics: pd.DataFrame) -> Score:
    """Sum up METRICS; items that do not apply are left out and the weights scaled to 1."""
    counted = metrics[metrics["status"] != NOT_APPLICABLE]
    whole = counted["weight"].sum()
    waiting = counted["status"].isin((CONFIRM, OPEN))
    shown = counted["status"] == SHOWN
    yes = (counted["score"] == 1) & ~shown
    rest = ~(shown | yes | waiting)
    return Score(
        *(float(counted.loc[part, "weight"].sum() / whole) for part in (shown, yes, waiting, rest))
    )


def standards_tables(filled: dict[str, pd.DataFrame]) -> list[Table]:
    """The standards as tables of the report; ``standards/<name>.csv`` is their file."""
    tables = []
    for name, frame in filled.items():
        counts = [
            f"{n} {status}" for status in STATUS if (n := int((frame["status"] == status).sum()))
        ]
        note = f"{len(frame)} items: {listed(counts)}."
        if name == "metrics":
            note += f" {score(frame)}."
        note += (
            " Topics in short; read the original beside them. What people answer belongs into "
            f"{ANSWERS}."
        )
        cells = [
            [
                str(row["item"]),
                str(row["topic"]),
                str(row["status"]),
                str(row["answer"] or row["value"] or row["hint"]),
                str(row["evidence"]),
            ]
            for row in frame.to_dict("records")
        ]
        if name == "metrics":
            for cell, weight in zip(cells, frame["weight"], strict=True):
                cell.insert(2, f"{weight:.4f}")
        head = ["Item", "Topic", "Status", "Answer, what the run says, or what to write", "Files"]
        if name == "metrics":
            head.insert(2, "Weight")
        tables.append(Table(name, TITLES[name], note, frame, head, cells))
    return tables


def _filled(name: str, record: Record, answers: dict[tuple[str, str], str]) -> pd.DataFrame:
    import pandas as pd

    items = read_csv(FOLDER / f"{name}.csv", dtype={"item": str}).astype(object)
    items = items.where(items.notna(), "")
    rows = []
    for item in items.to_dict("records"):
        value, files = _evidence(record, item["evidence"])
        answer = answers.get((name, item["item"]), "")
        condition = item.get("condition", "")
        if _NOT_APPLICABLE.match(answer) or (condition and not _applies(record, condition)):
            status = NOT_APPLICABLE
        elif answer:
            status = ANSWERED
        elif item["who"] == "software":
            status = SHOWN if files else NO_EVIDENCE
        else:
            status = CONFIRM if files else OPEN
        row = {key: item[key] for key in ("item", "section", "topic", "who")}
        row |= {"status": status, "value": value, "evidence": "; ".join(files), "answer": answer}
        row["hint"] = item["hint"]
        if "weight" in item:
            row["weight"] = float(item["weight"])
            row["score"] = _points(status, answer)
        rows.append(row)
    return pd.DataFrame(rows)


def _points(status: str, answer: str) -> float | None:
    """1 for yes, 0 for no or no evidence, None where it is open or does not apply."""
    if status == ANSWERED:
        return float(answer.casefold().startswith("yes"))
    return {SHOWN: 1.0, NO_EVIDENCE: 0.0}.get(status)


def _evidence(record: Record, keys: str) -> tuple[str, list[str]]:
    """What the facts of an item say, and in which files; no files without evidence.

    Facts that say what was not done are written down and are no evidence.
    """
    texts: list[str] = []
    files: list[str] = []
    complete = True
    for key in keys.split():
        fact = FACTS[key.rstrip("?!")](record)
        if fact is not None:
            texts.append(fact.text)
        if fact is not None and fact.shown:
            files += fact.files
        elif not key.endswith("?") and not (key.endswith("!") and fact is None):
            complete = False
    return " ".join(texts), _gathered(files) if complete else []


def _gathered(files: list[str]) -> list[str]:
    """Each file once; many of the same name in the models' folders as a pattern."""
    once = list(dict.fromkeys(files))
    many = Counter(_pattern(name) for name in once)
    return list(
        dict.fromkeys(_pattern(name) if many[_pattern(name)] > MANY else name for name in once)
    )


def _pattern(name: str) -> str:
    """``models/*/*/metrics.json`` of a file, ``models/*/classes/*/...`` of all classes'."""
    parts = name.split("/")
    if parts[0] == "models" and len(parts) > 3:
        parts[1] = "*"
        parts[3 if parts[2] == "classes" else 2] = "*"
    return "/".join(parts)


def _applies(record: Record, condition: str) -> bool:
    """Whether a conditional item of METRICS applies to what mammoroi does."""
    if condition == "automatic":
        return record.has("masks/predictions.csv")
    return condition != "end_to_end"


def _answers(study: Path) -> dict[tuple[str, str], str]:
    """People's answers by standard and item; empty ones are left out."""
    path = study / ANSWERS
    if not path.exists():
        return {}
    table = read_spreadsheet(path, texts=("standard", "item", "answer"))
    lacking = [name for name in ("standard", "item", "answer") if name not in table]
    if lacking:
        raise MammoroiError(
            f"{path} has no column {listed(lacking)}", "name the columns standard, item, answer"
        )
    known = {name: set(read_csv(FOLDER / f"{name}.csv", dtype=str)["item"]) for name in TITLES}
    found: dict[tuple[str, str], str] = {}
    for row in table.dropna(subset=["answer"]).to_dict("records"):
        name, item, answer = (str(row[key]).strip() for key in ("standard", "item", "answer"))
        if item not in known.get(name, set()):
            raise MammoroiError(
                f"{path} answers item {item} of '{name}', which does not exist",
                f"the standards are {listed(list(TITLES))}; see standards/*.csv for their items",
            )
        if (name, item) in found:
            raise MammoroiError(f"{path} answers {name} {item} twice", "keep one of the rows")
        if name == "metrics" and not (_YES_NO.match(answer) or _NOT_APPLICABLE.match(answer)):
            raise MammoroiError(
                f"{path} answers {name} {item} with '{_beginning(answer)}'",
                "begin with yes, no or n/a, and go on as you like",
            )
        if answer:
            found[name, item] = answer
    return found


def _beginning(text: str) -> str:
    """The beginning of a long answer, for a message."""
    return text if len(text) <= 40 else f"{text[:37]}..."
