from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rdsearch.errors import TaskError
from rdsearch.tasks.splits import ArraySplit, as_split


def images(count: int = 10) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(count, 3, 4, 5), dtype=np.uint8)


def read(split: ArraySplit, **arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(split.batches(4, **arguments))  # type: ignore[arg-type]
    return torch.cat([inputs for inputs, _ in batches]), torch.cat([targets for _, targets in batches])


def test_uint8_images_are_divided_by_255_and_then_normalised() -> None:
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    pixels = images()
    inputs, _ = read(ArraySplit(pixels, np.arange(10), mean=mean, std=std))
    expected = (pixels / 255.0 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(inputs.numpy(), expected, atol=1e-6)
    assert inputs.dtype == torch.float32


def test_floats_are_normalised_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2))
    inputs, _ = read(ArraySplit(values, np.arange(6), mean=[1.0, 2.0], std=[0.5, 4.0]))
    np.testing.assert_allclose(inputs.numpy(), (values - [1.0, 2.0]) / [0.5, 4.0], rtol=1e-5)


def test_token_ids_reach_the_network_as_integers() -> None:
    tokens = np.arange(12, dtype=np.int32).reshape(4, 3)
    inputs, _ = read(ArraySplit(tokens, np.arange(4)))
    assert inputs.dtype == torch.int64
    np.testing.assert_array_equal(inputs.numpy(), tokens)


def test_float_targets_stay_floats() -> None:
    _, targets = read(ArraySplit(np.zeros((3, 1)), np.array([0.5, 1.5, 2.5])))
    assert targets.tolist() == [0.5, 1.5, 2.5]


@given(count=st.integers(1, 40), batch=st.integers(1, 50), seed=st.integers(0, 5))
def test_a_shuffled_pass_yields_every_example_once_with_its_target(count: int, batch: int, seed: int) -> None:
    split = ArraySplit(np.arange(count, dtype=np.float32)[:, None], np.arange(count))
    batches = list(split.batches(batch, generator=np.random.default_rng(seed)))
    targets = torch.cat([target for _, target in batches])
    assert torch.equal(torch.cat([inputs for inputs, _ in batches])[:, 0].long(), targets)
    assert sorted(targets.tolist()) == list(range(count))
    assert all(len(target) == batch for _, target in batches[:-1])


