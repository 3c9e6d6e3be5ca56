"""What the commands of the room `segmentation` do; see :mod:`.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .commands import SPACING_HELP, new_results, parser_for, study, study_config
from .errors import EXIT_CASES_FAILED, EXIT_OK, MammoroiError


def prepare(arguments: Sequence[str]) -> int:
    """Make the arrays from which the networks learn, for a machine that has no mammograms."""
    from .fallen_out import OTHERS_FAILURES, PREPARED_FAILURES
    from .files import read_csv
    from .segmentation.train import prepare_all

    config = study_config("prepare", arguments)
    folder = prepare_all(config.segmentation, config.out)
    print(f"To train elsewhere: {config.out / 'splits.json'} and {folder}, then train --prepared")
    tables = [config.out / name for name in (PREPARED_FAILURES, *OTHERS_FAILURES)]
    failed = {table: len(read_csv(table)) for table in tables if table.exists()}
    for table, lines in failed.items():
        if lines:
            print(f"{table}: {lines} lines", file=sys.stderr)
    return EXIT_CASES_FAILED if any(failed.values()) else EXIT_OK


def train(arguments: Sequence[str]) -> int:
    """Train the networks of a study; with ``--prepared`` from the arrays alone."""
    if "--help" in arguments or "-h" in arguments:
        print("--prepared trains from the arrays of `mammoroi prepare`, without mammograms.\n")
    if "--prepared" not in arguments:
        return study("train", arguments)
    from .segmentation.train import train_prepared

    config = study_config("train", [word for word in arguments if word != "--prepared"])
    print(f"Networks: {train_prepared(config.segmentation, config.out)}")
    return EXIT_OK


def segment(arguments: Sequence[str]) -> int:
    """Draw the masks of a study (a configuration is named), or of single mammograms."""
    from .configuration import shipped_configs

    first = Path(arguments[0] if arguments else "")
    settings = first.suffix in (".yaml", ".yml") and not first.is_dir()
    if settings or (str(first) in shipped_configs() and not _holds_mammograms(first)):
        return study("segment", arguments)
    parser = parser_for(
        "segment",
        "Masks for new mammograms. `mammoroi segment CONFIG` draws those of a study instead; its "
        "settings: `mammoroi study --help`.",
    )
    parser.add_argument("images", type=Path, nargs="+", help="mammograms, or folders of them")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        help=f"folder for the results ({NEW_MASKS}, which must be empty then)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        help="a study folder, or one of fold-0, ... (the shipped model, made on phantoms)",
    )
    parser.add_argument("--spacing_mm", metavar="MM|TABLE", help=SPACING_HELP)
    given = parser.parse_args(arguments)
    from .clinic.patients import expand
    from .cohort.given_spacing import given_spacing
    from .segmentation.new_mammograms import segment_images
    from .segmentation.weights import demonstration_model

    model = given.model or demonstration_model()
    out = given.out or new_masks_folder()
    images = expand(given.images, out)
    spacing = given_spacing(given.spacing_mm)
    return new_results(segment_images(model, images, out, spacing), out)


def _holds_mammograms(path: Path) -> bool:
    """Whether something is there under this name that is no study folder, as `make demo` makes."""
    return path.exists() and not (path / "config.json").exists()


NEW_MASKS = Path("masks")
"""Where masks of new mammograms go when nothing is said."""


def new_masks_folder() -> Path:
    """Give the folder for masks when none is named: empty, so that nothing is written over.

    Raises
    ------
    MammoroiError
        When there is something in it, such as the masks of another run or of a study.
    """
    if NEW_MASKS.is_dir() and any(NEW_MASKS.iterdir()):
        raise MammoroiError(
            f"the folder {NEW_MASKS} is not empty, and no other is named",
            "name one with --out",
        )
    return NEW_MASKS


def export_command(arguments: Sequence[str]) -> int:
    """Write trained networks as files that other programs run."""
    from .segmentation.export import FORMATS, export

    parser = parser_for("export", "Trained networks as files that other programs run.")
    parser.add_argument(
        "model", type=Path, help="a study folder, one of fold-0, ..., or one of these"
    )
    parser.add_argument("--to", required=True, help=" | ".join(FORMATS))
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write to")
    given = parser.parse_args(arguments)
    print(f"Exported: {export(given.model, given.to, given.out)}")
    return EXIT_OK
