"""Networks of ``transformers``, by structure: small ones with random weights, nothing is fetched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rdsearch.base.network.weights import weights_of
from rdsearch.quantization import METHODS
from rdsearch.quantization.lockstep import Lockstep
from rdsearch.quantization.method import Work
from rdsearch.quantization.methods import sequential
from rdsearch.quantization.uniform import dequantize
from rdsearch.quantization.watch import run_watched

tf = pytest.importorskip("transformers")

WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = {**WIDTH, "vocab_size": 64, "intermediate_size": 64}
MIXED = {**WORDS, "num_key_value_heads": 2, "num_local_experts": 4}
IMAGES, TOKENS = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(384) % 64
EMBEDDINGS = {
    "bert": {f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")},
    "gpt2": {"transformer.wpe.weight"},  # the other one is the output layer's weight as well
    "llama": {"model.embed_tokens.weight"},
    "mixtral": {"model.embed_tokens.weight"},
}

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: tf.ViTForImageClassification(tf.ViTConfig(**WIDTH, image_size=32, patch_size=8)),
    "swin": lambda: tf.SwinForImageClassification(
        tf.SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=4)
    ),
    "convnext": lambda: tf.ConvNextForImageClassification(
        tf.ConvNextConfig(hidden_sizes=[16, 32], depths=[2, 2], num_stages=2)
    ),
    "bert": lambda: tf.BertForSequenceClassification(tf.BertConfig(**WORDS)),
    "gpt2": lambda: tf.GPT2LMHeadModel(
        tf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    ),
    "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**WORDS)),
    "mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**MIXED)),
}


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return NETWORKS[name]().eval(), IMAGES if name in {"vit", "swin", "convnext"} else TOKENS.reshape(24, 16)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_weights_are_treated_but_for_embeddings(name: str) -> None:
    network, inputs = made(name)
    watch = run_watched(network, list(weights_of(network)), inputs[:2], lambda name, product: None)
    aside = {name for name in weights_of(network) if name not in watch.uses or watch.uses[name].form is None}
    assert aside == EMBEDDINGS.get(name, set())


@pytest.mark.parametrize("name", NETWORKS)
def test_sequential_errs_less_than_rounding_at_the_same_step(name: str) -> None:
    network, inputs = made(name)
    errors = {}
    for method in ("uniform", "sequential"):
        steps = {name: float(weight.detach().std()) for name, weight in weights_of(network).items()}
        work = Work(network, copy.deepcopy(network), steps, batches=[inputs])
        METHODS.load(method)(work)
        with torch.no_grad():
            errors[method] = float((logits(work.coarse(inputs)) - logits(network(inputs))).square().sum())
    assert errors["sequential"] < 0.9 * errors["uniform"]


@pytest.mark.parametrize(("name", "in_place"), [("vit", False), ("bert", True), ("gpt2", True), ("mixtral", False)])
def test_a_float_network_in_lockstep_gives_the_same_levels_as_one_whose_products_are_kept(
    name: str, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, passes = [], []

    def lockstep(*arguments: Any) -> Lockstep:
        passes.append(arguments)
        return Lockstep(*arguments)

    monkeypatch.setattr(sequential, "Lockstep", lockstep)
    for kept in (sequential.KEPT, 0):
        monkeypatch.setattr(sequential, "KEPT", kept)
        assert not passes
        network, inputs = made(name)
        coarse = network if in_place else copy.deepcopy(network)
        steps = dict.fromkeys(weights_of(network), 0.02)
        work = Work(network, coarse, steps, batches=[inputs], rate_weight=0.02, fresh_network=NETWORKS[name])
        found.append((METHODS.load("sequential")(work), coarse.state_dict()))
    assert passes
    (levels, state), (others, other_state) = found
    assert all(np.array_equal(one.levels, others[name].levels) for name, one in levels.items())
    assert all(torch.equal(tensor, other_state[name]) for name, tensor in state.items())


def logits(output: Any) -> Tensor:
    found: Tensor = output.logits
    return found


class Tied(nn.Module):
    """Looks rows up and gives what they say of all rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.middle = nn.Embedding(48, 16), nn.Linear(16, 16)

    def forward(self, places: Tensor) -> Tensor:
        return nn.functional.linear(self.middle(self.rows(places)).relu(), self.rows.weight)


def test_an_output_layer_that_shares_an_embedding_is_treated_by_its_inputs_in_the_float_network() -> None:
    places = torch.arange(480).reshape(60, 8) % 48
    levels = {}
    for method in ("rate_aware", "hessian", "sequential"):
        network = Tied().eval()
        work = Work(network, copy.deepcopy(network), {"rows.weight": 0.8, "middle.weight": 0.2}, batches=[places])
        found = METHODS.load(method)(work)["rows.weight"]
        levels[method] = found.levels
        assert torch.equal(work.coarse.rows.weight, torch.from_numpy(dequantize(found)))
    assert np.array_equal(levels["sequential"], levels["hessian"])
    assert not np.array_equal(levels["sequential"], levels["rate_aware"])


def test_a_weight_that_is_looked_up_after_its_product_is_treated_when_its_inputs_come() -> None:
    class Late(Tied):
        def forward(self, x: Tensor) -> Tensor:
            scores = nn.functional.linear(self.middle(x).relu(), self.rows.weight)
            return self.rows(scores.argmax(-1))  # type: ignore[no-any-return]

    torch.manual_seed(1)
    network = Late().eval()
    work = Work(
        network, copy.deepcopy(network), {"rows.weight": 0.8, "middle.weight": 0.2}, batches=[torch.randn(40, 16)]
    )
    found = METHODS.load("sequential")(work)
    assert set(found) == {"rows.weight", "middle.weight"}
    assert torch.equal(work.coarse.rows.weight, torch.from_numpy(dequantize(found["rows.weight"])))
