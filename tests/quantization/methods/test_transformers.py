"""Networks of ``transformers``, by structure: small ones with random weights, nothing is fetched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdsearch.base.network.weights import weights_of
from rdsearch.quantization import METHODS
from rdsearch.quantization.method import Work
from rdsearch.quantization.watch import run_watched

tf = pytest.importorskip("transformers")

WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = {**WIDTH, "vocab_size": 64, "intermediate_size": 64}
MIXED = {**WORDS, "num_key_value_heads": 2, "num_local_experts": 4}
IMAGES, TOKENS = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(384) % 64
EMBEDDINGS = {
    "bert": {f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")},
    "gpt2": {"transformer.wte.weight", "transformer.wpe.weight"},
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


def logits(output: Any) -> Tensor:
    found: Tensor = output.logits
    return found
