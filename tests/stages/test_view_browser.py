"""The page of `mitotools view`, in a real browser where there is one (Debian's chromium)."""

from __future__ import annotations

import base64
import io
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image, ImageColor
from stages.networks import write_volume

from mitotools.cli.main import run
from mitotools.stages.scoring.judging import LEGEND

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

SHAPE = (12, 60, 80)
LARGE_ID = 2**60
WHITE, *KINDS = (255, 255, 255), *map(ImageColor.getrgb, LEGEND.values())
COLOUR = dict(zip(LEGEND, KINDS, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A hit (7, which is 1), a missed truth (2), a false positive, and a large slice."""
    folder = tmp_path_factory.mktemp("pages")
    truth, found = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint64)
    truth[1:6, 5:15, 5:25] = 1
    truth[1:6, 25:35, 5:25] = 2
    found[1:6, 5:15, 5:25] = 7
    found[6:11, 40:55, 30:50] = LARGE_ID
    large = np.zeros((1, 900, 900), np.uint8)
    large[:, 100:800, 100:800] = 1
    write_volume(folder / "raw.h5", np.full(SHAPE, 200, np.uint8))
    write_volume(folder / "truth.h5", truth)
    write_volume(folder / "found <b>&.h5", found)
    write_volume(folder / "large.h5", large)
    return folder


@pytest.fixture(scope="module")
def pages(folder):
    """The page of such volumes, made once."""
    made = {}

    def page_of(raw, *words):
        if (raw, *words) not in made:
            made[raw, *words] = folder / f"{len(made)}.html"
            names = [str(folder / word) if word.endswith(".h5") else word for word in (raw, *words)]
            assert run(["view", *names, "-o", str(made[raw, *words]), "-q"]) == 0
        return made[raw, *words]

    return page_of


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser, path):
    """The page, opened; what goes wrong in it, or leaves it, fails the test."""
    wrong = []
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(path.as_uri())
    drawn(page, 0)
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def page(browser, pages):
    with opened(browser, pages("raw.h5", "found <b>&.h5", "--truth", "truth.h5")) as page:
        yield page


def drawn(page, number):
    page.wait_for_selector(f"#picture[data-slice='{number}']")


def until(page, what):
    """Wait until an expression is true: in steps from here, as the page lets no text be run by a timer."""
    for _ in range(200):
        if page.evaluate(what):
            return
        page.wait_for_timeout(25)
    raise AssertionError(what)


def painted(page):
    """Wait until what was asked for is on the screen."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def canvas(page) -> np.ndarray:
    """Return the (H, W, 3) pixels of the canvas."""
    painted(page)
    text = page.evaluate("document.querySelector('#picture').toDataURL()").split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB"))


def colours_in(page) -> set[tuple[int, ...]]:
    return set(map(tuple, np.unique(canvas(page).reshape(-1, 3), axis=0).tolist()))


def in_window(page, column, line) -> tuple[float, float]:
    """Return where a place of the slice lies on the screen."""
    left, top, zoom = page.evaluate("[view.left, view.top, view.zoom]")
    stage = page.locator("#stage").bounding_box()
    return stage["x"] + left + column * zoom, stage["y"] + top + line * zoom


def click(page, column, line):
    page.mouse.click(*in_window(page, column, line))


def selected(page) -> str:
    page.wait_for_selector("#selected strong")
    return page.inner_text("#selected p")


def marked_row(page) -> str:
    return page.inner_text("#instances tr[aria-selected=true]")


def test_the_colours_of_a_slice_tell_what_became_of_its_instances(page):
    page.keyboard.press("PageDown")
    drawn(page, 10)
    assert COLOUR["false positive"] in colours_in(page)
    for _ in range(7):
        page.keyboard.press("ArrowUp")
    drawn(page, 3)
    colours = colours_in(page)
    assert {COLOUR["hit"], COLOUR["missed"]} <= colours
    assert COLOUR["false positive"] not in colours
    assert page.input_value("#number") == "3"
    assert page.inner_text("#where") == "(4 of 12, 15 nm)"


def test_an_instance_is_clicked_on_and_leads_to_its_match(page):
    page.evaluate("show(3)")
    drawn(page, 3)
    click(page, 15.5, 10.5)
    assert selected(page) == "found <b>&.h5 7 hit"
    assert "voxels\t1000" in page.inner_text("#selected")
    page.click("#selected button")
    page.wait_for_selector("#selected :text('truth.h5 1')")
    assert marked_row(page).startswith("1 (truth)\thit")  # in a list that has the truth's hits too
    for _ in range(2):
        click(page, 15.5, 10.5)  # the next layer's, and the first's again
    page.wait_for_selector("#selected :text('truth.h5 1')")


def test_layers_are_switched_with_mouse_and_keys(page):
    page.evaluate("show(3)")
    drawn(page, 3)
    page.keyboard.press("2")
    page.wait_for_selector("#picture[data-layers='0']")
    assert not page.is_checked("#layers input >> nth=2")
    colours = colours_in(page)
    assert COLOUR["missed"] not in colours
    assert COLOUR["hit"] in colours
    page.click("#layers input >> nth=1")
    page.wait_for_selector("#picture[data-layers='']")
    page.evaluate("meta.width_nm = null")  # no bar
    page.evaluate("paint()")
    assert all(max(colour) - min(colour) < 8 for colour in colours_in(page))  # greys, but for WebP's losses


def test_fills_of_two_layers_hide_neither_each_other_nor_outlines(browser, pages, folder):
    """A prediction at columns 10 to 40 and a truth at 30 to 60, of other kinds; both at lines 20 to 40."""
    shape = (1, 60, 80)
    found, truth = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    found[:, 20:40, 10:40] = 1
    truth[:, 20:40, 30:60] = 1
    write_volume(folder / "one.h5", np.zeros(shape, np.uint8))
    write_volume(folder / "left.h5", found)
    write_volume(folder / "right.h5", truth)
    with opened(browser, pages("one.h5", "left.h5", "--truth", "right.h5", "--hit-iou", "0.9")) as page:
        page.evaluate("coloursOf[1][1] = 0xFF0000FF")  # red, whatever its kind
        outline = tuple(np.array(ImageColor.getrgb(page.evaluate("meta.layers[0].colours[0]"))))
        zoom = page.evaluate("view.zoom")
        place = page.evaluate("[view.left, view.top]")
        page.keyboard.press("f")
        pixels = canvas(page)
        at = [
            tuple(pixels[int(place[1] + 30 * zoom), int(place[0] + column * zoom)]) for column in (20, 35, 50)
        ]
        assert len(set(at)) == 3
        edge = int(place[0] + 40 * zoom) - 2
        assert tuple(pixels[int(place[1] + 30 * zoom), edge]) == outline  # inside the truth
        click(page, 20, 30)
        selected(page)
        painted(page)
        assert tuple(canvas(page)[int(place[1] + 30 * zoom), edge]) == WHITE


def test_dotted_outlines_are_seen_in_all_directions(browser, pages, folder):
    down, across = np.abs(np.indices((80, 80)) - 40)
    write_volume(folder / "square.h5", np.zeros((1, 80, 80), np.uint8))
    write_volume(folder / "diamond.h5", ((down + across) < 30).astype(np.uint8)[np.newaxis])
    write_volume(folder / "nothing.h5", np.zeros((1, 80, 80), np.uint8))
    with opened(browser, pages("square.h5", "nothing.h5", "--truth", "diamond.h5")) as page:
        rim = (canvas(page) == COLOUR["missed"]).all(axis=2)
        left, top, zoom = page.evaluate("[view.left, view.top, view.zoom]")
    middle = int(top + 40 * zoom), int(left + 40 * zoom)
    parts = [half for side in np.split(rim, [middle[0]]) for half in np.split(side, [middle[1]], axis=1)]
    counts = [np.count_nonzero(part) for part in parts]
    assert min(counts) > 0.7 * max(counts)


def test_outlines_of_a_slice_made_smaller_have_no_gaps(browser, pages):
    with opened(browser, pages("large.h5", "large.h5")) as page:
        page.set_viewport_size({"width": 900, "height": 500})
        painted(page)
        zoom, top = page.evaluate("[view.zoom, view.top]")
        assert zoom < 0.6
        pixels = canvas(page)
        colour = ImageColor.getrgb(page.evaluate("meta.layers[0].colours[0]"))
        lines = (pixels == colour).all(axis=2)[int(top + 110 * zoom) : int(top + 790 * zoom)]
        assert (lines.sum(axis=1) == 4).all()  # two pixels of the screen on both sides


def test_the_list_starts_with_what_was_missed_and_the_legend_filters_it(page):
    rows = page.locator("#instances tr")
    assert [row.split("\t")[:2] for row in rows.all_inner_texts()] == [
        ["2 (truth)", "missed"],
        [str(LARGE_ID), "false positive"],
        ["7", "hit"],
    ]
    page.click("#kinds button:has-text('missed')")
    assert rows.count() == 1
    page.keyboard.press("n")
    drawn(page, 3)
    assert selected(page) == "truth.h5 2 missed"
    page.click("#kinds button:has-text('missed')")
    assert rows.count() == 3
    assert marked_row(page).startswith("2 (truth)\t")


def test_instances_are_reached_with_keys_alone(page):
    for number, name in ((3, "truth.h5 2 missed"), (8, f"found <b>&.h5 {LARGE_ID} false positive")):
        page.keyboard.press("n")
        drawn(page, number)
        assert selected(page) == name
    page.keyboard.press("N")  # CapsLock
    drawn(page, 3)
    assert selected(page) == "found <b>&.h5 7 hit"
    page.keyboard.press("Escape")
    page.wait_for_selector("#selected table", state="detached")
    page.focus("#search")
    page.keyboard.type("7")  # which is no command there
    assert page.locator("#instances tr").count() == 1
    page.keyboard.press("Enter")
    assert selected(page) == "found <b>&.h5 7 hit"
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "stage"
    page.focus("#of")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText").startswith("7\t")  # the selected one
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    drawn(page, 8)
    assert page.evaluate("document.activeElement.innerText").startswith(str(LARGE_ID))
    page.keyboard.press("m")
    assert page.input_value("#ids input") == str(LARGE_ID)


def test_keys_move_the_view_and_scroll_what_is_selected(page):
    page.focus("#slider")
    page.keyboard.press("ArrowDown")
    drawn(page, 1)  # as elsewhere
    before = in_window(page, 0, 0)
    page.keyboard.press("Shift+ArrowRight")
    painted(page)
    assert in_window(page, 0, 0)[0] < before[0] - 50
    page.set_viewport_size({"width": 1280, "height": 500})
    page.keyboard.press("n")
    drawn(page, 3)
    page.focus("#selected")
    page.keyboard.press("End")
    until(page, "document.querySelector('#selected').scrollTop > 50")
    assert page.input_value("#number") == "3"
    page.fill("#number", "9")
    page.keyboard.press("Enter")
    drawn(page, 9)


def test_help_is_one_key_away_and_said_on_the_screen(page):
    page.set_viewport_size({"width": 1366, "height": 768})
    hint = page.locator("#keys").bounding_box()
    assert hint["y"] + hint["height"] < 768
    page.keyboard.press("?")
    page.wait_for_selector("#help[open] :text('first and last slice')")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    assert page.input_value("#number") == "0"


def test_a_selected_instance_is_brought_into_view_and_a_resize_keeps_the_view(page):
    for _ in range(6):
        page.keyboard.press("+")
    page.keyboard.press("n")
    drawn(page, 3)
    painted(page)
    stage = page.locator("#stage").bounding_box()
    until(page, "view.left + 15 * view.zoom > 0")
    x, y = in_window(page, 15, 30)  # the middle of truth 2
    assert abs(x - stage["x"] - stage["width"] / 2) < 2
    assert abs(y - stage["y"] - stage["height"] / 2) < 2
    zoom = page.evaluate("view.zoom")
    page.set_viewport_size({"width": 1000, "height": 600})
    until(page, "view.across < 800")
    assert page.evaluate("view.zoom") == zoom
    room = page.locator("#stage").bounding_box()
    assert in_window(page, 15, 30)[0] - room["x"] == pytest.approx(room["width"] / 2, abs=2)


def test_the_wheel_moves_through_slices_and_with_ctrl_zooms_where_the_mouse_is(page):
    page.mouse.move(300, 300)
    page.mouse.wheel(0, 100)
    drawn(page, 1)
    for _ in range(20):  # a trackpad
        page.mouse.wheel(0, 4)
    drawn(page, 2)
    before, zoom = in_window(page, 0, 0), page.evaluate("view.zoom")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    until(page, f"view.zoom > {zoom}")
    after = in_window(page, 0, 0)
    assert page.evaluate("view.zoom") == pytest.approx(1.2 * zoom)
    for was, now in zip(before, after, strict=True):
        assert 300 - now == pytest.approx(1.2 * (300 - was), abs=0.1)


def test_a_page_of_grey_values_alone_takes_all_keys_and_clicks(browser, pages):
    with opened(browser, pages("raw.h5")) as page:
        for key in ("n", "p", "f", "1", "m", "Escape", "g"):
            page.keyboard.press(key)
        click(page, 40, 30)
        assert page.locator("#layers input").count() == 1
        page.keyboard.press("?")
        assert "instance" not in page.inner_text("#help")


def test_the_pointer_tells_place_and_id(page):
    page.evaluate("show(3)")
    drawn(page, 3)
    page.mouse.move(*in_window(page, 15.5, 10.5))
    assert (
        page.inner_text("#pixel")
        == "x 15, y 10 \u00b7 grey about 200 \u00b7 found <b>&.h5 7 \u00b7 truth.h5 1"
    )


def test_on_a_narrow_window_the_panel_stands_below(page):
    page.set_viewport_size({"width": 700, "height": 900})
    panel, stage = (page.locator(name).bounding_box() for name in ("aside", "#stage"))
    assert panel["y"] >= stage["y"] + stage["height"]
    assert panel["width"] == 700
    page.set_viewport_size({"width": 340, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == 340


def test_on_paper_text_is_dark_and_the_whole_slice_is_there(page):
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    box = page.locator("#picture").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(
        page.evaluate("picture.width / picture.height"), rel=0.01
    )
    assert page.evaluate("getComputedStyle(document.querySelector('.swatch')).printColorAdjust") == "exact"
