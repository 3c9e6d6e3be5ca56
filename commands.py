"""What each command does: it takes the words after its name and gives the exit code.

Those of two rooms have modules of their own, :mod:`.commands_segmentation` and
:mod:`.commands_clinic`. Only in these three and in :mod:`.cli` is anything printed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import EXIT_BAD_INPUT, EXIT_CASES_FAILED, EXIT_OK, Failure, MammoroiError

if TYPE_CHECKING:
    from .stages import StudyConfig


def parser_for(name: str, summary: str) -> argparse.ArgumentParser:
    """Parser of a command whose arguments are few and plain."""
    return argparse.ArgumentParser(prog=f"mammoroi {name}", description=summary)


def demo(arguments: Sequence[str]) -> int:
    """Run the whole study on a synthetic cohort of phantoms."""
    parser = parser_for("demo", "Run the whole study on a synthetic cohort of phantoms.")
    parser.add_argument("-o", "--out", type=Path, default=Path("demo"), help="study folder (demo)")
    parser.add_argument("--patients", type=int, help="synthetic patients (the preset's number)")
    given = parser.parse_args(arguments)
    overrides = ["--out", str(given.out), "--cohort.folder", str(given.out / "cohort")]
    if given.patients is not None:
        overrides += ["--synthetic.n_patients", str(given.patients)]
    return study("study", ["demo", *overrides])


def doctor(arguments: Sequence[str]) -> int:
    """Say what is installed, which device is there, and try every engine for a moment."""
    parser_for("doctor", "Say what is installed and try every engine.").parse_args(arguments)
    from .doctor import examine

    all_well = True
    for result in examine():
        print(f"{'ok' if result.ok else 'FAILED':<8}{result.name:<28}{result.detail}", flush=True)
        all_well = all_well and result.ok
    print("All is well." if all_well else "Mend what FAILED above; `make setup` installs anew.")
    return EXIT_OK if all_well else EXIT_BAD_INPUT


def synthesize_command(arguments: Sequence[str]) -> int:
    """Make a synthetic cohort: ``OUT`` and the fields of its configuration."""
    from .cohort.synthetic import synthesize
    from .cohort.synthetic_config import SyntheticConfig
    from .configuration import configured

    program = "mammoroi synthesize OUT"
    if asked := help_asked(arguments):
        configured(SyntheticConfig, program, None, asked)
    out, rest = first_argument(arguments, "OUT", "the folder to write the cohort to")
    config = configured(SyntheticConfig, program, None, rest)
    print(f"Synthetic cohort: {synthesize(config, Path(out))}")
    return EXIT_OK


def check(arguments: Sequence[str]) -> int:
    """List every problem of a cohort at once: the row, what was found, what to do."""
    parser = parser_for("check", "List every problem of a cohort at once.")
    parser.add_argument("cohort", type=Path, help="folder with cohort.csv and patients.csv")
    cohort: Path = parser.parse_args(arguments).cohort
    from .cohort.accept import usable_lines
    from .cohort.check import check as find_problems
    from .cohort.check import problem_lines

    problems = find_problems(cohort)
    print("".join(f"{line}\n" for line in problem_lines(problems)), end="")
    errors = sum(problem.severity == "error" for problem in problems)
    print(f"In {cohort}: errors {errors}, warnings {len(problems) - errors}")
    print("\n".join(usable_lines(cohort, problems)))
    return EXIT_CASES_FAILED if errors else EXIT_OK


def study_config(name: str, arguments: Sequence[str]) -> StudyConfig:
    """Read the settings of a study for the command ``name``: CONFIG and what follows it."""
    from .configuration import configured, find_config
    from .stages import StudyConfig

    program = f"mammoroi {name} CONFIG"
    if asked := help_asked(arguments):
        configured(StudyConfig, program, None, asked)
    preset, rest = first_argument(
        arguments, "CONFIG", "a YAML file, or the name of a shipped preset"
    )
    return configured(StudyConfig, program, find_config(preset, "study"), rest)


def study(name: str, arguments: Sequence[str]) -> int:
    """Run the stages of a study, or the one stage that has this name."""
    from .fallen_out import fallen_out_lines
    from .stages import STAGE_NAMES
    from .study import run_study

    config = study_config(name, arguments)
    fallen_out = run_study(config, only=name if name in STAGE_NAMES else None)
    if name in ("study", "report"):
        print(f"Report: {config.out / 'report.html'}")
    if fallen_out > config.allow_failures:
        print(f"Cases excluded or failed: {fallen_out}", file=sys.stderr)
        print(
            "".join(f"{line}\n" for line in fallen_out_lines(config.out)), end="", file=sys.stderr
        )
        print(f"Mend them, or accept them: --allow_failures {fallen_out}", file=sys.stderr)
        return EXIT_CASES_FAILED
    return EXIT_OK


def help_asked(arguments: Sequence[str]) -> list[str]:
    """Give the first word that asks for help, of all or of a part (``--clinical.help``), if any.

    It is answered without the settings that a command otherwise wants first.
    """
    asked = [word for word in arguments if re.fullmatch(r"-h|--([\w.]+\.)?help", word)]
    return asked[:1]


def first_argument(arguments: Sequence[str], name: str, meaning: str) -> tuple[str, list[str]]:
    """Split off the first argument, which must be there and no option."""
    if not arguments or arguments[0].startswith("-"):
        raise MammoroiError(f"{name} is missing", f"give {meaning} first")
    return arguments[0], list(arguments[1:])


def import_command(arguments: Sequence[str]) -> int:
    """Bring in a published data set, or images and masks in folders with a table."""
    from .cohort.importers import DATASETS, import_dataset, import_images
    from .configuration import configured, find_config
    from .files import read_csv

    program = "mammoroi import CONFIG"
    if arguments and arguments[0] in ("--help", "-h"):
        print("Data sets with an importer of their own (mammoroi import NAME --help):")
        print("".join(f"  {name:<13} {what}\n" for name, (what, _) in DATASETS.items()))
        print("Anything else, as images and masks in folders with a table:")
        configured(import_images, program, None, ["--help"])
    preset, rest = first_argument(arguments, "CONFIG", "a data set, or a YAML file with settings,")
    file = find_config(f"import-{preset}" if preset in DATASETS else preset, "import")
    target = import_dataset if _names_dataset(file) else import_images
    cohort = configured(target, program, file, rest)
    print(f"Cohort: {cohort}")
    table = cohort / ("excluded.csv" if target is import_dataset else "not_imported.csv")
    left_out = len(read_csv(table))
    if left_out:
        print(f"{left_out} problems: see {table}", file=sys.stderr)
    return EXIT_CASES_FAILED if left_out else EXIT_OK


def _names_dataset(file: Path) -> bool:
    """Whether the settings in a file are those of a data set with an importer of its own."""
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False  # reading the settings says what is wrong
    return isinstance(content, dict) and "dataset" in content


SPACING_HELP = (
    "mm per pixel, for files without spacing, or a CSV file that has it for each (columns image "
    "and spacing_mm)"
)


def new_results(failures: Sequence[Failure], out: Path) -> int:
    """Name what failed, and where the results are."""
    for failure in failures:
        print(f"FAILED  {failure.case}: {failure.error} -> {failure.action}", file=sys.stderr)
    print(f"Results: {out}")
    return EXIT_CASES_FAILED if failures else EXIT_OK


def extract(arguments: Sequence[str]) -> int:
    """Run the stage ``extract``; ``--dask`` is short for ``--radiomics.dask``."""
    words = []
    for word in arguments:
        name, equals, value = word.partition("=")
        words.append(f"--radiomics.dask{equals}{value}" if name == "--dask" else word)
    return study("extract", words)


def merge(arguments: Sequence[str]) -> int:
    """Join tables of features that were extracted apart, with equal settings."""
    parser = parser_for("merge", "Join tables of features that were extracted apart.")
    parser.add_argument("folders", type=Path, nargs="+", help="studies, or their features folders")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the tables")
    given = parser.parse_args(arguments)
    from .files import read_json
    from .radiomics.merge import merge as join

    counts = read_json(join(given.folders, given.out) / "summary.json")
    print(f"{counts['used']} of {counts['cases_in']} cases have features: {given.out}")
    if counts["failed"]:
        print(f"{counts['failed']} failed: see {given.out / 'failures.csv'}", file=sys.stderr)
    return EXIT_CASES_FAILED if counts["failed"] else EXIT_OK


def features(arguments: Sequence[str]) -> int:
    """Say what every feature of a preset is."""
    from .radiomics.presets import DEFAULT

    parser = parser_for("features", "What every feature of a preset is.")
    parser.add_argument("preset", nargs="?", default=DEFAULT, help=f"name or file ({DEFAULT})")
    parser.add_argument("-o", "--out", type=Path, help="write a CSV file with all columns instead")
    given = parser.parse_args(arguments)
    from .radiomics.count import check_count
    from .radiomics.dictionary import dictionary
    from .radiomics.presets import load_preset

    table = dictionary(check_count(load_preset(given.preset)))
    if given.out is None:
        from rich.console import Console
        from rich.table import Column, Table

        shown = Table(Column("name", no_wrap=True), "meaning", "unit", "IBSI", box=None)
        for cells in table[["name", "meaning", "unit", "ibsi_code"]].itertuples(index=False):
            shown.add_row(*map(str, cells))
        Console(width=None if sys.stdout.isatty() else 200).print(shown)
        print(f"{len(table):,} features of {given.preset}; -o FILE writes all columns as CSV")
    else:
        from .files import write_csv

        print(f"{len(table):,} features: {write_csv(given.out, table)}")
    return EXIT_OK


def leakage(arguments: Sequence[str]) -> int:
    """Say what steps out of place would have bought, on the study's features, labels shuffled."""
    from .configuration import configured, find_config
    from .modeling.leakage import leakage as audit
    from .modeling.leakage import lines
    from .stages import StudyConfig

    parser = parser_for(
        "leakage",
        "What steps out of place would have bought on this study. Its settings may follow, as for "
        "`mammoroi study`.",
    )
    parser.add_argument("config", help="the study's configuration; its features are there already")
    parser.add_argument("--replicates", type=int, default=20, help="shuffles of the labels (20)")
    given, rest = parser.parse_known_args(arguments)
    config = configured(
        StudyConfig, "mammoroi leakage CONFIG", find_config(given.config, "study"), rest
    )
    table = audit(config.modeling, config.out, given.replicates)
    print("\n".join(lines(table)))
    print(f"Table: {table}")
    return EXIT_OK


