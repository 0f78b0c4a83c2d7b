"""``-``: what goes from one command to the next, and what is removed."""

from __future__ import annotations

import io
import os
import pty

import numpy as np
import pytest
from volume_files import read, refusal, values, write

from mitotools.errors import InputError, TargetError, UsageError
from mitotools.volume.path import VolumePath, parse_volume_path
from mitotools.volume.pipe import received, sent

VOLUME = values((4, 5, 6))
MAPS = values((2, 4, 5, 6))
PIPE = VolumePath("-")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporaries."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(folder))
    return folder


def stdin(monkeypatch, content):
    text = io.TextIOWrapper(io.BytesIO(content if isinstance(content, bytes) else content.encode()), "utf-8")
    monkeypatch.setattr("sys.stdin", text)


def send(array=VOLUME):
    with sent(PIPE) as target:
        write(target, array)


def received_array(source=PIPE):
    with received(source) as volume:
        return read(f"{volume}{volume.crop}")[0]


def test_a_volume_goes_through_and_nothing_stays(temporary, monkeypatch, capsys):
    send()
    line = capsys.readouterr().out
    assert line.startswith(str(temporary))
    assert line.count("\n") == 1
    stdin(monkeypatch, line)
    assert np.array_equal(received_array(), VOLUME)
    assert list(temporary.iterdir()) == []


def test_a_volume_is_removed_when_what_received_it_fails(temporary, monkeypatch, capsys):
    send()
    stdin(monkeypatch, capsys.readouterr().out)
    for error in (ValueError("wrong"), KeyboardInterrupt()):
        with pytest.raises(type(error)), received(PIPE):
            raise error
        assert list(temporary.iterdir()) == []
        send()
        stdin(monkeypatch, capsys.readouterr().out)


def test_nothing_is_sent_and_nothing_stays_when_the_sender_fails(temporary, capsys):
    def work():
        with sent(PIPE) as target:
            write(target, VOLUME)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        work()
    assert capsys.readouterr().out == ""
    assert list(temporary.iterdir()) == []


def test_nothing_stays_when_nobody_reads_the_pipe(temporary, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as broken:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr("sys.stdout", broken)
        with pytest.raises(BrokenPipeError):
            send()
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.close()
    assert list(temporary.iterdir()) == []


def test_other_names_pass_through(tmp_path, capsys):
    path = VolumePath(str(tmp_path / "v.h5"))
    with received(path) as source, sent(path) as target:
        assert (source, target) == (path, path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("folder", ["data", "mitotools-pipe-results"])
@pytest.mark.parametrize("name", ["v.h5", "v.zarr"])
def test_a_volume_of_the_users_is_never_removed(tmp_path, monkeypatch, folder, name):
    (tmp_path / folder).mkdir()
    write(tmp_path / folder / name, VOLUME)
    (tmp_path / folder / "notes.txt").write_text("precious")
    stdin(monkeypatch, f"{tmp_path}/{folder}/{name}\n")
    assert np.array_equal(received_array(), VOLUME)
    assert np.array_equal(read(tmp_path / folder / name)[0], VOLUME)
    assert (tmp_path / folder / "notes.txt").read_text() == "precious"


def test_other_things_in_the_folder_of_a_temporary_stay(temporary, monkeypatch, capsys):
    send()
    line = capsys.readouterr().out
    (folder,) = temporary.iterdir()
    (folder / "notes.txt").write_text("precious")
    stdin(monkeypatch, line)
    received_array()
    assert list(folder.iterdir()) == [folder / "notes.txt"]


@pytest.mark.parametrize(
    ("crop", "index"),
    [("[0]", np.s_[0]), ("[1]", np.s_[1]), ("[0:1]", np.s_[0:1]), ("[1:2,:,2:]", np.s_[:, 1:2, :, 2:]),
     ("[0,1:2,:,2:]", np.s_[0, 1:2, :, 2:]), ("", np.s_[:])],
)  # fmt: skip
def test_a_crop_follows_the_pipe_or_comes_through_it(tmp_path, monkeypatch, crop, index):
    write(tmp_path / "v.h5", MAPS)
    stdin(monkeypatch, f"{tmp_path}/v.h5\n")
    assert np.array_equal(received_array(parse_volume_path(f"-{crop}")), MAPS[index])
    stdin(monkeypatch, f"{tmp_path}/v.h5:main{crop}\n")
    assert np.array_equal(received_array(), MAPS[index])


def test_two_crops_are_wrong_usage_and_leave_the_volume(tmp_path, monkeypatch):
    write(tmp_path / "v.h5", VOLUME)
    stdin(monkeypatch, f"{tmp_path}/v.h5[0:1,:,:]\n")
    error = refusal(received_array, parse_volume_path("-[0:2,:,:]"))
    assert isinstance(error, UsageError)
    assert "has a crop already" in str(error)
    assert (tmp_path / "v.h5").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "nothing came through the pipe. The command before it failed"),
        ("\n", "nothing came through the pipe"),
        ("/nowhere/v.h5\n", "no such file or folder"),
        (b"\x89HDF\r\n\x1a\n\xff\xfe", "found other data"),
        ("x" * 10**6, "found other data"),
        ("a\0b\n", "found other data"),
        ("x" * 10**4 + "\n", "no such file or folder"),
    ],
)
def test_what_is_no_path_is_an_error(monkeypatch, content, why):
    stdin(monkeypatch, content)
    error = refusal(received_array)
    assert isinstance(error, InputError)
    assert why in str(error)


def test_a_terminal_or_no_standard_input_is_wrong_usage(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0), os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        assert isinstance(refusal(received_array), UsageError)
    monkeypatch.setattr("sys.stdin", None)
    assert isinstance(refusal(received_array), UsageError)


def test_a_terminal_is_refused_as_output(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0), os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        error = refusal(send)
        monkeypatch.undo()
    assert isinstance(error, UsageError)
    assert "standard output is a terminal" in str(error)


def test_a_folder_of_temporaries_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MITOTOOLS_TMPDIR", str(tmp_path / "nowhere"))
    error = refusal(send)
    assert isinstance(error, TargetError)
    assert "nowhere: cannot hold temporaries (No such file or directory)" in str(error)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b", "caf\udce9"])
def test_a_folder_of_temporaries_whose_name_is_no_line_is_refused_before_it_is_used(
    tmp_path, monkeypatch, name
):
    monkeypatch.setattr("mitotools.volume.pipe.room_for_temporaries", lambda: tmp_path / name)
    error = refusal(send)
    assert isinstance(error, TargetError)
    assert "its name is not printable. Set MITOTOOLS_TMPDIR." in str(error)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_setting_of_the_folder_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MITOTOOLS_TMPDIR", "")
    send()
    line = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    stdin(monkeypatch, line)
    assert np.array_equal(received_array(), VOLUME)
