"""The command: help at once, errors in one line, exit codes that tell the truth."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mammoroi
from mammoroi.cli import COMMANDS, Command, main
from mammoroi.cohort.importers import DATASETS

ROOT = Path(mammoroi.__file__).parent


def test_help_needs_no_heavy_import():
    """Neither torch nor pandas may be loaded for `mammoroi --help` or a mistyped command."""
    code = (
        "import sys; from mammoroi.cli import main; main(['--help']);"
        "heavy = {'torch', 'pandas', 'numpy', 'SimpleITK', 'radiomics', 'matplotlib'};"
        "sys.exit(len(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_a_mistyped_command_names_the_nearest(capsys):
    assert main(["segmnet"]) == 2
    assert "did you mean `mammoroi segment`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study"], "CONFIG is missing"),
        (["study", "nowhere.yaml"], "no file and no shipped preset"),
        (["check", "nowhere"], "nowhere"),
        (["train", "demo", "--segmentation.epoch", "1"], "did you mean --segmentation.epochs?"),
        (["synthesize", "x", "--n_patients", "0"], "n_patients is 0"),
        (["import", "nowhere.yaml"], "nowhere.yaml"),
        (["infer", "nowhere", "a.dcm", "--out", "o"], "nowhere"),
        (["standards", "."], "is no study: it has no splits.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert " -> " in printed


def refuse_with(error):
    def run(_):
        raise error

    return Command("", run)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_one_line_and_exit_code_1(code, capsys, monkeypatch):
    error = OSError(code, os.strerror(code), "my-study/run.json")
    monkeypatch.setitem(COMMANDS, "check", refuse_with(error))
    assert main(["check", "x"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("mammoroi check: my-study/run.json c")
    assert printed.count("\n") == 1
    assert " -> " in printed


@pytest.mark.parametrize("coding", ["ascii", "cp1251"])
def test_a_terminal_of_another_alphabet_is_no_reason_to_end(coding):
    code = (
        "import sys; from mammoroi import cli; "
        "cli.COMMANDS['doctor'] = cli.Command('', lambda _: print('12 mm²', flush=True) or 0); "
        "sys.exit(cli.main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": coding},
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"12 mm?"), done.stderr


def test_an_error_that_nobody_foresaw_keeps_its_traceback(monkeypatch):
    monkeypatch.setitem(COMMANDS, "check", refuse_with(OSError(errno.EIO, "a fault")))
    with pytest.raises(OSError, match="a fault"):
        main(["check", "x"])


def test_the_folder_for_masks_is_tried_before_anything_is_drawn(tmp_path, capsys, monkeypatch):
    def load_to_draw(folder):
        raise AssertionError("the networks were loaded")

    monkeypatch.setattr("mammoroi.segmentation.new_mammograms.load_to_draw", load_to_draw)
    taken = tmp_path / "taken"
    taken.touch()
    assert main(["segment", str(taken), "--out", str(taken)]) == 1
    assert f"{taken} cannot be read or written: File exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name, capsys):
    """`--help` is answered with the usage and exit code 0, whatever else a command asks for."""
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: mammoroi {name}" in printed
    assert len(printed[printed.index("usage: ") :].split("\n\n")[0]) < 600  # not every setting
    assert ("--prepared" in printed) == (name == "train")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_something_of_every_option(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    printed = capsys.readouterr().out
    options = re.split(r"^(?=  -)", printed.partition("\noptions:")[2], flags=re.MULTILINE)[1:]
    assert options
    for option in options:
        asked, *said = re.split(r"\s{2,}", option.split("\n\n")[0].strip(), maxsplit=1)
        assert said, f"{name} is silent of {asked}"
        assert not said[0].startswith("(type"), f"{name} is silent of {asked}"
    assert ":mod:" not in printed


def test_help_of_a_part_needs_no_configuration(capsys):
    for words in (["study", "--clinical.help"], ["serve", "--listener.tls.help"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 0
        assert words[1].removesuffix("help") in capsys.readouterr().out


@pytest.mark.parametrize("name", DATASETS)
def test_data_sets_are_imported_by_name(name, capsys, tmp_path, monkeypatch):
    """The preset of every data set is read, and its folder asked for."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["import", "--help"])
    assert stopped.value.code == 0
    assert f"  {name} " in capsys.readouterr().out
    assert main(["import", name, "--folder", "nowhere", "--several", "largest"]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err
    assert main(["import", name, "--spacing", "0.05"]) == 1
    assert "did you mean --spacing_mm?" in capsys.readouterr().err


def test_one_stage_asks_for_the_ones_before_it(capsys, tmp_path):
    words = ["extract", "demo", "--out", str(tmp_path / "s"), "--cohort.folder", str(tmp_path)]
    assert main(words) == 1
    assert "stage 'extract' needs accept, segment" in capsys.readouterr().err


def test_which_radiomics_is_which():
    """From the repository root and from elsewhere, `import radiomics` is pyradiomics."""
    code = (
        "import radiomics, mammoroi.radiomics.config as ours;"
        "assert hasattr(radiomics, 'featureextractor') or radiomics.__path__;"
        "from radiomics import featureextractor; print(featureextractor.__file__); "
        "print(ours.__file__)"
    )
    for folder in (ROOT, ROOT.parent):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
        )
        theirs, ours = done.stdout.split()
        assert Path(theirs).parent.name == "radiomics"
        assert Path(theirs).parent != ROOT / "radiomics"
        assert Path(ours) == ROOT / "radiomics" / "config.py"
    assert not (ROOT / "radiomics" / "__init__.py").exists()