def test_the_same_generator_seed_gives_the_same_order_and_without_one_the_order_is_kept() -> None:
    split = ArraySplit(images(50), np.arange(50))
    first = read(split, generator=np.random.default_rng(3))[1]
    again = read(split, generator=np.random.default_rng(3))[1]
    other = read(split, generator=np.random.default_rng(4))[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert read(split)[1].tolist() == list(range(50))


def test_read_only_arrays_are_read_without_a_warning_and_batches_can_be_written() -> None:
    pixels, labels = images(), np.arange(10)
    pixels.flags.writeable = labels.flags.writeable = False
    inputs, targets = next(iter(ArraySplit(pixels, labels).batches(4)))
    inputs.zero_()
    targets.zero_()
    assert pixels.any()


def test_subsets_share_the_arrays_and_index_this_split() -> None:
    split = ArraySplit(images(), np.arange(10))
    part = split.subset(np.array([8, 2, 5])).subset(np.array([2, 0]))
    assert read(part)[1].tolist() == [5, 8]
    assert part.labels is not None
    assert part.labels.tolist() == [5, 8]
    assert len(pickle.dumps((split, part))) < 1.5 * len(pickle.dumps(split))


def test_arrays_travel_out_of_band() -> None:
    buffers: list[pickle.PickleBuffer] = []
    split = ArraySplit(np.zeros((100, 1000), np.uint8), np.arange(100))
    body = pickle.dumps(split, protocol=5, buffer_callback=buffers.append)
    assert len(body) < 5_000
    received = pickle.loads(body, buffers=[bytes(buffer) for buffer in buffers])  # noqa: S301
    assert received.fingerprint == split.fingerprint
    assert read(received)[1].tolist() == list(range(100))


def test_the_fingerprint_depends_on_content_order_and_normalisation() -> None:
    pixels, labels = images(), np.arange(10)
    changed = pixels.copy()
    changed[3, 0, 0, 0] ^= 1
    split = ArraySplit(pixels, labels)
    others = [
        ArraySplit(changed, labels),
        ArraySplit(pixels, labels[::-1]),
        ArraySplit(pixels, labels, mean=0.5),
        split.subset(np.arange(9)),
        split.subset(np.arange(9)[::-1]),
    ]
    assert ArraySplit(pixels.copy(), labels.copy()).fingerprint == split.fingerprint
    assert len({split.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_augmentation_sees_the_stored_images_and_only_when_asked() -> None:
    seen = []

    def darken(batch: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
        seen.append(batch.dtype)
        return torch.zeros_like(batch)

    split = ArraySplit(images(), np.arange(10), augmentation=darken)
    assert read(split, generator=np.random.default_rng(0))[0].any()
    assert not read(split, generator=np.random.default_rng(0), augment=True)[0].any()
    assert set(seen) == {torch.uint8}


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "said"),
    [
        (np.zeros((3, 2)), np.zeros(4), {}, "3 inputs but 4 targets"),
        (np.zeros((0, 2)), np.zeros(0), {}, "empty"),
        (np.array(["a", "b"]), np.zeros(2), {}, "inputs are words such as 'a'"),
        (np.zeros(2, complex), np.zeros(2), {}, "dtype"),
        (np.zeros(2), np.array([2**63, 1], np.uint64), {}, "targets go up to 9223372036854775808"),
        (np.zeros((3, 2, 4, 4)), np.zeros(3), {"mean": [0.1, 0.2, 0.3]}, "for each channel"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    inputs: np.ndarray, targets: np.ndarray, options: dict[str, list[float]], said: str
) -> None:
    with pytest.raises(TaskError, match=said):
        ArraySplit(inputs, targets, **options)  # type: ignore[arg-type]


def _big_endian(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder(">"))


def _mapped(values: np.ndarray) -> np.ndarray:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - as long as the map
    mapped = np.memmap(file, values.dtype, "w+", shape=values.shape)
    mapped[:] = values
    return mapped


def _objects(values: np.ndarray) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = list(values)
    return made


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": lambda values: values.tolist(),
    "a list of arrays": list,
    "a tuple of tensors": lambda values: tuple(torch.from_numpy(np.array(values))),
    "memory maps": _mapped,
    "big-endian": _big_endian,
    "every second": lambda values: np.repeat(values, 2, axis=0)[::2],
    "backwards": lambda values: values[::-1].copy()[::-1],
    "Fortran order": np.asfortranarray,
    "objects": _objects,
    "a tensor with gradients": lambda values: torch.from_numpy(np.array(values)).requires_grad_(
        values.dtype.kind == "f"
    ),
    "a transposed tensor": lambda values: torch.from_numpy(np.array(values.T)).T,
    "read-only": lambda values: np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape),
}


@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors:UserWarning")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_numbers_in_any_form_are_the_same_split(form: Callable[[np.ndarray], Any]) -> None:
    inputs = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    labels = np.arange(6) % 3
    expected = ArraySplit(inputs, labels)
    split = as_split((form(inputs), form(labels)))
    assert split.fingerprint == expected.fingerprint
    assert torch.equal(read(split)[0], read(expected)[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_any_precision_are_read_as_float32(dtype: torch.dtype) -> None:
    values = torch.tensor([[0.5, 1.25], [2.0, -3.0]])
    inputs, _ = read(as_split((values.to(dtype), [0, 1])))  # type: ignore[arg-type]
    assert torch.equal(inputs, values)


@pytest.mark.parametrize(
    ("inputs", "targets", "said"),
    [
        ([np.zeros((3, 8, 8)), np.zeros((3, 9, 8))], [0, 1], "train: examples do not make one array"),
        ([torch.zeros(3, 8), torch.zeros(3, 9)], [0, 1], "train: examples do not make one array"),
        (torch.zeros(2, 3).to_sparse(), [0, 1], r"train: a sparse tensor is given: .*to_dense\(\)"),
        (torch.zeros(2, 3, device="meta"), [0, 1], "train: a meta tensor is given"),
        (np.ma.masked_equal([[1.0], [2.0]], 2.0), [0, 1], "train: a masked array is given"),
        ([[1.0], [None]], [0, 1], "train: inputs have dtype object"),
        ([[1.0], [2.0]], ["cat", "dog"], "train: targets are words such as 'cat': give numbers; of classes their"),
        ([[1.0], [2.0]], np.array(["cat", "dog"], object), "train: targets are words such as 'cat'"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_in_one_sentence(inputs: Any, targets: Any, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        as_split((inputs, targets), "train")


def test_a_list_of_two_examples_is_no_pair_of_arrays() -> None:
    with pytest.raises(TaskError, match=r"give a pair \(inputs, targets\) in which all examples have one shape"):
        as_split([(np.zeros(4), 0), (np.zeros(4), 1)], "train")
