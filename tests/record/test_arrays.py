"""arrays.npz: what a run leaves for its pictures."""

from pathlib import Path

import numpy as np
import pytest

from fc2conv.record.arrays import FILE, Arrays


def written(folder: Path) -> Arrays:
    features = {"conv1": np.ones((3, 6, 8, 8), np.float16), "block/conv2": np.zeros((3, 2, 4, 4), np.float16)}
    arrays = Arrays(filters=np.full((6, 1, 5, 5), 0.5, np.float32), features=features)
    arrays.write(folder)
    return arrays


def test_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrays, read = written(tmp_path), Arrays.read(tmp_path)
    assert read is not None
    assert list(read.features) == ["conv1", "block/conv2"]  # in the network's order
    assert read.features["conv1"].dtype == np.float16
    np.testing.assert_array_equal(read.filters, arrays.filters)
    assert read.examples.shape == (0, 1, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("left", [0, 2, 100, -40])
def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, left: int) -> None:
    written(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:left])
    assert Arrays.read(tmp_path) is None


def test_no_pickle_is_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / FILE, filters=np.array([{"a": 1}], dtype=object))
    assert Arrays.read(tmp_path) is None


def test_a_later_version_s_arrays_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / FILE, filters=np.zeros((1, 1, 3, 3), np.float32), unheard_of=np.zeros(3))
    read = Arrays.read(tmp_path)
    assert read is not None
    assert read.filters.shape == (1, 1, 3, 3)
