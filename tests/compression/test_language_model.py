"""A Llama-like network as people have them: half precision, several files, tokens without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rdsearch.compression.loading import load
from rdsearch.compression.rounds import compress
from rdsearch.points.point import OperatingPoint
from rdsearch.tasks.task import Task

tf = pytest.importorskip("transformers")

CONFIG = tf.LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    tie_word_embeddings=True,
)


class Tokens(torch.utils.data.Dataset[tuple[dict[str, Tensor], int]]):
    """Sentences of 12 tokens, of which the last four are padding."""

    def __init__(self) -> None:
        self.tokens = torch.randint(0, 64, (32, 12), generator=torch.Generator().manual_seed(0))
        self.mask = (torch.arange(12) < 8).long()

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], int]:
        return {"input_ids": self.tokens[index], "attention_mask": self.mask}, 0


def make() -> nn.Module:
    network: nn.Module = tf.LlamaForCausalLM(CONFIG)
    return network


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder: Path = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    tf.LlamaForCausalLM(CONFIG).to(torch.bfloat16).save_pretrained(folder, max_shard_size="10KB")
    index = folder / "model.safetensors.index.json"
    return Task(network=make, checkpoint=index, train=Tokens(), validation=8, evaluate="kl")


def compressed(task: Task, **settings: Any) -> OperatingPoint:
    recipe = {"pruning": {"rate": 0}, "retrain": {"epochs": 0}, "quantization": {"calibration": 16, **settings}}
    return next(compress(task, recipe, device="cpu"))


@pytest.mark.filterwarnings("ignore:there is no loss")
def test_steps_by_sensitivity_bring_it_nearer_to_the_float_network_in_a_smaller_file(task: Task) -> None:
    shared = compressed(task, method="uniform", step=0.5)
    shared_out = compressed(task, method="uniform", step=0.56, granularity="sensitivity")
    assert shared_out.size_bytes < shared.size_bytes
    assert 0 < shared_out.accuracy_drop < 0.5 * shared.accuracy_drop
    assert load(shared_out.data or b"", into=make()).lm_head.weight.abs().sum() > 0
