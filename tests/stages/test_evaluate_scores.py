"""Predictions ranked by a table of scores."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from mitotools.errors import InputError
from mitotools.parameters import EvaluateParameters
from mitotools.run.running import Running
from mitotools.stages.evaluate import EvaluateFiles, evaluate_volumes
from mitotools.stages.scoring.score_file import read_scores
from mitotools.volume.path import VolumePath


@pytest.fixture
def volumes(tmp_path):
    """A truth of 3 voxels; prediction 1 fits it, prediction 2 has 4 voxels elsewhere."""
    for name, row in (("prediction", [1, 1, 1, 0, 2, 2, 2, 2]), ("truth", [7, 7, 7, 0, 0, 0, 0, 0])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["main"] = np.array([[row]], np.uint8)
    return VolumePath(str(tmp_path / "prediction.h5")), VolumePath(str(tmp_path / "truth.h5"))


def ap(volumes, text):
    """Return the AP-50 of all instances, ranked by a table."""
    file = None
    if text is not None:
        file = Path(volumes[0].file + ".scores")
        file.write_text(text)
    report = evaluate_volumes(*volumes, EvaluateParameters(), Running(1), EvaluateFiles(scores=file))
    assert report["score"] == ("size" if text is None else "file")
    return report["ap"]["0.50"]["all"]


def test_predictions_are_ranked_by_score_and_not_by_size(volumes):
    assert ap(volumes, None) == pytest.approx(1 / 2)
    assert ap(volumes, "id\tscore\n1\t0.9\n2\t0.8\n") == pytest.approx(1)
    assert ap(volumes, "id\tscore\n1\t0.7\n2\t0.8\n") == pytest.approx(1 / 2)


def test_intervals_are_those_of_the_ranked_predictions(tmp_path):
    prediction = np.repeat(np.arange(1, 41), 3)
    for name, row in (("prediction", prediction), ("truth", prediction * (prediction % 2))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["main"] = row.astype(np.uint8).reshape(1, 1, -1)
    volumes = [VolumePath(str(tmp_path / f"{name}.h5")) for name in ("prediction", "truth")]
    scores = tmp_path / "scores.csv"
    scores.write_text("".join(f"{number},{number % 2}\n" for number in range(1, 41)))

    by_size, by_score = (
        evaluate_volumes(*volumes, EvaluateParameters(bootstrap=50), Running(1), EvaluateFiles(scores=file))
        for file in (None, scores)
    )

    assert by_score["bootstrap"]["ap"]["0.75"]["all"] == pytest.approx((1, 1))
    assert by_size["bootstrap"]["ap"]["0.75"]["all"][0] < 0.8
    assert by_size["bootstrap"]["samples"] == 50
    assert by_size["bootstrap"]["level"] == 0.95


def test_an_id_that_is_not_listed_has_score_0_and_this_is_said(volumes, caplog):
    assert ap(volumes, "id\tscore\n1\t0.1\n") == pytest.approx(1)
    assert ap(volumes, "id\tscore\n2\t0.1\n") == pytest.approx(1 / 2)
    assert caplog.messages == ["--scores lists no score of 1 predictions: they have score 0"] * 2


def test_ids_that_are_no_prediction_are_not_used_and_this_is_said(volumes, caplog):
    with caplog.at_level(logging.WARNING):
        assert ap(volumes, "id\tscore\n1\t0.9\n2\t0.8\n7\t1\n8\t1\n") == pytest.approx(1)
    assert caplog.messages == ["--scores lists 2 ids that are no prediction: they are not used"]


def test_ids_that_are_listed_twice_are_an_error(volumes):
    with pytest.raises(InputError) as error:
        ap(volumes, "id\tscore\n1\t0.9\n1\t0.8\n")
    assert str(error.value) == (
        f"{volumes[0].file}.scores: id 1 is listed more than once. Leave one row an id."
    )
    with pytest.raises(InputError, match="id 3 is listed more than once, and so are 1 others"):
        ap(volumes, "4,1\n3,1\n2,1\n4,2\n3,3\n3,2\n")


def test_a_score_that_is_no_number_is_an_error(volumes):
    with pytest.raises(InputError, match="NaN"):
        ap(volumes, "id\tscore\n1\tnan\n")


@pytest.mark.parametrize(
    "text",
    [
        "id\tmask\tscore\n3\t0.5\t0.25\n18446744073709551615\t0.5\t1e-3\n",
        "Score,ID,name\n0.25,3,\"a, b\"\n0.001,18446744073709551615,c\n",
        "3,0.25\n18446744073709551615,.001\n",
        "3\t0.25\r\n\r\n18446744073709551615\t0.001\r\n",
        "\ufeffid,score\n3,0.25\n18446744073709551615,0.001",
    ],
    ids=["decode's", "csv", "no header", "Windows", "Excel"],
)  # fmt: skip
def test_a_table_is_read_whatever_separates_it(tmp_path, text):
    (tmp_path / "scores").write_bytes(text.encode())

    ids, scores = read_scores(tmp_path / "scores", Running())

    assert (ids.tolist(), scores.tolist()) == ([3, 2**64 - 1], [0.25, 0.001])
    assert (ids.dtype, scores.dtype) == (np.uint64, np.float64)


def test_an_npy_is_read(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([[3, 0.25], [9, 0.5]]))

    ids, scores = read_scores(tmp_path / "scores.npy", Running())

    assert (ids.tolist(), scores.tolist()) == ([3, 9], [0.25, 0.5])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its columns are none"),
        ("id\tmask\n1\t2\n", "its columns are id, mask"),
        ("a,b\n1,2\n", "its columns are a, b"),
        ("id\tscore\n1\thigh\n", "line 2: expected an id and a score"),
        ("id\tscore\n1.5\t0.5\n", "line 2: expected an id and a score"),
        ("id\tscore\n1\n", "line 2: expected an id and a score"),
        ("1,0.5\n-2,0.5\n", "line 2: -2 is no id"),
        ("id\tscore\n18446744073709551616\t1\n", "line 2: 18446744073709551616 is no id"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(tmp_path, text, why):
    (tmp_path / "scores.tsv").write_text(text)

    with pytest.raises(InputError, match=why):
        read_scores(tmp_path / "scores.tsv", Running())


def test_bytes_that_are_no_text_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "scores.tsv").write_bytes(b"id\tscore\n\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text"):
        read_scores(tmp_path / "scores.tsv", Running())
    with pytest.raises(InputError, match="No such file"):
        read_scores(tmp_path / "missing.tsv", Running())


def hdf5(folder, **datasets):
    with h5py.File(folder / "scores.h5", "w") as file:
        for name, array in datasets.items():
            file[name] = array
    return folder / "scores.h5"


PAIRS = np.array([[3, 0.25], [9, 0.5]])


@pytest.mark.parametrize("name", ["scores.h5:main", "scores.h5", "scores.h5/main"])
def test_an_hdf5_dataset_is_read(tmp_path, name):
    hdf5(tmp_path, main=PAIRS, other=np.zeros(3))

    ids, scores = read_scores(tmp_path / name, Running())

    assert (ids.tolist(), scores.tolist()) == ([3, 9], [0.25, 0.5])
    assert (ids.dtype, scores.dtype) == (np.uint64, np.float64)


def test_the_only_dataset_of_an_hdf5_file_needs_no_name(tmp_path):
    file = hdf5(tmp_path, confidence=np.array([[2**64 - 1, 7]], np.uint64))

    assert read_scores(file, Running())[0].tolist() == [2**64 - 1]


def test_a_table_of_text_may_lie_in_a_folder_called_like_hdf5(tmp_path):
    (tmp_path / "run.h5").mkdir()
    (tmp_path / "run.h5" / "scores.csv").write_text("3,0.25\n")

    assert read_scores(tmp_path / "run.h5" / "scores.csv", Running())[0].tolist() == [3]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("scores.h5", r"scores\.h5: which dataset\? It holds a \(2, 2\), b \(3,\)\. Say .*scores\.h5:NAME"),
        ("scores.h5:c", r"scores\.h5:c: no such dataset; the file holds a \(2, 2\), b \(3,\)"),
        ("scores.h5:b", r"scores\.h5:b: expected \(N, 2\) numbers, id and score, found \(3,\) float64"),
        ("scores.h5:a[0]", r"a table of scores has no crop\. Give .*scores\.h5:a\."),
        ("nowhere.h5:a", "No such file or directory"),
    ],
)
def test_an_hdf5_file_without_such_a_dataset_is_refused(tmp_path, name, why):
    hdf5(tmp_path, a=PAIRS, b=np.zeros(3))

    with pytest.raises(InputError, match=why):
        read_scores(tmp_path / name, Running())


def test_a_damaged_hdf5_file_is_refused(tmp_path):
    (tmp_path / "scores.h5").write_bytes(b"no HDF5")

    with pytest.raises(InputError, match=r"scores\.h5: cannot be read as HDF5 .* Check that the file"):
        read_scores(tmp_path / "scores.h5", Running())


def test_an_hdf5_dataset_that_promises_more_than_the_memory_is_refused(tmp_path):
    with h5py.File(tmp_path / "scores.h5", "w") as file:
        file.create_dataset("main", (10**12, 2), "f8", chunks=(1000, 2))

    with pytest.raises(InputError, match=r"scores\.h5:/main: is larger than the memory\. Give more --memory"):
        read_scores(tmp_path / "scores.h5", Running())


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros(4), "expected"),
        (np.zeros((4, 3)), "expected"),
        (np.array([["1", "2"]]), "expected"),
        (np.array([[1.5, 0]]), "row 0: 1.5 is no id"),
        (np.array([[-1, 0]]), "row 0: -1 is no id"),
        (np.array([[np.nan, 0]]), "row 0: nan is no id"),
        (np.array([[np.inf, 0]]), "row 0: inf is no id"),
        (np.array([[3, 1], [2.0**53, 0]]), r"row 1: 9007199254740992\.0 is too large an id for floating"),
        (np.array([[3, 1], [2**24 + 1, 0]], np.float32), r"row 1: 16777216\.0 is too large an id for float"),
        (np.array([[2**11 + 1, 0]], np.float16), r"row 0: 2048\.0 is too large an id for floating-point"),
    ],
)
def test_an_npy_of_something_else_is_refused(tmp_path, array, why):
    np.save(tmp_path / "scores.npy", array)

    with pytest.raises(InputError, match=why):
        read_scores(tmp_path / "scores.npy", Running())


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.float16, 2**11 - 1), (np.float32, 2**24 - 1), (np.float64, 2**53 - 1)]
)
def test_ids_are_read_from_floating_point_as_long_as_no_other_id_is_rounded_to_them(tmp_path, dtype, largest):
    np.save(tmp_path / "scores.npy", np.array([[largest, 0.5]], dtype))

    assert read_scores(tmp_path / "scores.npy", Running())[0].tolist() == [largest]


def test_an_npy_that_promises_more_than_it_holds_is_refused(tmp_path):
    np.save(tmp_path / "scores.npy", np.zeros((9, 2)))
    old = b"(9, 2), }" + 16 * b" "
    content = (tmp_path / "scores.npy").read_bytes()
    assert old in content
    (tmp_path / "scores.npy").write_bytes(content.replace(old, b"(9000000000000, 2), }".ljust(len(old))))

    with pytest.raises(InputError, match=r"cannot be read as \.npy"):
        read_scores(tmp_path / "scores.npy", Running())
