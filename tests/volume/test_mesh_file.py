"""Files of meshes, read back by another program."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mitotools.errors import TargetError, UsageError
from mitotools.volume import mesh_file
from mitotools.volume.mesh_file import write_mesh

# A tetrahedron, in coordinates that need all digits of 32 bits.
VERTICES = np.array([[0.1, 0, -1e-7], [36123.457, 0, 0], [0, 1 / 3, 0], [0, 0, 7]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)


@pytest.mark.parametrize("name", ["7.ply", "7.obj", "7.PLY"])
def test_a_mesh_comes_back_to_the_bit(tmp_path, name):
    write_mesh(tmp_path / name, VERTICES, FACES, ["id 7", "nm"], force=False)
    found = trimesh.load_mesh(tmp_path / name, process=False, maintain_order=True)
    assert np.array_equal(found.vertices.astype(np.float32), VERTICES)
    assert np.array_equal(found.faces, FACES)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_text_is_written_in_parts(tmp_path, monkeypatch):
    write_mesh(tmp_path / "whole.obj", VERTICES, FACES, [], force=False)
    monkeypatch.setattr(mesh_file, "LINES", 3)
    write_mesh(tmp_path / "parts.obj", VERTICES, FACES, [], force=False)
    assert (tmp_path / "parts.obj").read_bytes() == (tmp_path / "whole.obj").read_bytes()


def test_an_obj_file_counts_from_one(tmp_path):
    vertices = np.array([[1, 2, 3], [4, 5, 6.5], [0, 0, 0]], np.float32)
    write_mesh(tmp_path / "1.obj", vertices, np.array([[0, 1, 2]], np.int32), ["id 1"], force=False)
    expected = "# id 1\nv 1 2 3\nv 4 5 6.5\nv 0 0 0\nf 1 2 3\n"
    assert (tmp_path / "1.obj").read_text() == expected


def test_comments_stay_in_the_head(tmp_path):
    write_mesh(tmp_path / "1.ply", VERTICES, FACES, ["id 1\nformat ascii 1.0", "in µm"], force=False)
    head = (tmp_path / "1.ply").read_bytes().split(b"element")[0].decode("ascii").splitlines()
    assert head == [
        "ply",
        "format binary_little_endian 1.0",
        "comment id 1 format ascii 1.0",
        "comment in ?m",
    ]
    assert len(trimesh.load_mesh(tmp_path / "1.ply", process=False).faces) == 4


def test_a_file_that_is_there_stays_without_force(tmp_path):
    file = tmp_path / "1.ply"
    file.write_text("mine")
    with pytest.raises(TargetError, match="exists already"):
        write_mesh(file, VERTICES, FACES, [], force=False)
    assert file.read_text() == "mine"
    write_mesh(file, VERTICES, FACES, [], force=True)
    assert file.read_bytes().startswith(b"ply\n")


def test_a_file_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="broadcast"):
        write_mesh(tmp_path / "1.ply", VERTICES, np.zeros((2, 5), np.int32), [], force=False)
    assert list(tmp_path.iterdir()) == []


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.ply, \.obj"):
        write_mesh(tmp_path / "1.stl", VERTICES, FACES, [], force=False)
