"""The page of `mitotools view`, in a real browser where there is one (Debian's chromium)."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from stages.networks import write_volume

from mitotools.cli.main import run
from mitotools.stages.viewing import page as view_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

SHAPE = (12, 60, 80)
LARGE_ID = 2**60


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A bright volume with a dark corner; a hit (1 and 7), a missed truth (2) and a false positive."""
    monkeypatch.chdir(tmp_path)
    raw = np.full(SHAPE, 200, np.uint8)
    raw[:, :10, :10] = 0
    truth = np.zeros(SHAPE, np.uint8)
    truth[1:6, 5:15, 5:25] = 1
    truth[1:6, 25:35, 5:25] = 2
    found = np.zeros(SHAPE, np.uint64)
    found[1:6, 5:15, 5:25] = 7
    found[6:11, 40:55, 30:50] = LARGE_ID
    for name, array in (("raw", raw), ("truth", truth), ("found <b>&", found)):
        write_volume(tmp_path / f"{name}.h5", array)
    return tmp_path


def view(*words):
    assert run(["view", "raw.h5", *words, "--force", "-q"]) == 0


def facts_of(path):
    text = re.search(r'<script type="application/json" id="meta">(.*?)</script>', path.read_text()).group(1)
    return json.loads(text)


def image_of(path, name) -> np.ndarray:
    text = re.search(rf'id="{name}" data-kind="[a-z/]+">([^<]*)<', path.read_text()).group(1)
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))


def test_a_page_holds_every_slice_and_the_rows_of_its_instances(folder):
    view("found <b>&.h5", "--truth", "truth.h5", "-o", "a.html")
    facts = facts_of(folder / "a.html")
    assert facts["positions"] == list(range(12))
    assert facts["size"] == [60, 80]
    assert facts["width_nm"] == 400
    found, truth = facts["layers"]
    assert [row[0] for row in found["rows"]] == [7, str(LARGE_ID)]  # which is no number to a browser
    assert found["kinds"] == ["hit", "false positive"]
    assert found["partners"] == [[1, 1.0], [None, 0.0]]
    assert found["middles"] == [3, 8]  # z 1 to 5, and 6 to 10
    assert truth["kinds"] == ["hit", "missed"]
    assert truth["rows"][0][truth["names"].index("voxels")] == 5 * 10 * 20
    numbers = image_of(folder / "a.html", "labels-0-8")
    assert np.array_equal(np.argwhere(numbers[..., 0] == 2).min(0), (40, 30))
    assert numbers[..., 1:].max() == 0
    grey = image_of(folder / "a.html", "raw-8").astype(int)
    assert abs(grey[3, 3] - 0).max() < 12
    assert abs(grey[50, 70] - 255).max() < 12


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_slabs_of_any_depth_make_the_same_page(folder, axis, monkeypatch):
    view("truth.h5", "-o", "a.html", "--axis", axis)
    monkeypatch.setattr(view_page, "PART_OF_MEMORY", 2**40)  # room for one slice at a time
    view("truth.h5", "-o", "b.html", "--axis", axis)
    pages = [(folder / name).read_text().splitlines() for name in ("a.html", "b.html")]
    assert sorted(pages[0]) == sorted(pages[1])  # the images stand in another order
    size = {"z": [60, 80], "y": [12, 80], "x": [12, 60]}[axis]
    assert facts_of(folder / "a.html")["size"] == size


def test_larger_slices_are_resampled_and_ids_stay_ids(folder):
    view("truth.h5", "-o", "a.html", "--longest", "40", "--slices", "3,8,3")
    facts = facts_of(folder / "a.html")
    assert facts["positions"] == [3, 8]
    assert facts["size"] == [30, 40]
    numbers = image_of(folder / "a.html", "labels-0-0")[..., 0]
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert np.count_nonzero(numbers == 1) == 4 * 9  # of 10 x 20, and half pixels around


def test_instances_that_were_not_asked_for_are_not_on_the_page(folder):
    view("truth.h5", "-o", "a.html", "--ids", "2")
    facts = facts_of(folder / "a.html")
    assert facts["positions"] == [1, 2, 3, 4, 5]
    assert [row[0] for row in facts["layers"][0]["rows"]] == [2]
    assert np.count_nonzero(image_of(folder / "a.html", "labels-0-2")[..., 0]) == 200


def test_names_of_files_cannot_become_part_of_the_page(folder):
    view("found <b>&.h5", "-o", "a.html")
    text = (folder / "a.html").read_text()
    assert "<b>" not in text
    assert "<title>raw.h5 found &lt;b&gt;&amp;.h5</title>" in text
    assert facts_of(folder / "a.html")["layers"][0]["name"] == "found <b>&.h5"


