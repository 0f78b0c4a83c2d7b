"""OME-Zarr behind URLs: an S3 server and web servers on this machine."""

from __future__ import annotations

import http.server
import os
import re
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import Image
from volume_files import RECORD, refusal, values

from mitotools.errors import InputError, TargetError
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box, grid
from mitotools.volume.formats import ome_zarr, zarr_places
from mitotools.volume.formats.ome_zarr import (
    create_writer,
    open_reader,
    planned,
    publish,
    reopen_writer,
)
from mitotools.volume.formats.zarr_labels import check_label_target, register_label
from mitotools.volume.formats.zarr_places import discard, read_json, state
from mitotools.volume.outputs import check_target
from mitotools.volume.path import VolumePath

VOLUME = values((20, 50, 60), "uint16")
WHOLE = Box.whole(VOLUME.shape)
CHUNKS = (10, 25, 30)
LAYOUTS = {"v2": {"zarr_format": 2}, "v3": {}, "sharded": {"shards": (20, 50, 30)}}

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


@pytest.fixture(params=["s3", "memory"])
def place(request):
    """Return a URL where an image may be written."""
    root = request.getfixturevalue("bucket") if request.param == "s3" else "memory://bucket"
    url = f"{root}/{id(request)}.zarr"
    yield url
    discard(url)


class Files(http.server.SimpleHTTPRequestHandler):
    """A web server that answers ranges, as those of objects do."""

    def do_GET(self):
        file = Path(self.translate_path(self.path))
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None or not file.is_file():
            super().do_GET()
            return
        content = file.read_bytes()
        first, last = asked.groups()
        part = content[int(first) : int(last) + 1 if last else None] if first else content[-int(last) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # with 5, a burst of connections waits for seconds


@contextmanager
def served(handler):
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web(tmp_path):
    """Serve the test's folder."""
    with served(partial(Files, directory=str(tmp_path))) as url:
        yield url


def begun(url, **more):
    spec = VolumeSpec(VOLUME.shape, VOLUME.dtype, (30.0, 8.0, 8.0), (RECORD,), chunks=CHUNKS, **more)
    spec = planned(spec, url)
    create_writer(url, spec, url)
    return spec


def filled(url, spec):
    writer = reopen_writer(url, spec, url)
    for box in grid(spec.size, spec.unit):
        writer.write(box, VOLUME[box.slices])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_is_written_and_appears_when_it_is_published(place, layout):
    assert state(place) is None
    spec = begun(place, levels=2, **LAYOUTS[layout])
    filled(place, spec)
    writer = reopen_writer(place, spec, place).level(1)
    writer.write(Box.whole(writer.spec.size), open_reader(place, "0").read(WHOLE)[:, ::2, ::2])
    assert state(place) == "unfinished"
    assert "there is no zarr" in str(refusal(open_reader, place, None))
    publish(place, spec, place)
    assert state(place) == "complete"
    reader = open_reader(place, None)
    assert reader.spec.voxel_size_nm == (30, 8, 8)
    assert reader.spec.history == (RECORD,)
    assert np.array_equal(reader.read(Box((3, 5, 7), (19, 40, 59))), VOLUME[3:19, 5:40, 7:59])
    assert np.array_equal(open_reader(place, "1").read(Box.whole(writer.spec.size)), VOLUME[:, ::2, ::2])


@pytest.mark.parametrize("is_published", [False, True])
def test_what_is_discarded_leaves_nothing(place, is_published):
    spec = begun(place)
    filled(place, spec)
    if is_published:
        publish(place, spec, place)
    discard(place)
    assert state(place) is None
    discard(place)


def test_an_image_in_a_bucket_is_valid_ngff(bucket):
    url = f"{bucket}/valid.zarr"
    spec = begun(url, levels=3)
    publish(url, spec, url)
    group = zarr.open_group(zarr_places.store_at(url, read_only=True), mode="r")
    assert len(Image.from_zarr(group).ome_attributes.multiscales[0].datasets) == 3


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_inside_an_image_in_a_bucket(place, zarr_format):
    publish(place, begun(place, zarr_format=zarr_format), place)
    check_label_target(place, zarr_format)
    labels = f"{place}/labels/mito"
    spec = begun(labels, zarr_format=zarr_format, is_labels=True)
    filled(labels, spec)
    publish(labels, spec, labels)
    for _ in range(2):
        register_label(place, "mito")
    listed = read_json(f"{place}/labels", ".zattrs" if zarr_format == 2 else "zarr.json")
    assert "['mito']" in str(listed)
    assert "holds label images (mito)" in str(refusal(check_target, VolumePath(place), force=True))
    reader = open_reader(place, "labels/mito")
    assert reader.spec.is_labels
    assert np.array_equal(reader.read(WHOLE), VOLUME)
    discard(labels)
    assert state(place) == "complete"


def test_only_a_zarr_is_ever_deleted():
    for url in ("memory://bucket", "memory://bucket/folder"):
        assert isinstance(refusal(discard, url), TargetError)


@pytest.mark.parametrize("is_consolidated", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_web_server_hands_out_an_image(tmp_path, web, layout, is_consolidated):
    spec = VolumeSpec(VOLUME.shape, VOLUME.dtype, (30.0, 8.0, 8.0), chunks=CHUNKS, **LAYOUTS[layout])
    for name in ("v.zarr", "v.zarr/labels/mito"):
        path = tmp_path / name
        create_writer(path, planned(spec, path), path).write(WHOLE, VOLUME)
    register_label(tmp_path / "v.zarr", "mito")
    if is_consolidated:
        zarr.consolidate_metadata(tmp_path / "v.zarr")
    for dataset in (None, "0", "labels/mito"):
        reader = open_reader(f"{web}/v.zarr", dataset)
        assert reader.spec.voxel_size_nm == (30, 8, 8)
        assert np.array_equal(reader.read(Box((3, 5, 7), (19, 40, 59))), VOLUME[3:19, 5:40, 7:59])
    error = refusal(open_reader, f"{web}/v.zarr", "nothing")
    assert str(error).startswith(f"{web}/v.zarr:nothing: no such array; the zarr holds 0, labels")


def test_a_missing_chunk_on_a_web_server_is_the_fill_value(tmp_path, web):
    path = tmp_path / "v.zarr"
    zarr.create_array(path, data=VOLUME, chunks=(8, 16, 16))
    (path / "c" / "0" / "0" / "0").unlink()
    assert not open_reader(f"{web}/v.zarr", None).read(Box((0, 0, 0), (8, 16, 16))).any()


def test_a_damaged_chunk_on_a_web_server_names_the_box(tmp_path, web, monkeypatch):
    monkeypatch.setattr(ome_zarr, "WAITS_SECONDS", (0.0,))
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, chunks=(8, 16, 16))
    (tmp_path / "v.zarr" / "c" / "0" / "0" / "0").write_bytes(b"rubbish")
    error = refusal(open_reader(f"{web}/v.zarr", None).read, Box((0, 0, 0), (8, 16, 16)))
    assert f"{web}/v.zarr: [0:8,0:16,0:16] cannot be read" in str(error)


def test_a_server_that_fails_now_and_then_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_zarr, "WAITS_SECONDS", (0.0, 0.0))
    zarr.create_array(tmp_path / "v.zarr", data=VOLUME, chunks=VOLUME.shape)
    failures = iter([503, 500])

    class Busy(Files):
        def do_GET(self):
            status = next(failures, None) if "/c/" in self.path else None
            if status is None:
                super().do_GET()
            else:
                self.send_error(status)

    with served(partial(Busy, directory=str(tmp_path))) as url:
        assert np.array_equal(open_reader(f"{url}/v.zarr", None).read(WHOLE), VOLUME)
    assert next(failures, None) is None


