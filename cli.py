"""The command ``mammoroi``: its subcommands (:mod:`.commands`), its help, its exit codes.

Exit codes: 0 all is well; 1 the input cannot be used (one line says what and what to do);
2 the command line cannot be understood; 3 the run went through, but cases failed or were excluded.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import __version__, commands, commands_clinic, commands_segmentation
from .errors import EXIT_BAD_INPUT, EXIT_OK, MammoroiError, of_the_disk

EXIT_USAGE = 2


@dataclass(frozen=True)
class Command:
    """A subcommand: what it is for, and what it runs.

    Attributes
    ----------
    summary : str
        One line for ``mammoroi --help``.
    run : callable
        Takes the arguments after the name, returns the exit code.
    """

    summary: str
    run: Callable[[Sequence[str]], int]


COMMANDS: dict[str, Command] = {
    "demo": Command("the whole way on phantoms", commands.demo),
    "doctor": Command("what is installed, does it work", commands.doctor),
    "synthesize": Command("make a synthetic cohort", commands.synthesize_command),
    "import": Command(
        "bring in a published data set, or images, masks and a table",
        commands.import_command,
    ),
    "check": Command("list every problem of a cohort", commands.check),
    "study": Command("all stages, resumable", commands.stage("study")),
    "accept": Command("stage 1: the cohort, checked and split", commands.stage("accept")),
    "prepare": Command(
        "arrays for a training elsewhere, without mammograms",
        commands_segmentation.prepare,
    ),
    "train": Command("stage 2: the U-Nets", commands_segmentation.train),
    "segment": Command(
        "stage 3: automatic masks; or masks for single mammograms",
        commands_segmentation.segment,
    ),
    "agree": Command("stage 4: Dice and more", commands.stage("agree")),
    "extract": Command("stage 5: features", commands.extract),
    "perturb": Command(
        "stage 6, where it is asked for: features of perturbed masks",
        commands.stage("perturb"),
    ),
    "model": Command("stage 7: classifiers", commands.stage("model")),
    "compare": Command("stage 8: manual against automatic masks", commands.stage("compare")),
    "tables": Command("stage 9: clinical tables, regressions", commands.stage("tables")),
    "report": Command("stage 10: report.html", commands.stage("report")),
    "merge": Command("join tables of features", commands.merge),
    "features": Command("what every feature of a preset is", commands.features),
    "leakage": Command(
        "what steps out of place would have bought",
        commands.leakage,
    ),
    "standards": Command("checklists, methods section, model cards", commands.standards),
    "consistency": Command("are printed results possible", commands.consistency),
    "bundle": Command(
        "freeze a study into one file; or show what is in one",
        commands_clinic.bundle,
    ),
    "infer": Command(
        "masks and risks for new mammograms",
        commands_clinic.infer,
    ),
    "validate": Command(
        "a frozen model on a second cohort that has outcomes",
        commands_clinic.validate,
    ),
    "serve": Command(
        "mammograms in from a PACS or a folder, results back, by itself",
        commands_clinic.serve,
    ),
    "deidentify": Command(
        "mammograms for research, without who they are of",
        commands_clinic.deidentify,
    ),
    "export": Command(
        "networks as ONNX, torch.export, MONAI Bundle",
        commands_segmentation.export_command,
    ),
}


def help_text() -> str:
    """Text of ``mammoroi --help``."""
    lines = [
        f"mammoroi {__version__}: tumour masks, radiomics and classifiers on mammograms.",
        "",
        "usage: mammoroi COMMAND ...      (mammoroi COMMAND --help tells more)",
        "",
    ]
    lines += [f"  {name:<12}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "For research. Not a medical device."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    import difflib

    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or file of another alphabet lacks signs such as mm²: no reason to end.
        sys.stdout.reconfigure(errors="replace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return EXIT_OK
    if words[0] in ("-V", "--version"):
        print(__version__)
        return EXIT_OK
    if words[0] not in COMMANDS:
        close = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"did you mean `mammoroi {close[0]}`?" if close else "see `mammoroi --help`"
        print(f"mammoroi: no command {words[0]!r} -> {hint}", file=sys.stderr)
        return EXIT_USAGE
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("mammoroi").setLevel(logging.INFO)
    try:
        return COMMANDS[words[0]].run(words[1:])
    except MammoroiError as error:
        print(f"mammoroi {words[0]}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:  # whoever reads what is printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as of SIGPIPE: what was left to say may have been of failed cases
    except OSError as error:
        refused = of_the_disk(error)
        if refused is None:
            raise
        print(f"mammoroi {words[0]}: {refused}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("stopped; run the same command to go on", file=sys.stderr)
        return 130
