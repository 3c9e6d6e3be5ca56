"""How stages write: atomically, with equal bytes for equal results."""

import copy
import dataclasses
import json
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from mammoroi.errors import Failure, MammoroiError, of_the_disk
from mammoroi.files import (
    atomic,
    check_writable,
    plain,
    read_csv,
    read_json,
    sha256_file,
    sha256_of,
    write_csv,
    write_failures,
    write_json,
    write_text,
)


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("good")

    def fail_halfway():
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert target.read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(20_000)),
        lambda path: np.save(path, np.zeros(20_000)),
        lambda path: save_file({"a": np.zeros(20_000)}, path),
    ],
    ids=["python", "numpy", "safetensors"],
)
def test_a_full_disk_is_told_with_the_name_of_the_file(write, tmp_path):
    target = tmp_path / "result.npy"
    target.write_text("good")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError) as caught, atomic(target) as temporary:  # noqa: PT011
            write(temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = of_the_disk(caught.value)
    assert told is not None
    assert told.found.startswith(f"{target} could not be written: ")
    assert "free space" in told.action
    assert Failure.of("a", "b", caught.value).error == told.found
    assert target.read_text() == "good"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_in_reading_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic(tmp_path / "a") as temporary:
        temporary.write_text((tmp_path / "b").read_text())
    assert caught.value.filename == str(tmp_path / "b")
    assert of_the_disk(caught.value) is None


def test_a_folder_that_takes_no_file_is_found_out(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        check_writable(tmp_path / "file")
    with pytest.raises(NotADirectoryError) as caught:
        check_writable(tmp_path / "file" / "folder")
    told = of_the_disk(caught.value)
    assert told is not None
    assert "cannot be read or written: Not a directory" in told.found


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path, "text")
    told = of_the_disk(caught.value)
    assert told is not None
    assert told.found == f"{tmp_path} cannot be read or written: Is a directory"


def test_atomic_keeps_the_suffix(tmp_path):
    with atomic(tmp_path / "table.parquet") as temporary:
        assert temporary.suffix == ".parquet"


def test_plain_knows_numpy_paths_data_classes_and_nan():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        folder: Path
        values: tuple[float, ...]

    value = {"a": Settings(Path("x/y"), (1.0, float("nan"))), "b": np.arange(3), "c": np.float64(2)}
    assert plain(value) == {
        "a": {"folder": "x/y", "values": [1.0, None]},
        "b": [0, 1, 2],
        "c": 2.0,
    }


def test_json_round_trip_and_its_errors(tmp_path):
    path = write_json(tmp_path / "a.json", {"name": "Ärztin"})
    assert read_json(path) == {"name": "Ärztin"}
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Ärztin"}
    path.write_text("{half")
    with pytest.raises(MammoroiError, match=r"a\.json is not JSON"):
        read_json(path)
    with pytest.raises(MammoroiError, match="does not exist"):
        read_json(tmp_path / "none.json")


def test_only_an_empty_cell_is_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,her2\nNA,zero\nP2,\n")
    table = read_csv(path, dtype=str)
    assert table["patient_id"].tolist() == ["NA", "P2"]
    assert table["her2"].isna().tolist() == [False, True]


def test_an_empty_table_is_an_error(tmp_path):
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(MammoroiError, match="is not a table"):
        read_csv(tmp_path / "t.csv")


def test_equal_tables_are_equal_bytes(tmp_path):
    table = pd.DataFrame({"x": [0.1, 1 / 3], "name": ["a", "b"]})
    first, second = (write_csv(tmp_path / name, table.copy()) for name in ("1.csv", "2.csv"))
    assert sha256_file(first) == sha256_file(second)
    assert read_csv(first)["x"].tolist() == [0.1, 1 / 3]


def test_numbers_are_read_to_their_last_digit(tmp_path):
    """A patient whose risk is the threshold is positive before and after it was written."""
    numbers = np.random.default_rng(0).random(1000)
    path = write_csv(tmp_path / "t.csv", pd.DataFrame({"risk": numbers}))
    assert np.array_equal(read_csv(path)["risk"], numbers)


@pytest.mark.parametrize(("version", "asks"), [("2.3.3", True), ("3.0.2", True), ("3.1.0", False)])
def test_pandas_is_asked_for_the_last_digit_only_where_it_must_be(
    tmp_path, monkeypatch, version, asks
):
    path = write_csv(tmp_path / "t.csv", pd.DataFrame({"x": [0.1]}))
    options = {}
    monkeypatch.setattr(pd, "__version__", version)
    monkeypatch.setattr(pd, "read_csv", lambda _, **given: options.update(given))
    read_csv(path)
    assert ("float_precision" in options) == asks


def test_failures_have_their_columns_even_when_there_are_none(tmp_path):
    path = write_failures(tmp_path / "failures.csv", [])
    assert read_csv(path).columns.tolist() == ["case", "stage", "error", "action"]
    failure = Failure.of("I1", "radiomics/manual", MammoroiError("mask is empty", "outline it"))
    row = read_csv(write_failures(path, [failure])).iloc[0]
    assert row.tolist() == ["I1", "radiomics/manual", "mask is empty", "outline it"]


def test_a_surprise_is_recorded_with_its_type():
    failure = Failure.of("I1", "segmentation", ZeroDivisionError("division by zero"))
    assert failure.error == "ZeroDivisionError: division by zero"


def test_the_hash_ignores_the_order_of_keys_but_not_the_values():
    assert sha256_of({"a": 1, "b": 2}) == sha256_of({"b": 2, "a": 1})
    assert sha256_of({"a": 1}) != sha256_of({"a": 2})


def test_an_error_survives_the_way_back_from_a_worker_process():
    error = copy.copy(MammoroiError("mask is empty", "outline it"))
    assert (error.found, error.action) == ("mask is empty", "outline it")
