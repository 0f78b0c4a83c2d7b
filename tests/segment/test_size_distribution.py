"""Fits of sizes: by hand on few numbers, and recovered from samples that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from mitotools.errors import InputError
from mitotools.segment.measures.size_distribution import fit_exponential, fit_line, size_distribution

WHOLE = np.zeros(4, bool)


def test_the_mean_is_what_instances_have_above_the_smallest_over_one_less():
    fit = fit_exponential(np.array([3.0, 2.0, 5.0, 10.0]), WHOLE)
    assert (fit.smallest_um3, fit.mean_um3) == (2, (1 + 0 + 3 + 8) / 3)


def test_the_interval_is_that_of_chi_squared():
    fit = fit_exponential(np.array([3.0, 2.0, 5.0, 10.0]), WHOLE)
    # Quantiles of 6 degrees of freedom, from a table: 14.449 and 1.237.
    assert (fit.low_um3, fit.high_um3) == pytest.approx((24 / 14.449, 24 / 1.237), rel=1e-3)


def test_what_the_border_cuts_adds_its_volume_but_no_event():
    cut = np.array([False, False, False, True])
    assert fit_exponential(np.array([3.0, 2.0, 5.0, 10.0]), cut).mean_um3 == (1 + 0 + 3 + 8) / 2


def test_a_cut_piece_below_the_smallest_whole_instance_says_nothing():
    volumes, cut = np.array([1.0, 2.0, 5.0]), np.array([True, False, False])
    fit = fit_exponential(volumes, cut)
    assert (fit.smallest_um3, fit.mean_um3) == (2, 3)


@pytest.mark.parametrize("volumes", [[], [2.0], [2.0, 2.0]])
def test_too_few_volumes_have_no_fit(volumes):
    assert fit_exponential(np.array(volumes), np.zeros(len(volumes), bool)) is None


def test_cut_pieces_alone_have_no_fit():
    assert fit_exponential(np.array([1.0, 2.0]), np.ones(2, bool)) is None


@pytest.mark.parametrize("are_some_cut", [False, True])
def test_the_interval_holds_the_truth_in_95_of_100_samples(are_some_cut):
    rng = np.random.default_rng(0)
    held, means = 0, []
    for _ in range(1000):
        volumes = 0.1 + rng.exponential(0.5, 60)
        seen = 0.1 + rng.exponential(1.5, 60) if are_some_cut else np.full(60, np.inf)
        fit = fit_exponential(np.minimum(volumes, seen), seen < volumes)
        held += fit.low_um3 < 0.5 < fit.high_um3
        means.append(fit.mean_um3)
    assert 930 <= held <= 970
    assert np.mean(means) == pytest.approx(0.5, rel=0.02)


def test_the_density_adds_up_to_all_instances():
    fit = fit_exponential(np.array([3.0, 2.0, 5.0, 10.0]), WHOLE)
    decades = np.linspace(0, 3, 30001)
    density = fit.density_per_decade(10**decades)
    assert density.sum() * 1e-4 == pytest.approx(1, rel=1e-3)
    assert density[10**decades < 2].max() == 0


def test_volume_that_grows_with_the_square_of_length_has_slope_two():
    fit = fit_line(np.array([1.0, 10.0, 100.0]), np.array([3.0, 300.0, 30000.0]))
    assert (fit.slope, fit.intercept, fit.r) == pytest.approx((2, np.log10(3), 1))
    assert (fit.low, fit.high) == pytest.approx((2, 2))
    assert fit.volumes_um3(np.array([1.0, 10.0])) == pytest.approx([3, 300])


def test_a_line_through_scattered_points_is_that_of_least_squares():
    # Logarithms 0, 1, 2 and 0, 2, 1: slope 1/2, mean 1, residuals -1/2, 1, -1/2; t of one degree 12.706.
    fit = fit_line(np.array([1.0, 10.0, 100.0]), np.array([1.0, 100.0, 10.0]))
    error = np.sqrt((0.25 + 1 + 0.25) / 1 / 2)
    assert (fit.slope, fit.intercept, fit.r, fit.count) == pytest.approx((0.5, 0.5, 0.5, 3))
    assert (fit.low, fit.high) == pytest.approx((0.5 - 12.706 * error, 0.5 + 12.706 * error), rel=1e-4)


def test_instances_without_a_length_are_left_out_of_the_line():
    lengths = np.array([1.0, 0.0, np.nan, 10.0, 100.0])
    assert fit_line(lengths, np.array([1.0, 7.0, 9.0, 10.0, 100.0])).count == 3


def test_one_volume_over_many_lengths_correlates_with_nothing():
    fit = fit_line(np.array([1.0, 10.0, 100.0]), np.full(3, 2.0))
    assert (fit.slope, fit.r) == (0, 0)


@pytest.mark.parametrize("lengths", [[], [1.0, 2.0], [3.0, 3.0, 3.0]])
def test_too_few_lengths_have_no_line(lengths):
    assert fit_line(np.array(lengths), np.arange(1.0, len(lengths) + 1)) is None


def test_the_interval_of_the_slope_holds_the_truth_in_95_of_100_samples():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        x = rng.uniform(-1, 1, 30)
        fit = fit_line(10**x, 10 ** (1.2 * x - 0.5 + rng.normal(0, 0.2, 30)))
        held += fit.low < 1.2 < fit.high
    assert 930 <= held <= 970


def test_a_table_without_skeletons_and_borders_has_volumes_only():
    found = size_distribution("a.tsv", {"volume_um3": np.array([1.0, *[3.0] * 9])})
    assert (found.lengths_um, found.line) == (None, None)
    assert found.touches_border.tolist() == [False] * 10
    assert found.exponential.mean_um3 == 2


def test_a_table_says_what_the_border_cuts_and_how_long_instances_are():
    columns = {
        "volume_um3": np.array([1.0, *[3.0] * 8, 2.0, 2.0]),
        "touches_border": np.array([*[False] * 9, True, True]),
        "skeleton_length_um": np.array([*range(1, 12)]),
    }
    found = size_distribution("a.tsv", columns)
    assert found.exponential.mean_um3 == (8 * 2 + 2 * 1) / 8
    assert found.line.count == 11


@pytest.mark.parametrize(("count", "is_fitted"), [(9, False), (10, True)])
def test_nothing_is_fitted_to_fewer_than_ten_instances(count, is_fitted):
    numbers = np.arange(1.0, count + 1)
    found = size_distribution("a.tsv", {"volume_um3": numbers, "skeleton_length_um": numbers})
    assert (found.exponential is not None, found.line is not None) == (is_fitted, is_fitted)
    assert found.is_small is not is_fitted
    # Of ten instances one has no skeleton, and nine points are too few for a line.
    numbers[0] = np.nan
    found = size_distribution(
        "a.tsv", {"volume_um3": np.arange(1.0, count + 1), "skeleton_length_um": numbers}
    )
    assert (found.exponential is not None, found.line) == (is_fitted, None)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": np.array([1])}, "no column volume_um3"),
        ({"volume_um3": None}, "voxel size is unknown"),
        ({"volume_um3": np.array([1.0, np.nan])}, "numbers above 0"),
        ({"volume_um3": np.array(["a"])}, "numbers above 0"),
    ],
)
def test_a_table_without_volumes_is_refused(columns, words):
    with pytest.raises(InputError, match=rf"^a\.tsv: .*{words}"):
        size_distribution("a.tsv", columns)
