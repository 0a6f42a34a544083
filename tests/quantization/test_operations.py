from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rdsearch.quantization.operations import Product
from rdsearch.quantization.watch import Watch, watching


def products(network: nn.Module, run: Callable[[], Any]) -> tuple[Watch, dict[str, list[tuple[Product, Tensor]]]]:
    """Products of every weight, with the columns that they were computed from."""
    found: dict[str, list[tuple[Product, Tensor]]] = {}

    def look(name: str, product: Product) -> None:
        found.setdefault(name, []).append((product, product.given.columns(slice(None)).clone()))

    watch = Watch(network, [name for name, parameter in network.named_parameters() if parameter.dim() > 1], look)
    with watching(network, watch):
        run()
    return watch, found


def second(rows: Tensor) -> Tensor:
    return rows.T @ rows


def by_hand(network: nn.RNNBase, sequence: Tensor) -> dict[str, list[Tensor]]:
    """What each weight of a recurrent network is multiplied with over one sequence (time, channels), cell by cell."""
    given: dict[str, list[Tensor]] = {}
    cell = {"LSTM": torch.lstm_cell, "GRU": torch.gru_cell, "RNN_TANH": torch.rnn_tanh_cell}[network.mode]
    for layer in range(network.num_layers):
        outputs = []
        for suffix in ("", "_reverse")[: 2 if network.bidirectional else 1]:
            weights = [
                getattr(network, f"{kind}_l{layer}{suffix}")
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            state: Any = torch.zeros(1, network.hidden_size)
            state = (state, state) if network.mode == "LSTM" else state
            seen = []
            for step in sequence.flip(0) if suffix else sequence:
                hidden = state[0] if isinstance(state, tuple) else state
                given.setdefault(f"weight_ih_l{layer}{suffix}", []).append(step)
                given.setdefault(f"weight_hh_l{layer}{suffix}", []).append(hidden[0])
                state = cell(step[None], state, *weights)
                seen.append((state[0] if isinstance(state, tuple) else state)[0])
            joined = torch.stack(seen)
            outputs.append(joined.flip(0) if suffix else joined)
        sequence = torch.cat(outputs, 1)
    return given


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("form", ["whole", "batch first", "packed"])
def test_recurrent_weights_are_multiplied_with_what_their_cells_get(kind: type[nn.RNNBase], form: str) -> None:
    torch.manual_seed(0)
    network = kind(3, 4, 2, bidirectional=True, batch_first=form == "batch first").eval()
    lengths = [5, 3, 2] if form == "packed" else [5, 5, 5]
    x = torch.randn(5, 3, 3)
    given: Any = x.transpose(0, 1) if form == "batch first" else x
    given = pack_padded_sequence(x, torch.tensor(lengths)) if form == "packed" else given
    watch, found = products(network, lambda: network(given))
    with torch.no_grad():
        wanted = [by_hand(network, x[:length, at]) for at, length in enumerate(lengths)]
    assert set(found) == set(wanted[0])
    for name, [(product, columns)] in found.items():
        rows = torch.cat([torch.stack(one[name]) for one in wanted])
        assert columns.shape == (1, *rows.shape)
        torch.testing.assert_close(second(columns[0]), second(rows))
        assert watch.uses[name].biases == {name.replace("weight", "bias")}
        assert product.form.matrices(product.weight).shape[2] == columns.shape[2]


@pytest.mark.parametrize("cell", [nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.RNNCell(3, 4)], ids=type)
def test_cells_are_seen_at_every_step(cell: Any) -> None:
    def run() -> None:
        state = None
        for step in torch.randn(5, 2, 3):
            state = cell(step, state)

    watch, found = products(cell, run)
    assert {name: len(calls) for name, calls in found.items()} == {"weight_ih": 5, "weight_hh": 5}
    assert watch.uses["weight_hh"].biases == {"bias_hh"}
    assert not found["weight_hh"][0][1].any()
    assert found["weight_hh"][4][1].any()


@pytest.mark.parametrize("options", [{}, {"kdim": 5, "vdim": 5}, {"batch_first": True}])
def test_attention_is_its_projections(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, **options).eval()
    query = torch.randn(4, 3, 8)
    key = torch.randn(4, 3, options.get("kdim", 8))
    for given in [(query, query, query)] * ("kdim" not in options) + [(query, key, key)]:
        _, found = products(attention, lambda given=given: attention(*given))  # type: ignore[misc]
        [(product, columns)] = found["out_proj.weight"]
        with torch.no_grad():
            outputs = attention(*given)[0]
            outputs = outputs.transpose(0, 1) if options.get("batch_first") else outputs
            answered = columns[0] @ product.weight.T + attention.out_proj.bias
        torch.testing.assert_close(answered, outputs.reshape(-1, 8))
        inside = [name for name in found if name != "out_proj.weight"]
        assert len(inside) == (3 if "kdim" in options else 1)


class Experts(nn.Module):
    """Matrices of three axes, used in one of the ways in which networks do."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.experts = way, nn.Parameter(torch.randn(3, 4, 5))

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "all at once":
            return torch.bmm(x.expand(3, -1, -1), self.experts)
        if self.way == "transposed":
            return torch.stack([nn.functional.linear(x[at::3], self.experts[at].T) for at in range(3)])
        return torch.stack([x[at::3] @ self.experts[at] for at in range(3)])


@pytest.mark.parametrize("way", ["all at once", "one by one", "transposed"])
def test_experts_are_matrices_each_with_its_own_inputs(way: str) -> None:
    network, x = Experts(way), torch.randn(12, 4)
    watch, found = products(network, lambda: network(x))
    form = watch.uses["experts"].form
    assert form is not None
    assert torch.equal(form.matrices(network.experts), network.experts.mT)
    assert [product.group for product, _ in found["experts"]] == ([None] if way == "all at once" else [0, 1, 2])
    assert [product.routed for product, _ in found["experts"]] == [way != "all at once"] * len(found["experts"])


def test_a_bilinear_layer_multiplies_products_of_its_inputs() -> None:
    layer, one, other = nn.Bilinear(3, 4, 2), torch.randn(5, 3), torch.randn(5, 4)
    _, found = products(layer, lambda: layer(one, other))
    [(product, columns)] = found["weight"]
    with torch.no_grad():
        answered = columns[0] @ product.form.matrices(product.weight)[0].T + layer.bias
        torch.testing.assert_close(answered, layer(one, other))


class Own(nn.Module):
    """Weights that are no layer's: times inputs from either side, and in ways that no product shows."""

    def __init__(self) -> None:
        super().__init__()
        self.right, self.left = nn.Parameter(torch.randn(4, 5)), nn.Parameter(torch.randn(6, 3))
        self.embedding, self.normed = nn.Embedding(7, 5), nn.Parameter(torch.randn(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.left @ (x @ self.right)
        mixed = nn.functional.linear(mixed, self.normed / self.normed.norm())
        return (
            nn.functional.linear(mixed, self.embedding.weight) + self.embedding(torch.zeros(1, dtype=torch.int64)).sum()
        )


def test_rows_that_are_looked_up_are_told_from_products() -> None:
    network, x = Own(), torch.randn(2, 3, 4)
    watch, found = products(network, lambda: network(x))
    assert {name for name, use in watch.uses.items() if use.form is not None} == {"right", "left", "embedding.weight"}
    assert [name for name, use in watch.uses.items() if use.looked_up is not None] == ["embedding.weight"]
    assert not watch.uses["embedding.weight"].otherwise
    with torch.no_grad():
        [(product, columns)] = found["left"]
        rows = columns[0] @ product.form.matrices(network.left)[0].T
        torch.testing.assert_close(rows.reshape(2, 5, 6).mT, network.left @ (x @ network.right))
