from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.coding.container import write_sections
from rdsearch.coding.networkfile import LEVELS, REGISTERED, prefix_ends
from rdsearch.coding.reading import Reader
from rdsearch.compression.layout import layout_of, registered_layout
from rdsearch.compression.loading import decode, fill, load, load_tensors, save_state, truncated
from rdsearch.compression.packing.pack import pack
from rdsearch.config.recipe import QuantizationRecipe
from rdsearch.errors import FileFormatError, RdsearchError, TaskError, UnknownNameError
from rdsearch.tasks.networks.identity import build_network
from tests.tasks.helpers import TiedTransformer

FINE = QuantizationRecipe(step=1e-3, bias_bits=16)


class Own(nn.Module):
    """Buffers of several types, a tied weight, a scalar and a parameter that is a root of the tie."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.shared = self.embed.weight
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.norm = nn.BatchNorm1d(4, eps=1e-3)
        self.out = nn.Linear(4, 7)
        self.out.weight = self.embed.weight
        self.register_buffer("counts", torch.tensor([1, 2**40]))
        self.register_buffer("on", torch.tensor([True, False]))
        self.register_buffer("window", torch.linspace(0, 1, 5, dtype=torch.float64))
        self.register_buffer("cache", torch.zeros(3), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.norm(self.embed(tokens) * self.scale)) @ self.shared


def made(kind: str) -> nn.Module:
    torch.manual_seed(3)
    network = {"own": Own, "tied": TiedTransformer, "digits_cnn": lambda: build_network("digits_cnn")}[kind]()
    return network.eval()


def an_input(kind: str) -> Tensor:
    return (
        torch.randn(5, 1, 8, 8)
        if kind == "digits_cnn"
        else torch.arange(6).reshape(1, 6)
        if kind == "tied"
        else torch.arange(7)
    )


def packed(kind: str) -> bytes:
    network_id = kind if kind == "digits_cnn" else None
    return pack(made(kind), lambda: made(kind), FINE, [], network_id=network_id)


@pytest.mark.parametrize("kind", ["digits_cnn", "own", "tied"])
def test_a_decoded_file_is_the_network_with_its_weights_dequantized(kind: str) -> None:
    network, decoded = made(kind), load(packed(kind), into=type(made(kind))() if kind != "digits_cnn" else made(kind))
    x = an_input(kind)
    with torch.no_grad():
        torch.testing.assert_close(decoded.eval()(x), network(x), atol=5e-3, rtol=5e-3)
    state = load(packed(kind))
    assert list(state) == list(network.state_dict())
    assert {name: value.shape for name, value in state.items()} == {n: v.shape for n, v in network.state_dict().items()}


@pytest.mark.parametrize("kind", ["digits_cnn", "own", "tied"])
def test_logits_after_load_are_those_of_the_state_dict(kind: str) -> None:
    data, x = packed(kind), an_input(kind)
    plain = made(kind)
    plain.load_state_dict(load(data))
    with torch.no_grad():
        assert torch.equal(load(data, into=made(kind))(x), plain(x))


def test_buffers_come_back_exactly_and_tied_weights_stay_tied() -> None:
    decoded = load(packed("own"), into=Own())
    assert decoded.counts.tolist() == [1, 2**40]
    assert decoded.on.tolist() == [True, False]
    torch.testing.assert_close(decoded.window, torch.linspace(0, 1, 5, dtype=torch.float64))
    assert decoded.out.weight is decoded.embed.weight
    assert decoded.shared is decoded.embed.weight


def test_a_tied_weight_costs_its_bytes_once() -> None:
    untied = made("tied")
    untied.out.weight = nn.Parameter(untied.embedding.weight.detach().clone())
    twice = pack(untied, lambda: untied, FINE, [])
    assert len(packed("tied")) < len(twice) - 100


def test_the_layout_names_each_tensor_once_and_by_what_it_is() -> None:
    kinds = {entry.name: (entry.kind, entry.note) for entry in layout_of(Own()).entries}
    assert kinds == {
        "shared": ("weight", ""),
        "scale": ("vector", ""),
        "counts": ("buffer", "int64"),
        "on": ("buffer", "bool"),
        "window": ("buffer", "float32"),
        "embed.weight": ("tied", "shared"),
        "norm": ("batchnorm", "0.001"),
        "out.weight": ("tied", "shared"),
        "out.bias": ("vector", ""),
    }


def test_a_registered_layout_is_that_of_the_network_without_its_values() -> None:
    assert registered_layout("digits_cnn") == layout_of(build_network("digits_cnn"))
    assert registered_layout("digits_cnn?classes=3") == layout_of(build_network("digits_cnn?classes=3"))


def test_complex_parameters_are_refused() -> None:
    network = nn.Module()
    network.wave = nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))
    with pytest.raises(TaskError, match="'wave' has complex values"):
        layout_of(network)


@pytest.mark.parametrize(
    ("into", "said"),
    [
        (lambda: build_network("digits_cnn?classes=4"), r"fc2.bias is \(10,\) in the file, \(4,\) in the network"),
        (lambda: nn.Linear(3, 2), r"bias is missing in the file, \(2,\) in the network; .*; and \d+ more"),
    ],
)
def test_loading_into_another_architecture_names_the_tensors(into: object, said: str) -> None:
    with pytest.raises(FileFormatError, match=said):
        load(packed("digits_cnn"), into=into())  # type: ignore[operator]


def test_loading_into_a_normalisation_of_another_epsilon_is_refused() -> None:
    network = made("own")
    network.norm.eps = 1e-5
    with pytest.raises(
        FileFormatError, match=r"norm is \(4,\), eps 0\.001 in the file, \(4,\), eps 1e-05 in the network"
    ):
        load(packed("own"), into=network)


def test_fill_replaces_everything() -> None:
    network = made("digits_cnn")
    with torch.no_grad():
        for value in network.state_dict().values():
            value.fill_(7)
    file = decode(packed("digits_cnn"))
    fill(network, file)
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), file.state_dict()[name])


def test_a_file_is_read_from_a_path_as_from_its_bytes(tmp_path: Path) -> None:
    data = packed("digits_cnn")
    path = tmp_path / "net.rdz"
    path.write_bytes(data)
    for source in (path, str(path), bytearray(data), memoryview(data)):
        assert all(torch.equal(a, b) for a, b in zip(load(source).values(), load(data).values(), strict=True))


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"^nowhere\.rdz cannot be read: No such file"):
        load("nowhere.rdz")
    with pytest.raises(FileFormatError, match=r"None is neither the path of a \.rdz file nor its bytes"):
        load(None)  # type: ignore[call-overload]
    with pytest.raises(FileFormatError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "bad.rdz").write_bytes(b"PK\x03\x04")
    with pytest.raises(FileFormatError, match=r"bad\.rdz: not a \.rdz file"):
        load(tmp_path / "bad.rdz")


@pytest.mark.parametrize(
    "network_id",
    [
        "no_such_net",
        "os.path:join",
        "digits_cnn?classes=-3",
        "digits_cnn?classes=1e999",
        "digits_cnn?classes=1000000000000000000000000",
        "digits_cnn?classes=[[[",
        "digits_cnn?clases=3",
        "torchvision:resnet18?weights=%22DEFAULT%22",
        'torchvision:resnet18?num_classes=3&weights="DEFAULT"',
        "",
        "\x00?classes=-3",
    ],
)
def test_no_network_id_from_a_file_does_harm(network_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_download(*_: object, **__: object) -> None:
        raise AssertionError("a file made the reader download something")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_download)
    section = network_id.encode() + bytes(2)
    with pytest.raises(FileFormatError, match="which is not known here"):
        load(write_sections([(REGISTERED, section), (LEVELS, b"")]))


def test_every_flipped_bit_of_a_real_file_is_found() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    data = pack(network, lambda: network, QuantizationRecipe(step=0.5, bias_bits=4), [])
    for position in range(len(data)):
        with pytest.raises(FileFormatError):
            decode(data[:position])
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FileFormatError):
                decode(bytes(damaged))


def test_truncated_gives_the_file_where_it_fits_and_says_so_where_not() -> None:
    data = packed("digits_cnn")
    assert truncated(data, len(data)) == data
    with pytest.raises(FileFormatError, match=f"one network of {len(data):,} bytes .* to 1,000 bytes; take a smaller"):
        truncated(data, 1000)
    with pytest.raises(FileFormatError, match=r"not a \.rdz file"):
        truncated(b"PK\x03\x04", 1000)


def test_truncated_gives_the_finest_layer_that_fits() -> None:
    settings = QuantizationRecipe(step=0.1, quality_layers=4)
    data = pack(made("digits_cnn"), lambda: made("digits_cnn"), settings, [], network_id="digits_cnn")
    ends = prefix_ends(data)
    assert len(ends) == 4
    for number, end in enumerate(ends, start=1):
        cut = truncated(data, end)
        assert cut == data[:end] == truncated(data, end + 1)
        assert (decode(cut).refinement, decode(cut).refinements) == (number, 4)
        assert truncated(cut, len(data)) == cut
    with pytest.raises(FileFormatError, match=f"the first quality layer alone takes {ends[0]:,}, which cannot"):
        truncated(data, ends[0] - 1)


def test_a_coarser_network_has_the_function_of_its_own_weights_alone() -> None:
    settings = QuantizationRecipe(step=0.1, quality_layers=3)
    data = pack(made("own"), Own, settings, [])
    for end in prefix_ends(data):
        state = load(data[:end])
        decoded = load(data[:end], into=Own()).eval()
        assert all(torch.equal(value, state[name].to(value.dtype)) for name, value in decoded.state_dict().items())
        assert decoded.out.weight is decoded.embed.weight


def test_a_state_is_saved_as_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = decode(packed("tied")).state_dict()
    save_state(state, tmp_path / "net.safetensors")
    read = load_file(tmp_path / "net.safetensors")
    assert set(read) == set(state)
    for name, array in state.items():
        np.testing.assert_array_equal(read[name].numpy(), array)
    with pytest.raises(RdsearchError, match="cannot be written"):
        save_state(state, tmp_path / "nowhere" / "net.safetensors")


class Small(nn.Module):
    """A tied weight, an LSTM, which keeps a list of its weights beside the usual one, and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 5)
        self.memory = nn.LSTM(5, 5, batch_first=True)
        self.norm = nn.BatchNorm1d(5)
        self.out = nn.Linear(5, 5)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.norm(self.memory(self.embed(tokens))[0][:, -1]))


