"""The commands, on files, give the numbers of the benchmark's own programs, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from mitotools.cli.main import run

GOLDEN = Path(__file__).parent.parent / "segment" / "golden"
EVALUATE = json.loads((GOLDEN / "evaluate" / "expected.json").read_text())
DECODE = json.loads((GOLDEN / "decode" / "expected.json").read_text())


@pytest.mark.parametrize("protocol", ["paper", "challenge2021"])
@pytest.mark.parametrize("case", EVALUATE)
def test_evaluate_equals_the_benchmark(case, protocol, capsys):
    expected = EVALUATE[case]
    files = [str(GOLDEN / "evaluate" / expected[side]) for side in ("prediction", "truth")]
    assert run(["evaluate", *files, "--protocol", protocol, "--format", "json", "-q"]) == 0
    report = json.loads(capsys.readouterr().out)
    for size_class, by_threshold in expected[protocol]["ap"].items():
        for threshold, value in by_threshold.items():
            assert report["ap"][threshold][size_class] == (None if value == -1 else value)


@pytest.mark.parametrize("unit", [None, (16, 32, 48), (7, 9, 11)], ids=["whole", "blocks", "small blocks"])
@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name, case in DECODE.items() for options in case["runs"]]
)
def test_decode_equals_the_benchmark(name, options, unit, tmp_path, monkeypatch):
    if unit:
        monkeypatch.setattr("mitotools.stages.decoding.block_step.UNIT", unit)
        monkeypatch.setattr("mitotools.stages.decoding.block_step.PREFERRED_BYTES", 1)
    file = GOLDEN / "decode" / f"{name}.h5"
    words = [
        f"--{key.replace('_', '-')}={options[key]}"
        for key in ("seed_foreground", "seed_contour", "foreground", "min_size", "min_seed")
    ]
    assert run(["decode", f"{file}:maps", str(tmp_path / "labels.h5"), *words]) == 0
    with h5py.File(file) as expected, h5py.File(tmp_path / "labels.h5") as found:
        assert np.array_equal(found["main"], expected[options["dataset"]])
        assert found["main"].dtype == np.uint8
