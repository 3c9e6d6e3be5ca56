"""What is installed with the package: every file that the code reads, and nobody's own."""

from pathlib import Path

import pytest

import mammoroi

ROOT = Path(mammoroi.__file__).parent


@pytest.fixture(scope="module")
def shipped():
    """Data files of each package, by the folder's name relative to the root."""
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout")
    setuptools = pytest.importorskip("setuptools")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        project = setuptools.Distribution()
        project.parse_config_files(["pyproject.toml"])
        command = project.get_command_obj("build_py")
        command.ensure_finalized()
        return {
            Path(folder).as_posix(): {str(file) for file in files}
            for _, folder, _, files in command.data_files
        }


def test_nothing_of_the_root_is_shipped(shipped):
    """A cohort, a study or a configuration that lies there is the user's."""
    assert shipped["."] == {"py.typed"}


ROOMS = ("clinic", "cohort", "reporting", "configs", "checkpoints/phantoms")


@pytest.mark.parametrize("room", ROOMS)
def test_files_that_are_no_modules_are_shipped(shipped, room):
    own = {
        str(path.relative_to(ROOT / room))
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert own
    package = room.split("/")[0]
    inside = Path(room).relative_to(package)
    assert {str(inside / name) for name in own} <= shipped[package]


def test_every_folder_with_modules_is_a_package(shipped):
    rooms = {path.parent for path in ROOT.glob("[!.]*/**/__init__.py")} | {ROOT / "radiomics"}
    rooms = {path.relative_to(ROOT).as_posix() for path in rooms}
    made = ("tests", "benchmarks", "build")
    assert {room for room in rooms if not room.startswith(made)} <= shipped.keys()