def consistency(arguments: Sequence[str]) -> int:
    """Say whether printed results are arithmetically possible."""
    parser = parser_for("consistency", "Whether printed results are arithmetically possible.")
    parser.add_argument(
        "tables",
        type=Path,
        nargs="*",
        help="CSV files or folders of them (the tables of the published study)",
    )
    parser.add_argument("-o", "--out", type=Path, help="write every check of every row as CSV")
    given = parser.parse_args(arguments)
    from .files import write_csv
    from .modeling.consistency import (
        PAPER,
        check_tables,
        findings_table,
        paper_source,
        read_tables,
        summary_lines,
    )

    tables = read_tables(given.tables or [PAPER])
    findings = check_tables(tables)
    if not given.tables:
        print(f"{paper_source()}\n")
    print("\n".join(summary_lines(tables, findings)))
    if given.out is not None:
        print(f"{len(findings)} checks: {write_csv(given.out, findings_table(findings))}")
    contradicted = any(f.severity in ("impossible", "inconsistent") for f in findings)
    return EXIT_CASES_FAILED if contradicted else EXIT_OK


def standards(arguments: Sequence[str]) -> int:
    """Fill in the reporting standards, the methods section and the model cards of a study."""
    parser = parser_for("standards", "Fill in checklists, methods section and model cards.")
    parser.add_argument("study", type=Path, help="folder of a study")
    folder: Path = parser.parse_args(arguments).study
    from .reporting.methods import write_methods
    from .reporting.model_card import write_cards
    from .reporting.standards import ANSWERS, score, write_standards
    from .reporting.wording import plural
    from .stages import STAGES, refuse_outdated

    if folder.is_dir() and not (folder / "splits.json").exists():  # such as a cohort's own folder
        raise MammoroiError(
            f"{folder} is no study: it has no splits.json",
            "give the folder that a configuration names as `out`, after `mammoroi study`",
        )
    refuse_outdated(folder, next(stage.needs for stage in STAGES if stage.name == "report"))
    filled = write_standards(folder)
    if "metrics" in filled:  # a study of the masks alone has none
        print(score(filled["metrics"]))
    print(f"Checklists: {folder / 'standards'} (answers: {folder / ANSWERS})")
    print(f"Methods section: {write_methods(folder)}")
    print(f"{plural(len(write_cards(folder)), 'model card')}: {folder / 'cards'}")
    return EXIT_OK


def stage(name: str) -> Callable[[Sequence[str]], int]:
    """Give the command that runs one stage of a study."""
    return lambda arguments: study(name, arguments)