def test_a_loaded_network_is_ready_for_use() -> None:
    network = load(packed("digits_cnn"), into=build_network("digits_cnn").train())
    assert not any(module.training for module in network.modules())


def test_a_network_on_the_meta_device_is_filled_its_shared_weights_still_shared() -> None:
    torch.manual_seed(0)
    data = pack(Small().eval(), Small, FINE, [])
    with torch.device("meta"):
        network = Small()
    tokens = torch.randint(5, (3, 4))
    with torch.no_grad():
        assert torch.equal(load(data, into=network)(tokens), load(data, into=Small())(tokens))
    assert network.out.weight is network.embed.weight


def test_a_network_on_the_meta_device_that_no_file_can_fill_is_left_alone() -> None:
    with torch.device("meta"):
        network = Own()
    with pytest.raises(FileFormatError, match=r"no file can fill cache of it.*make the network on the CPU"):
        load(packed("own"), into=network)
    assert all(tensor.is_meta for tensor in network.state_dict().values())


@pytest.mark.parametrize("kind", ["own", "tied", "digits_cnn"])
def test_each_tensor_can_be_read_alone(kind: str) -> None:
    data = packed(kind)
    state = load(data)
    for name, tensor in state.items():
        ((found, alone),) = load_tensors(data, [name]).items()
        assert found == name
        assert alone.dtype == tensor.dtype
        assert torch.equal(alone, tensor)
    names = list(state)[::-2]
    assert list(load_tensors(data, names)) == names
    assert load_tensors(data, []) == {}


def test_single_tensors_of_a_file_in_quality_layers() -> None:
    network = made("digits_cnn")
    settings = QuantizationRecipe(step=0.1, quality_layers=3)
    data = pack(network, lambda: build_network("digits_cnn"), settings, [an_input("digits_cnn")])
    state = load(data)
    name = list(state)[2]
    assert torch.equal(load_tensors(data, [name])[name], state[name])


def test_what_is_behind_a_tensor_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, ...]] = []
    get = Reader.get

    def recorded(reader: Reader, shape: tuple[int, ...], *, in_order: bool = False) -> np.ndarray:
        decoded.append(shape)
        return get(reader, shape, in_order=in_order)

    monkeypatch.setattr(Reader, "get", recorded)
    load_tensors(packed("digits_cnn"), ["conv1.conv.weight"])
    assert len(decoded) <= 3


def test_a_tensor_that_is_not_there_is_named_with_one_that_is() -> None:
    with pytest.raises(UnknownNameError, match=r"no tensor 'conv1\.weight'; did you mean 'conv1\.bn\.weight'\?"):
        load_tensors(packed("digits_cnn"), ["conv1.weight"])
