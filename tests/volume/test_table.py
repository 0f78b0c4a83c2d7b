"""Tables, written and read back."""

from __future__ import annotations

import builtins
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.errors import InputError, MachineError, TargetError, UsageError
from mitotools.volume.table import SUFFIXES, check_table, rows_of, write_table
from mitotools.volume.table_reading import read_table

HISTORY = ({"command_line": "mitotools stats é", "parameters": {"summary": False}},)


def written(file, columns):
    write_table(file, list(columns), rows_of(columns), HISTORY, force=True)
    return file


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, column in expected.items():
        if column is None:
            assert found[name] is None
        else:
            assert found[name].dtype.kind == column.dtype.kind
            assert np.array_equal(found[name], column, equal_nan=column.dtype.kind == "f")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_come_back_with_their_types_and_history(tmp_path, suffix):
    columns = {
        "id": np.array([1, 2**53 + 1, 2**64 - 1], np.uint64),
        "voxels": np.array([-1, 0, 2**62 + 1]),
        "volume_um3": np.array([0.1, 1e-300, np.inf]),
        "skeleton_length_um": np.array([1.5, np.nan, 3.0]),
        "touches_border": np.array([True, False, True]),
        "surface_um2": None,
        "name": np.array(['"a', 'b,"c"', "é"]),
    }
    found, history = read_table(written(tmp_path / f"t{suffix}", columns))
    assert_same(found, columns)
    assert history == HISTORY


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 6))
def test_all_formats_say_the_same(data, count):
    def drawn(values, dtype):
        return np.array(data.draw(st.lists(values, min_size=count, max_size=count)), dtype)

    columns = {
        "id": drawn(st.integers(0, 2**64 - 1), np.uint64),
        "host": drawn(st.integers(0, 3), np.uint64),
        "voxels": drawn(st.integers(-(2**63), 2**63 - 1), np.int64),
        "volume_um3": drawn(st.floats(allow_nan=False), np.float64),
        "touches_border": drawn(st.booleans(), np.bool_),
        "elongation": None,
    }
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            found, _ = read_table(written(Path(folder, f"t{suffix}"), columns))
            assert_same(found, columns)


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".parquet"])
def test_a_table_without_rows_keeps_its_header(tmp_path, suffix):
    file = tmp_path / f"t{suffix}"
    write_table(file, ["id", "volume_um3"], [], HISTORY, force=False)
    found, _ = read_table(file)
    assert {name: (column.dtype, len(column)) for name, column in found.items()} == {
        "id": (np.uint64, 0),
        "volume_um3": (np.float64, 0),
    }


def test_a_list_without_rows_has_no_columns(tmp_path):
    write_table(tmp_path / "t.json", ["id"], [], HISTORY, force=False)
    assert read_table(tmp_path / "t.json")[0] == {}


def test_what_is_no_number_is_null_in_json(tmp_path):
    write_table(tmp_path / "t.json", ["a", "b"], [(float("nan"), None), (1.0, True)], HISTORY, force=False)
    assert json.loads((tmp_path / "t.json").read_text()) == [{"a": None, "b": None}, {"a": 1.0, "b": True}]


@pytest.mark.parametrize("suffix", [".tsv", ".json", ".parquet"])
def test_missing_values_are_nan_where_others_are_there(tmp_path, suffix):
    write_table(
        tmp_path / f"t{suffix}", ["a", "b", "c"], [(1, None, True), (None, None, None)], (), force=False
    )
    found, _ = read_table(tmp_path / f"t{suffix}")
    assert_same(found, {"a": np.array([1.0, np.nan]), "b": None, "c": np.array([1.0, np.nan])})


