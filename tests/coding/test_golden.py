"""Stored files and payloads decode to what they were made of, here and in other surroundings."""

from __future__ import annotations

import numpy as np
import pytest

from rdsearch.coding.layout import Layout
from rdsearch.coding.networkfile import decode_file, part_sizes
from tests.coding.make_golden import LAYOUTS, files
from tests.coding.test_arrays import GOLDEN

FILES = sorted(path.stem for path in GOLDEN.glob("*.rdz.npz"))


def layout_of(network_id: str) -> Layout:
    return LAYOUTS[network_id]


def golden(name: str) -> tuple[bytes, dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return (GOLDEN / name).read_bytes(), {key: stored[key] for key in stored.files}


@pytest.mark.parametrize("name", FILES)
def test_golden_files_decode_to_what_they_were_made_of(name: str) -> None:
    data, wanted = golden(name)
    state = decode_file(data, layout_of).state_dict()
    assert list(state) == list(wanted)
    for key, array in wanted.items():
        assert state[key].dtype == array.dtype
        np.testing.assert_array_equal(state[key], array)
    assert sum(part_sizes(data).values()) == len(data)


def test_golden_files_are_those_that_the_script_makes() -> None:
    made = files()
    assert {f"{name}.rdz" for name in made} == set(FILES)
    for name, data in made.items():
        # Not the bytes: builds of zlib differ in what they write.
        state = decode_file(data, layout_of).state_dict()
        assert all(np.array_equal(state[key], array) for key, array in golden(f"{name}.rdz")[1].items())
