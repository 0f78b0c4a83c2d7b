from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitotools.errors import InputError, UsageError
from mitotools.segment.where import parsed

COLUMNS = {
    "id": np.array([1, 2, 2**64 - 1], np.uint64),
    "voxels": np.array([10, 2000, 30], np.int64),
    "z_min": np.array([0, 4, 7], np.int64),
    "share": np.array([0.5, np.nan, 0.1]),
    "touches_border": np.array([True, False, False]),
    "volume_um3": None,
}


def held(text: str) -> list[int]:
    """Return the rows for which a condition holds."""
    return np.flatnonzero(parsed(text).holds(COLUMNS)).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("voxels >= 2000", [1]),
        ("voxels > 10 and not touches_border", [1, 2]),
        ("voxels == 10 or voxels == 30", [0, 2]),
        ("10 < voxels <= 2000", [1, 2]),
        ("voxels > 10 > z_min", [1, 2]),
        ("(voxels + z_min) / 2 == 5", [0]),
        ("voxels - 20 < 0", [0]),
        ("-voxels < -10", [1, 2]),
        ("voxels % 20 == +10", [0, 2]),
        ("touches_border", [0]),
        ("touches_border == 1", [0]),
        ("touches_border == (voxels < 20)", [0, 1, 2]),
        ("touches_border or voxels > 10 and z_min > 5", [0, 2]),
        ("(touches_border or voxels > 10) and z_min > 3", [1, 2]),
        ("not voxels < 20 and not z_min < 5", [2]),
        ("1 < 2", [0, 1, 2]),
        ("1 > 2", []),
        ("id == 18446744073709551615", [2]),
        ("id != 18446744073709551614", [0, 1, 2]),
        ("id - 2 < 0", [0]),
        ("share > 0.2", [0]),
        ("voxels / z_min > 400", [0, 1]),
        ("  voxels != 10 ", [1, 2]),
        ("voxels != 10 # the small ones", [1, 2]),
        ("voxels*voxels*voxels*voxels*voxels*voxels > 1e18", [1]),
    ],
)
def test_a_condition_holds_where_arithmetic_says_so(text, rows):
    assert held(text) == rows


@pytest.mark.parametrize(
    "text",
    [
        "voxels.sum() > 1",
        "voxels.dtype > 1",
        "__import__('os')",
        "len(voxels)",
        "voxels[0] > 1",
        "'a' == 'a'",
        "b'a' == 1",
        "None == 1",
        "True",
        "1j > 2",
        "voxels ** 9 > 1",
        "voxels // 9 > 1",
        "voxels << 9 > 1",
        "~touches_border",
        "voxels & 1 > 0",
        "voxels is 1",
        "voxels in (1, 2)",
        "[voxels > 1]",
        "(voxels > 1, 1)",
        "lambda: 1",
        "voxels > 1 if touches_border else voxels",
        "(voxels := 1) > 0",
        "voxels > 1; voxels",
        "f'{voxels}'",
        "*voxels",
        "voxels > 18446744073709551616",
        "voxels > 1e999",
        "voxels >",
        "1and voxels > 2",
        "voxels = 10",
        "await voxels",
        "...",
        "",
        " ",
        "voxels\x00 > 1",
        "voxels\n> 1",
    ],
)
def test_whatever_else_python_has_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match="--where: ") as refusal:
        parsed(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["(" * 400 + "1" + ")" * 400, "-" * 900 + "1 > 0", "not " * 200 + "touches_border", "1+" * 300 + "1 > 0",
     "voxels > 1 and " * 100 + "1 > 0", "((((" * 100],
)  # fmt: skip
def test_what_is_nested_or_long_beyond_reason_is_refused(text):
    with pytest.raises(UsageError, match="--where: "):
        parsed(text)


def test_an_unknown_name_lists_the_known_ones():
    why = "there is no column 'size'. There is id, voxels, z_min, share, touches_border, volume_um3"
    with pytest.raises(UsageError, match=why):
        held("size > 1")


def test_a_column_that_needs_the_voxel_size_says_so_where_it_is_unknown():
    with pytest.raises(InputError, match="volume_um3 cannot be computed where the voxel size is unknown"):
        held("voxels > 10 or volume_um3 > 1")


@pytest.mark.parametrize("text", ["voxels", "not voxels", "voxels > 1 and z_min", "1", "voxels + 1"])
def test_a_number_is_no_condition(text):
    with pytest.raises(UsageError, match=r"is a number, not a condition\. Compare it"):
        held(text)


def test_a_table_without_rows_gives_none():
    empty = {name: column if column is None else column[:0] for name, column in COLUMNS.items()}

    assert parsed("voxels > 1 and not touches_border").holds(empty).tolist() == []
    assert parsed("1 < 2").holds(empty).tolist() == []


@st.composite
def conditions(draw, levels=3):
    """Return a condition, in words that both the grammar and Python know."""
    if levels == 0 or draw(st.booleans()):
        sides = [draw(st.sampled_from(["a", "b", "3", "(a+b)", "a*2", "-b", "b-a"])) for _ in range(3)]
        signs = [draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="])) for _ in range(2)]
        text = f"{sides[0]} {signs[0]} {sides[1]}"
        return f"{text} {signs[1]} {sides[2]}" if draw(st.booleans()) else text
    one, other = draw(conditions(levels=levels - 1)), draw(conditions(levels=levels - 1))
    return draw(st.sampled_from([f"not {one}", f"{one} and {other}", f"{one} or {other}", f"({one})"]))


@settings(max_examples=100, deadline=None)
@given(text=conditions(), values=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1))
def test_a_condition_means_what_python_means_by_it_row_by_row(text, values):
    a, b = (np.array(column, np.int64) for column in zip(*values, strict=True))

    expected = [eval(text, {"a": x, "b": y}) for x, y in values]  # noqa: S307 (made above)

    assert parsed(text).holds({"a": a, "b": b}).tolist() == expected
