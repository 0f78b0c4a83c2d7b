"""The table of overlaps, saved and scored again."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from mitotools.errors import InputError, UsageError
from mitotools.parameters import EvaluateParameters
from mitotools.run.running import Running
from mitotools.stages.evaluate import EvaluateFiles, evaluate_overlap, evaluate_volumes
from mitotools.volume.path import VolumePath

BORDER = EvaluateParameters("challenge2021", (0.6,), (20, 60), 2, ignore_border=True, bootstrap=3)


@pytest.fixture
def saved(tmp_path):
    """Both volumes and what to ignore, and the table of their overlaps."""
    generator = np.random.default_rng(3)
    paths = {}
    for name, shape in (("prediction", (2, 4, 8)), ("truth", (4, 4, 4)), ("ignore", (1, 1, 8))):
        scale = tuple(8 // n for n in shape)
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["main"] = np.kron(generator.integers(0, 5, shape), np.ones(scale, int)).astype("u8") << 60
        paths[name] = VolumePath(str(tmp_path / f"{name}.h5"))
    files = EvaluateFiles(ignore=paths["ignore"], save_overlap=tmp_path / "a.overlap")
    evaluate_volumes(paths["prediction"], paths["truth"], EvaluateParameters(), Running(1), files)
    return tmp_path / "a.overlap", paths


def without_history(report):
    return {key: value for key, value in report.items() if key != "history"}


@pytest.mark.parametrize("parameters", [EvaluateParameters(), BORDER], ids=["plain", "all else"])
def test_a_saved_table_scores_as_the_volumes_do(saved, tmp_path, parameters):
    file, paths = saved
    expected = evaluate_volumes(
        paths["prediction"], paths["truth"], parameters, Running(1),
        EvaluateFiles(ignore=paths["ignore"], matches=tmp_path / "a.tsv"),
    )  # fmt: skip

    report = evaluate_overlap(file, parameters, Running(1), EvaluateFiles(matches=tmp_path / "b.tsv"))

    assert without_history(report) == without_history(expected)
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()
    assert report["ignore"]["path"] == paths["ignore"].file


def test_the_history_of_a_saved_table_comes_first(saved):
    file, paths = saved

    first, second = evaluate_overlap(file, BORDER, Running(1))["history"]

    assert [entry["path"] for entry in first["inputs"]] == [path.file for path in paths.values()]
    assert [entry["path"] for entry in second["inputs"]] == [str(file)]
    assert second["parameters"]["protocol"] == "challenge2021"


def test_numpy_reads_a_saved_table(saved):
    file, paths = saved
    with np.load(file) as columns, h5py.File(paths["ignore"].file) as ignored:
        assert columns["count"].sum() == (ignored["main"][()] == 0).sum()
        assert columns["prediction"].dtype == np.uint64
        assert len(columns["prediction"]) == len(columns["truth"]) == len(columns["count"])


@pytest.mark.parametrize("name", ["ignore", "save_overlap"])
def test_what_needs_the_volumes_is_wrong_usage(saved, tmp_path, name):
    file, paths = saved
    files = EvaluateFiles(**{name: paths["ignore"] if name == "ignore" else tmp_path / "b.overlap"})

    with pytest.raises(UsageError, match="needs the volumes"):
        evaluate_overlap(file, BORDER, Running(1), files)


def changed(file, **columns):
    """Write the table with other columns."""
    with np.load(file) as old:
        new = {**old, **columns}
    with file.open("wb") as opened:
        np.savez_compressed(opened, **{name: column for name, column in new.items() if column is not None})


@pytest.mark.parametrize(
    "columns",
    [
        {"count": None},
        {"about": None},
        {"about": np.frombuffer(b'{"kind": "else"}', np.uint8)},
        {"about": np.frombuffer(b"[]", np.uint8)},
        {"count": np.array([1, 2], np.int64)},
        {"truth": np.array([1.5])},
        {"prediction": np.zeros((3, 3), np.uint64)},
        {"truth": np.array([None])},
    ],
    ids=str,
)
def test_a_file_that_is_no_such_table_is_refused(saved, columns):
    file, _ = saved
    changed(file, **columns)

    with pytest.raises(InputError, match="is no table of overlaps"):
        evaluate_overlap(file, BORDER, Running(1))


def test_counts_below_one_are_refused(saved):
    file, _ = saved
    with np.load(file) as old:
        count = old["count"].copy()
    count[0] = 0
    changed(file, count=count)

    with pytest.raises(InputError, match="its rows are damaged"):
        evaluate_overlap(file, BORDER, Running(1))


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_half_a_file_is_refused(saved, part):
    file, _ = saved
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])

    with pytest.raises(InputError, match="is no table of overlaps"):
        evaluate_overlap(file, BORDER, Running(1))


def test_a_damaged_byte_is_noticed_or_harmless(saved):
    file, _ = saved
    expected = without_history(evaluate_overlap(file, EvaluateParameters(), Running(1)))
    content = file.read_bytes()
    noticed = 0
    for position in range(0, len(content), 7):
        file.write_bytes(content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])
        try:
            report = evaluate_overlap(file, EvaluateParameters(), Running(1))
        except InputError:
            noticed += 1
        else:
            assert without_history(report) == expected
    assert noticed > len(content) / 14


def test_a_table_larger_than_the_budget_is_refused_before_it_is_read(saved):
    file, _ = saved
    changed(file, count=np.zeros(10**6, np.int64))

    assert file.stat().st_size < 10**5
    with pytest.raises(InputError, match=r"larger than the memory\. Give more --memory"):
        evaluate_overlap(file, BORDER, Running(1, memory_bytes=10**7))


def test_a_column_larger_than_the_directory_says_costs_no_memory(saved):
    """An archive whose column is 1 GiB of zeros, and whose directory says that it is 200 bytes."""
    file, _ = saved
    long = 64 * 16_777_333  # no bytes of compressed zeros
    with zipfile.ZipFile(file) as old:
        parts = {entry.filename: old.read(entry) for entry in old.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        for name, content in parts.items():
            if name != "count.npy":
                new.writestr(name, content)
        with new.open("count.npy", "w") as column:
            for _ in range(64):
                column.write(bytes(long // 64))
    file.write_bytes(file.read_bytes().replace(struct.pack("<I", long), struct.pack("<I", 200)))
    tracemalloc.start()
    with pytest.raises(InputError, match="is no table of overlaps"):
        evaluate_overlap(file, BORDER, Running(1))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10**7


@pytest.mark.parametrize("origin", [{"prediction": 5}, {"truth": None}, {"ignored_voxels": "2"}])
def test_an_origin_that_is_no_text_is_refused(saved, origin):
    file, _ = saved
    with np.load(file) as old:
        about = json.loads(old["about"].tobytes())
    about["origin"].update(origin)
    changed(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8))

    with pytest.raises(InputError, match="its origin is damaged"):
        evaluate_overlap(file, BORDER, Running(1))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        evaluate_overlap(tmp_path / "missing.overlap", BORDER, Running(1))


def test_rows_in_another_order_and_in_pieces_score_the_same(saved):
    file, _ = saved
    expected = evaluate_overlap(file, BORDER, Running(1))
    with np.load(file) as old:
        some = old["count"] > 1
        pieces = {
            name: np.concatenate([old[name][::-1], old[name][some]]) for name in ("prediction", "truth")
        }
        counts = np.concatenate([(old["count"] - some)[::-1], np.ones(some.sum(), np.int64)])
    changed(file, count=counts, **pieces)

    assert json.dumps(without_history(evaluate_overlap(file, BORDER, Running(1)))) == json.dumps(
        without_history(expected)
    )


@pytest.mark.parametrize("kind", ["float64", "int64", "(N, 1)"])
def test_a_column_of_another_type_or_shape_is_refused(saved, kind):
    file, _ = saved
    with np.load(file) as old:
        truth = old["truth"].reshape(-1, 1) if kind == "(N, 1)" else old["truth"].view(kind)
    changed(file, truth=truth)

    with pytest.raises(InputError, match="is no table of overlaps \\(its truth is"):
        evaluate_overlap(file, BORDER, Running(1))
