"""Volumes in Neuroglancer: the real server, and a real browser where there is one."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
import zlib

import numpy as np
import pytest
from PIL import Image
from stages.networks import write_volume

from mitotools.cli.main import run
from mitotools.run.running import Running
from mitotools.stages.viewing.neuroglancer import serving

pytest.importorskip("neuroglancer")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHAPE = (20, 40, 50)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """A random image, and labels whose ids need 64 bits, as signed integers."""
    monkeypatch.chdir(tmp_path)
    raw = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    labels = np.zeros(SHAPE, np.int64)
    labels[5:15, 10:30, 10:40] = 2**60
    return [
        write_volume(tmp_path / "raw.h5", raw, (30.0, 8.0, 8.0)),
        write_volume(tmp_path / "labels.h5", labels, (30.0, 8.0, 8.0)),
    ], (raw, labels)


def keys_of(url: str) -> dict[str, str]:
    """Return the key of the data of each layer."""
    import neuroglancer

    viewer = neuroglancer.server.global_server.viewers[url.rstrip("/").split("/")[-1]]
    return {
        layer.name: re.search(r"python://volume/([\w.]+)", json.dumps(layer.layer.to_json())).group(1)
        for layer in viewer.state.layers
    }


def fetched(url: str, place: str) -> bytes:
    base = re.match(r"http://[^/]+", url).group(0)
    with urllib.request.urlopen(f"{base}/neuroglancer/{place}") as answer:  # noqa: S310
        return answer.read()


def test_what_the_server_sends_is_what_the_files_hold(paths):
    (raw, labels), arrays = paths
    with serving(raw, [labels], Running()) as url:
        assert url.startswith("http://127.0.0.1:")
        for (name, key), array in zip(keys_of(url).items(), arrays, strict=True):
            assert name in {"raw.h5", "labels.h5"}
            info = json.loads(fetched(url, f"info/{key}"))
            assert info["shape"] == list(SHAPE)
            assert info["dataType"] == f"uint{8 * array.itemsize}"  # ids are never negative
            sent = fetched(url, f"npz/{key}/1,1,1/2,5,7/9,35,21")
            assert np.array_equal(np.load(io.BytesIO(zlib.decompress(sent))), array[2:9, 5:35, 7:21])


def test_surfaces_are_made_of_labels_that_fit_into_memory_and_refused_of_others(paths):
    (raw, labels), _ = paths
    with serving(raw, [labels], Running()) as url:
        assert len(fetched(url, f"mesh/{keys_of(url)['labels.h5']}/{2**60}")) > 1000
    with serving(raw, [labels], Running(memory_bytes=1000)) as url:
        assert '"default": true' in json.dumps(state_of(url)["layers"][1])  # and no meshes


def state_of(url):
    import neuroglancer

    return neuroglancer.server.global_server.viewers[url.rstrip("/").split("/")[-1]].state.to_json()


def test_layers_of_one_name_are_numbered(paths):
    (raw, labels), _ = paths
    with serving(raw, [labels, labels], Running()) as url:
        assert list(keys_of(url)) == ["raw.h5", "labels.h5", "labels.h5 2"]


def test_the_command_prints_an_address_and_ends_with_ctrl_c(paths):
    words = [sys.executable, "-m", "mitotools", "view", "raw.h5", "labels.h5", "--neuroglancer"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    with urllib.request.urlopen(url) as answer:  # noqa: S310
        assert b"<html" in answer.read().lower()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in told


def test_a_port_in_use_is_said(paths, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run(["view", "raw.h5", "--neuroglancer", "--port", port]) == 1
    assert f"--port {port}: cannot be listened on" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["-o", "a.png", "--neuroglancer"]])
def test_a_view_is_a_file_or_a_server(paths, capsys, words):
    assert run(["view", "raw.h5", *words]) == 2
    assert "-o: names the file to write. Give it, or --neuroglancer." in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_draws_the_volumes(paths):
    from playwright.sync_api import sync_playwright

    (raw, labels), _ = paths
    with serving(raw, [labels], Running()) as url, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 700})
        outside = []
        page.on("request", lambda asked: outside.append(asked.url) if "127.0.0.1" not in asked.url else None)
        page.goto(url)
        for _ in range(60):
            page.wait_for_timeout(500)
            with Image.open(io.BytesIO(page.screenshot())) as picture:
                pixels = np.asarray(picture.convert("RGB")).astype(int)
            if np.ptp(pixels, axis=2).max() > 60 and len(np.unique(pixels)) > 200:
                break
        else:
            pytest.fail("neither greys nor a colour were drawn")
        browser.close()
        assert [one for one in outside if one.startswith("http")] == []