def test_parquet_has_types_nulls_and_its_history_inside(tmp_path):
    import pyarrow.parquet

    columns = {"id": np.array([7], np.uint64), "voxels": np.array([3]), "volume_um3": None}
    table = pyarrow.parquet.read_table(written(tmp_path / "t.parquet", columns))
    assert [str(field.type) for field in table.schema] == ["uint64", "int64", "double"]
    assert table.to_pylist() == [{"id": 7, "voxels": 3, "volume_um3": None}]
    assert json.loads(table.schema.metadata[b"history"]) == list(HISTORY)
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize("use", [lambda file: check_table(file, force=False), read_table])
def test_parquet_without_its_extra_names_the_command(tmp_path, monkeypatch, use):
    file = tmp_path / "t.parquet"
    if use is read_table:
        written(file, {"id": np.array([1], np.uint64)})
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MachineError, match=r"pip install 'mitotools\[parquet\]'"):
        use(file)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tsv", b"", "line 1: has no header"),
        ("a.tsv", b"1\t2\n3\t4\n", "line 1: expected the names of columns, found '1'"),
        ("a.tsv", b"id\t\n3\t4\n", "line 1: expected the names of columns, found ''"),
        ("a.tsv", b"id\tid\n3\t4\n", "line 1: has two columns 'id'"),
        ("a.tsv", b"id\tv\n3\t4\n5\n", "line 3: has 1 fields, the header 2"),
        ("a.csv", b"id,v\n3,4\n5,6,7\n", "line 3: has 3 fields, the header 2"),
        ("a.csv", b'id,v\n3,"4\n', "is malformed"),
        ("a.tsv", b"id\tv\n3\t4\n\xff\t4\n", "line 3: is no UTF-8 text"),
        ("a.tsv", b"id\n1\n-3\n", "line 3: id is -3, which is no id"),
        ("a.tsv", b"id\n18446744073709551616\n", "line 2: id is .*no id"),
        ("a.tsv", b"id\tv\n\t3\n", "line 2: id is None"),
        ("a.csv", b"id\n1.5\n", "line 2: id is 1.5"),
        ("a.json", b"", "line 1: is no JSON"),
        ("a.json", b'[{"id": 1},\n{]', "line 2: is no JSON"),
        ("a.json", b'{"id": 1}', "row 1: is no object"),
        ("a.json", b"3", "is no list of rows"),
        ("a.json", b"[3]", "row 1: is no object"),
        ("a.json", b'[{"id": 1}, {"v": 1}]', "row 2: has other columns than the first"),
        ("a.json", b'[{"id": 1, "id": 2}]', "row 1: has two columns 'id'"),
        ("a.json", b'[{"id": 1, "v": [2]}]', "row 1: v is no number and no text"),
        ("a.json", b'[{"id": true}]', "row 1: id is True"),
        ("a.json", b"[" * 100_000, "cannot be read as JSON"),
        ("a.json", b'[{"v": ' + b"9" * 5000 + b"}]", "cannot be read as JSON"),
        ("a.json", b'[{"v": ' + b"9" * 400 + b"}]", "JSON .a number of 400 digits"),
        ("a.parquet", b"PAR1 no PAR1", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_table_gets_one_line(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(InputError, match=words) as caught:
        read_table(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_parquet_file_with_one_column_twice_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table([[1], [2]], names=["id", "id"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="two columns 'id'"):
        read_table(tmp_path / "a.parquet")


def test_a_parquet_file_of_other_things_than_numbers_and_text_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [1], "v": [[1, 2]]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="its column 'v' is of type list"):
        read_table(tmp_path / "a.parquet")


def test_folders_add_no_columns_to_a_parquet_file(tmp_path):
    (tmp_path / "animal=1").mkdir()
    file = written(tmp_path / "animal=1" / "t.parquet", {"id": np.array([1], np.uint64)})
    assert list(read_table(file)[0]) == ["id"]


def test_a_file_that_is_missing_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "a.tsv")
    (tmp_path / "b.tsv").mkdir()
    with pytest.raises(InputError, match="is no file"):
        read_table(tmp_path / "b.tsv")
    with pytest.raises(UsageError, match=r"\.parquet"):
        read_table(tmp_path / "a.txt")


def test_a_table_from_a_spreadsheet_is_read_too(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfid,note\r\n1,"two\r\nlines"\r\n2,3\r\n')
    found, history = read_table(tmp_path / "a.csv")
    assert_same(found, {"id": np.array([1, 2], np.uint64), "note": np.array(["two\r\nlines", "3"])})
    assert history == ()


def test_a_table_that_is_there_stays_without_force(tmp_path):
    file = written(tmp_path / "t.parquet", {"id": np.array([1], np.uint64)})
    with pytest.raises(TargetError, match="exists already"):
        write_table(file, ["id"], [(2,)], (), force=False)
    assert read_table(file)[0]["id"].tolist() == [1]
