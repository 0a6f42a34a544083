"""Small data and networks, easy to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn


def blobs(examples: int = 240, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre a class: (n, 4) float32 and labels (n,) int64."""
    generator = np.random.default_rng(seed)
    labels = np.arange(examples) % classes
    centres = 3.0 * np.eye(classes, 4)
    return (centres[labels] + 0.5 * generator.normal(size=(examples, 4))).astype(np.float32), labels


def small_network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def seeded_network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return small_network()


FORMS: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda x: x,
    "tuple": lambda x: (x[..., :1], x[..., 1:]),
    "one key": lambda x: {"x": x},
    "mapping": lambda x: {"left": x[..., :3], "right": x[..., 3:]},
    "tuple in a mapping": lambda x: {"pair": (x[..., :1], x[..., 1:])},
}
"""Ways to give a network the same numbers, whose last axis may be cut."""


class AnyForm(nn.Module):
    """`small_network` on inputs in any of the `FORMS`; its layers are called by keyword where asked for."""

    def __init__(self, by_keyword: bool = False) -> None:
        super().__init__()
        self.body, self.by_keyword = seeded_network(), by_keyword

    def forward(self, *parts: Any, **named: Any) -> torch.Tensor:
        (pair,) = named.values() if "pair" in named else ([*parts, *named.values()],)
        x = torch.cat(list(pair), dim=-1)
        for layer in self.body:
            x = layer(input=x) if self.by_keyword else layer(x)
        return x


class TiedTransformer(nn.Module):
    """A language model in miniature: embedding, attention, layer norms, and an output tied to the embedding."""

    def __init__(self, vocabulary: int = 11, width: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.out = nn.Linear(width, vocabulary, bias=False)
        self.out.weight = self.embedding.weight
        self.register_buffer("causal", torch.triu(torch.ones(64, 64, dtype=torch.bool), 1), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        x = self.embedding(tokens)
        attended, _ = self.attention(x, x, x, attn_mask=self.causal[:length, :length], need_weights=False)
        x = self.norm1(x + attended)
        return self.out(self.norm2(x + self.feed(x)))


def next_token_loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())


def counting_sequences(examples: int = 96, length: int = 6, vocabulary: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that count up modulo the vocabulary, and the tokens that follow: both (n, length) int64."""
    start = np.arange(examples)[:, None]
    tokens = (start + np.arange(length + 1)) % vocabulary
    return tokens[:, :-1], tokens[:, 1:]