def test_a_web_server_cannot_be_written(tmp_path, web):
    error = refusal(begun, f"{web}/v.zarr")
    assert isinstance(error, TargetError)
    assert "cannot be written" in str(error)


class Forbidding(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(403)

    def do_HEAD(self):
        self.do_GET()

    def do_PUT(self):
        self.do_GET()

    def log_message(self, *_):
        pass


def test_forbidden_and_absent_are_told_apart(tmp_path, web, bucket, monkeypatch):
    assert "there is no zarr" in str(refusal(open_reader, f"{web}/nothing.zarr", None))
    for url in (f"{bucket}/nothing.zarr", "s3://nowhere/v.zarr"):
        error = refusal(open_reader, url, None)
        assert isinstance(error, InputError)
        assert str(error) == f"{url}: there is no zarr, or no such bucket."
    error = refusal(begun, "s3://nowhere/v.zarr")
    assert isinstance(error, TargetError)
    assert "bucket does not exist" in str(error)
    with served(Forbidding) as url:
        assert "access is denied" in str(refusal(open_reader, f"{url}/v.zarr", None))
        monkeypatch.setitem(zarr_places.fsspec.config.conf, "s3", {"endpoint_url": url})
        for function, arguments in ((open_reader, (None,)), (state, ())):
            assert "access is denied" in str(refusal(function, "s3://secret/v.zarr", *arguments))
        error = refusal(begun, "s3://secret/v.zarr")
        assert isinstance(error, TargetError)
        assert "access is denied" in str(error)


def test_a_server_that_is_not_there_is_an_error(monkeypatch):
    error = refusal(open_reader, "http://127.0.0.1:9/v.zarr", None)
    assert isinstance(error, InputError)
    assert "Cannot connect to host 127.0.0.1:9" in str(error)


def test_a_server_that_never_answers_is_an_error_in_bounded_time(monkeypatch):
    monkeypatch.setattr(zarr_places, "READ_SECONDS", 0.2)
    released = threading.Event()

    class Silent(Forbidding):
        def do_GET(self):
            released.wait(20)

    start = time.monotonic()
    with served(Silent) as url:
        error = refusal(open_reader, f"{url}/v.zarr", None)
        released.set()
    assert "the server does not answer" in str(error)
    assert time.monotonic() - start < 10


def test_without_credentials_the_line_says_which(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setitem(zarr_places.fsspec.config.conf, "s3", {"endpoint_url": "http://127.0.0.1:9"})
    error = refusal(open_reader, "s3://private/v.zarr", None)
    assert str(error).startswith("s3://private/v.zarr: needs credentials. Set AWS_PROFILE or")


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [("gcsfs", "gs://bucket/v.zarr", "gcs"), ("aiohttp", "https://host/v.zarr", "http")],
)
def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch, module, url, extra):
    monkeypatch.setitem(sys.modules, module, None)
    for function, arguments in ((open_reader, (None,)), (state, ())):
        error = refusal(function, url, *arguments)
        assert isinstance(error, InputError)
        assert str(error).endswith(f"pip install 'mitotools[{extra}]'.")


def test_an_unknown_kind_of_url_is_an_error():
    assert "foo:// is not known" in str(refusal(open_reader, "foo://bucket/v.zarr", None))
