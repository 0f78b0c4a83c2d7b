import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment import decode_cases, decode_cases_tracking, decode_cases_watershed
from segment.decode_cases import drawn, slices
from segment.reference_decoders import METHODS, decoding_tasks, reference

from mitotools.segment.decoders import decoder

every_case = pytest.mark.parametrize(
    "case",
    [*decode_cases.CASES, *decode_cases_watershed.CASES, *decode_cases_tracking.CASES],
    ids=lambda case: f"{case.parameters.method}: {case.why}",
)


@every_case
def test_the_slow_reference_gives_the_labels_drawn_by_hand(case):
    assert drawn(reference(case.maps, case.parameters)) == slices(case.expected)


@every_case
def test_the_decoder_gives_the_labels_drawn_by_hand(case):
    labels = decoder(case.parameters.method).decode(case.maps, case.parameters)
    assert drawn(labels) == slices(case.expected)


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_random_maps_give_the_labels_of_the_slow_reference(method, data):
    maps, parameters = data.draw(decoding_tasks(method))
    labels = decoder(method).decode(maps, parameters)
    assert np.array_equal(labels, reference(maps, parameters))
