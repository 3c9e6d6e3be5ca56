"""What the commands of the room `clinic` do; see :mod:`.commands`."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from collections.abc import Sequence
from pathlib import Path

from .commands import SPACING_HELP, first_argument, help_asked, new_results, parser_for
from .errors import EXIT_OK, MammoroiError


def bundle(arguments: Sequence[str]) -> int:
    """Freeze a finished study into one file, or show what is in such a file."""
    if arguments and arguments[0] == "inspect":
        return _inspect(arguments[1:])
    parser = parser_for(
        "bundle",
        "Freeze a finished study into one file that anybody can use on new mammograms. "
        "`mammoroi bundle inspect FILE` shows what is in one.",
    )
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="the file to write, such as model.mroi"
    )
    parser.add_argument("--name", help="what it is called (the cohort's name)")
    given = parser.parse_args(arguments)
    from .clinic.bundle import open_bundle
    from .clinic.freeze import write_bundle

    made = open_bundle(write_bundle(given.study, given.out, given.name))
    print(f"Bundle: {given.out} ({made.name}, SHA-256 {made.sha256})")
    return EXIT_OK


def _inspect(arguments: Sequence[str]) -> int:
    parser = parser_for("bundle inspect", "Check a bundle and show what is in it.")
    parser.add_argument("file", type=Path, help="a bundle, or the folder of a finished study")
    parser.add_argument("--card", action="store_true", help="print the model card instead")
    given = parser.parse_args(arguments)
    from .clinic.bundle import open_bundle
    from .clinic.inspect import lines

    found = open_bundle(given.file)
    print(found.card if given.card else "\n".join(lines(found)))
    return EXIT_OK


def infer(arguments: Sequence[str]) -> int:
    """Process new mammograms with a bundle: masks, features, risks, pages, DICOM objects."""
    parser = parser_for("infer", "Masks, features and risks for new mammograms.")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="mammograms, or folders of them"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--model",
        type=Path,
        help="a bundle, or the folder of a finished study, which may also be named before the "
        "images (the shipped bundle, made on phantoms)",
    )
    parser.add_argument("--spacing_mm", metavar="MM|TABLE", help=SPACING_HELP)
    parser.add_argument("--batch", help="centre or device, where the model needs it")
    yes_or_no = BooleanOptionalAction
    parser.add_argument("--objects", action=yes_or_no, default=True, help="DICOM SEG and SR (yes)")
    parser.add_argument(
        "--capture", action=yes_or_no, default=False, help="DICOM secondary captures, too (no)"
    )
    parser.add_argument(
        "--geometry", default="none", help="of the SEG: none, or nominal (see docs/objects.md)"
    )
    parser.add_argument("--pages", action=yes_or_no, default=True, help="a page a patient (yes)")
    given = parser.parse_args(arguments)
    from .clinic.privacy import hide_values

    hide_values()
    model, images = _model_first(given.model, given.images)
    from .clinic.closing import closing_lines
    from .clinic.write import Outputs, process
    from .cohort.given_spacing import given_spacing

    failures = process(
        images,
        given.out,
        model,
        spacing_mm=given_spacing(given.spacing_mm),
        batch=given.batch,
        outputs=Outputs(given.objects, given.capture, given.geometry, given.pages),
    )
    print("\n".join(closing_lines(given.out)))
    return new_results(failures, given.out)


def _model_first(model: Path | None, images: list[Path]) -> tuple[Path | None, list[Path]]:
    """Take a study folder that is named before the images as the model."""
    if model is not None or not (images[0] / "config.json").exists():
        return model, images
    if not images[1:]:
        raise MammoroiError(
            f"{images[0]} is a study folder, and no image is named",
            "name mammograms or folders of them after it",
        )
    return images[0], images[1:]


def serve(arguments: Sequence[str]) -> int:
    """Run the service beside a PACS until it is told to stop."""
    from .clinic.service.config import ServeConfig
    from .configuration import configured, find_config

    program = "mammoroi serve CONFIG"
    if asked := help_asked(arguments):
        configured(ServeConfig, program, None, asked)
    meaning = "a YAML file, or the name of a shipped preset"
    preset, rest = first_argument(arguments, "CONFIG", meaning)
    config = configured(ServeConfig, program, find_config(preset, "serve"), rest)
    try:
        from .clinic.service.processing import Processing
        from .clinic.service.run import serve as run
    except ModuleNotFoundError as error:
        raise MammoroiError(
            f"the package {error.name} is missing", "pip install 'mammoroi[serve]'"
        ) from None
    run(config, Processing(config.processing))
    return EXIT_OK


def validate(arguments: Sequence[str]) -> int:
    """Try a frozen model on a second cohort that has outcomes."""
    parser = parser_for("validate", "A frozen model on a second cohort: external validation.")
    parser.add_argument("cohort", type=Path, help="folder with cohort.csv and patients.csv")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--model",
        type=Path,
        help="a bundle, or the folder of a finished study (the shipped bundle, made on phantoms)",
    )
    parser.add_argument("--batch", help="centre or device, where the model needs it")
    given = parser.parse_args(arguments)
    from .clinic.bundle import open_bundle
    from .clinic.closing import validation_lines
    from .clinic.validate import validate as validate_model

    failures = validate_model(open_bundle(given.model), given.cohort, given.out, batch=given.batch)
    print("".join(f"{line}\n" for line in validation_lines(given.out)), end="")
    code = new_results(failures, given.out)
    print(f"Report: {given.out / 'report.html'}")
    return code


def deidentify(arguments: Sequence[str]) -> int:
    """Write copies of DICOM mammograms and masks without who they are of."""
    parser = parser_for(
        "deidentify", "Copies of DICOM mammograms and masks for research (PS3.15 basic profile)."
    )
    parser.add_argument("inputs", type=Path, nargs="+", metavar="IN", help="DICOM files, folders")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the copies")
    parser.add_argument("--key", type=Path, required=True, help="the key's file; stays at home")
    parser.add_argument("--new-key", action="store_true", help="make the key first")
    parser.add_argument(
        "--dates",
        choices=("remove", "shift"),
        default="remove",
        help="remove dates, or move all of one patient back by the same number of days (remove)",
    )
    parser.add_argument(
        "--patient",
        choices=("remove", "keep"),
        default="remove",
        help="sex, age, size and weight (remove)",
    )
    parser.add_argument(
        "--device",
        choices=("remove", "keep"),
        default="remove",
        help="serial number, station name and detector ID (remove)",
    )
    parser.add_argument(
        "--unstated",
        choices=("refuse", "accept"),
        default="refuse",
        help="images that do not say whether text is burned in (refuse; accept: you "
        "looked at them)",
    )
    parser.add_argument("--crosswalk", type=Path, help="write who is who, outside OUT")
    given = parser.parse_args(arguments)
    from .clinic.deidentify import Export
    from .clinic.deidentify import deidentify as export_images
    from .clinic.privacy import hide_values, new_key

    hide_values()
    if given.new_key:
        print(f"New key: {new_key(given.key)}. Keep it, and keep it secret.")
    keep = {name for name in ("dates", "patient", "device") if vars(given)[name] != "remove"}
    export = Export(given.key, frozenset(keep), given.unstated == "accept", given.crosswalk)
    return new_results(export_images(given.inputs, given.out, export), given.out)
