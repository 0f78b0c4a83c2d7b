import numpy as np
import pytest

from mitotools.learn.augment import dense_body
from mitotools.learn.augment.context import Context

FLAT = np.zeros(dense_body.NODES).tolist()
BALL = {"middle": [10.0, 20.0, 20.0], "radii": [5.0, 10.0, 10.0], "bumps": FLAT, "grey": 0.25, "kept": 0.0}
SHAPE = (21, 41, 41)


def painted(labels=None, image=None, **changes):
    image = np.ones(SHAPE, np.float32) if image is None else image
    labels = np.zeros(SHAPE, np.uint16) if labels is None else labels
    dense_body.apply(image, labels, None, {"bodies": [{**BALL, **changes}]})
    return image


def test_a_body_is_an_even_dark_ellipsoid_with_a_soft_surface():
    image = painted()
    # From the middle along x: its grey up to 9.5 pixels, half at 10, the old one from 10.5.
    assert image[10, 20, 20:].tolist() == [0.25] * 10 + [pytest.approx(0.625)] + [1] * 10
    # Along z it reaches half as far.
    assert (image[:, 20, 20] < 0.3).nonzero()[0].tolist() == list(range(6, 15))
    assert np.allclose(image, image.transpose(0, 2, 1))
    assert np.allclose(image, image[::-1, ::-1, ::-1])


def test_a_part_of_the_contrast_shows_through():
    image = np.ones(SHAPE, np.float32)
    image[10, 20, 18] = 0.4
    image[10, 20, 22] = 1.6  # the mean stays 1
    body = painted(image=image, kept=0.5)[10, 20]
    assert body[[18, 20, 22]] == pytest.approx([0, 0.25, 0.25 + 0.3])  # no darker than black


def test_bumps_bend_the_surface():
    bumps = np.zeros(dense_body.NODES)
    bumps[:, :, 2:] = 0.3  # to the right: .3 of the radius farther, reached at the third of four nodes
    line = painted(bumps=bumps.tolist())[10, 20]
    dark = np.flatnonzero(line < 0.6)
    assert dark.min() == 11
    assert dark.max() == 20 + 12


def test_a_body_stays_behind_instances():
    labels = np.zeros(SHAPE, np.uint16)
    labels[10, 20, 25:28] = 3
    image = painted(labels)
    assert np.all(image[labels > 0] == 1)
    assert image[10, 20, 24] == 0.25


def test_a_body_that_instances_are_in_the_way_of_is_not_painted():
    labels = np.zeros(SHAPE, np.uint16)
    labels[:, :, 25:] = 3
    assert np.all(painted(labels) == 1)


@pytest.mark.parametrize("middle", [[0.0, 0.0, 0.0], [20.0, 40.0, 40.0], [10.0, 39.0, 2.0]])
def test_a_body_at_the_edge_is_cut(middle):
    whole = np.ones((61, 121, 121), np.float32)
    there = [m + offset for m, offset in zip(middle, (20, 40, 40), strict=True)]
    labels = np.zeros(whole.shape, np.uint16)
    dense_body.apply(whole, labels, None, {"bodies": [{**BALL, "middle": there}]})
    assert painted(middle=middle) == pytest.approx(whole[20:41, 40:81, 40:81], abs=1e-6)


def test_bodies_are_drawn_in_nanometres():
    for size in [(30, 8, 8), (16, 16, 16)]:
        context = Context.of((10, 40, 40), size)
        rng = np.random.default_rng(0)
        bodies = [body for _ in range(200) for body in dense_body.draw(rng, context)["bodies"]]
        radii = np.array([body["radii"] for body in bodies]) * size
        mean = np.exp(np.log(radii).mean(axis=1))
        assert 100 * np.exp(-0.5) <= mean.min() < 110
        assert 640 < mean.max() <= 700 * np.exp(0.5)
        assert np.abs(np.log(radii / mean[:, None])).max() < 2 * 0.5 * 2 / 3 + 1e-9