def test_labels_without_an_instance_and_a_volume_without_labels_make_a_page(folder):
    write_volume(folder / "none.h5", np.zeros(SHAPE, np.uint8))
    view("none.h5", "--truth", "truth.h5", "-o", "a.html")
    assert facts_of(folder / "a.html")["counts"]["missed"] == 2
    view("-o", "b.html")
    assert facts_of(folder / "b.html")["layers"] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-o", "a.gif"], "a.gif: a view is one of .png, .html."),
        (
            ["truth.h5", "truth.h5", "--truth", "truth.h5", "-o", "a.html"],
            "--truth: judges one prediction on",
        ),
    ],
)
def test_what_no_page_can_show_is_said(folder, capsys, words, why):
    assert run(["view", "raw.h5", *words]) == 2
    assert why in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, folder):
    """The page of the volumes above, opened; what goes wrong in it, or leaves it, fails the test."""
    view("found <b>&.h5", "--truth", "truth.h5", "-o", "a.html")
    wrong = []
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url.startswith("http") else None)
    page.goto((folder / "a.html").as_uri())
    drawn(page, 0)
    yield page
    page.close()
    assert wrong == []


def drawn(page, number):
    page.wait_for_selector(f"#picture[data-slice='{number}']")


def colours_in(page) -> set[tuple[int, ...]]:
    """Return the colours of the canvas."""
    text = page.evaluate("document.querySelector('#picture').toDataURL()").split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    return set(map(tuple, np.unique(pixels, axis=0).tolist()))


BLUE, YELLOW, RED = (86, 180, 233), (240, 228, 66), (213, 94, 0)


@in_a_browser
def test_the_colours_of_a_slice_tell_what_became_of_its_instances(page):
    page.keyboard.press("PageDown")
    drawn(page, 10)
    assert RED in colours_in(page)
    for _ in range(7):
        page.keyboard.press("ArrowUp")
    drawn(page, 3)
    colours = colours_in(page)
    assert {BLUE, YELLOW} <= colours
    assert RED not in colours
    assert page.inner_text("#where") == "z 3 (4 of 12)"


@in_a_browser
def test_an_instance_is_clicked_on_and_leads_to_its_match(page):
    page.evaluate("show(3)")
    drawn(page, 3)
    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + 15.5 / 80 * box["width"], box["y"] + 10.5 / 60 * box["height"])
    page.wait_for_selector("#selected table")
    told = page.inner_text("#selected")
    assert "truth 1 hit" in told  # the truth lies above
    assert "voxels\t1000" in told
    page.click("#selected button")
    page.wait_for_selector("#selected :text(' 7')")
    assert page.inner_text("#selected strong") == "found <b>&.h5 7"


@in_a_browser
def test_layers_are_switched_with_mouse_and_keys(page):
    page.evaluate("show(3)")
    drawn(page, 3)
    page.keyboard.press("2")
    page.wait_for_selector("#picture[data-layers='0']")
    assert not page.is_checked("#layers input >> nth=2")
    colours = colours_in(page)
    assert YELLOW not in colours
    assert BLUE in colours
    page.click("#layers input >> nth=1")
    page.wait_for_selector("#picture[data-layers='']")
    assert all(max(colour) - min(colour) < 8 for colour in colours_in(page))  # greys, but for WebP's losses


@in_a_browser
def test_all_of_it_is_reached_with_keys_alone(page):
    page.keyboard.press("n")
    drawn(page, 8)  # the middle of the worst: the false positive
    assert f"{LARGE_ID} false positive" in page.inner_text("#selected")
    page.keyboard.press("n")
    drawn(page, 3)
    assert "7 hit" in page.inner_text("#selected")
    page.keyboard.press("Escape")
    page.wait_for_selector("#selected table", state="detached")
    page.focus("#search")
    page.keyboard.type("7")  # which is no command there
    assert page.locator("#instances tr").count() == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#selected table")


@in_a_browser
def test_the_wheel_moves_through_slices_and_with_ctrl_zooms_where_the_mouse_is(page):
    page.mouse.move(300, 300)
    page.mouse.wheel(0, 100)
    drawn(page, 1)
    before = page.locator("#picture").bounding_box()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    after = page.locator("#picture").bounding_box()
    assert after["width"] == pytest.approx(1.2 * before["width"], rel=0.01)
    place = [(300 - box["x"]) / box["width"] for box in (before, after)]
    assert place[0] == pytest.approx(place[1], abs=0.002)


@in_a_browser
def test_on_a_narrow_window_the_panel_stands_below(page):
    page.set_viewport_size({"width": 700, "height": 900})
    panel, stage = (page.locator(name).bounding_box() for name in ("aside", "#stage"))
    assert panel["y"] >= stage["y"] + stage["height"]
    assert panel["width"] == 700
