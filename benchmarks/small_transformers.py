"""Three small transformers, trained here: a Llama-like and a BERT-like one on text, a ViT on images.

No weights and no text are fetched. The text is what the docstrings of installed packages say, about six million
characters of technical English, cut into 512 pieces of words that are learnt from it. The images are those of MNIST.
Each network is kept in a folder when it has been trained once.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from rdsearch.tasks import DATASETS

PACKAGES = ("numpy", "scipy")
SHORTEST = 100
"""Characters of a docstring that counts as text."""
PIECES, LENGTH = 512, 64
HIDDEN, LAYERS, HEADS = 128, 3, 4
SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 3 * HIDDEN,
}
SPREAD = {"initializer_range": HIDDEN**-0.5}
"""Of weights before training. At that of BERT, which is six times as wide, attention hardly begins to learn."""
MASK, MASKED = 0, 0.15
"""The piece that stands for a hidden one, and the share that is hidden."""
CALIBRATION, HELD_OUT = 512, 256
"""Sequences or images that methods look at, and that score."""
BATCH, WARM = 16, 100
STEPS = {"llama": 1200, "bert": 2500, "vit": 1200}
RATES = {"llama": 3e-3, "bert": 1e-3, "vit": 1e-3}


@dataclass(frozen=True)
class Trained:
    """A network, and inputs that it was and was not trained on.

    Attributes:
        network: Its forward gives logits (batch, positions, pieces), or (batch, classes).
        calibration: Of the training data.
        held_out: Of other data.
        loss: On ``held_out``, in nats a prediction.
    """

    network: nn.Module
    calibration: Tensor
    held_out: Tensor
    loss: float


class Logits(nn.Module):
    """The logits of a network of ``transformers``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """From pieces (batch, positions) or images (batch, 1, 28, 28)."""
        return self.network(inputs).logits  # type: ignore[no-any-return]


def _docstrings(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node)
                if text and len(text) >= SHORTEST:
                    yield text


def text(folder: Path) -> np.ndarray:
    """Sequences of pieces, in an order of their own: (count, LENGTH), int64."""
    kept = folder / "text.npy"
    if not kept.exists():
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        texts = list(dict.fromkeys(one for package in PACKAGES for one in _docstrings(package)))
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=PIECES, special_tokens=["[MASK]"], initial_alphabet=alphabet)
        tokenizer.train_from_iterator(texts, trainer)
        pieces = np.concatenate([one.ids for one in tokenizer.encode_batch(texts)])
        whole = pieces[: len(pieces) // LENGTH * LENGTH].reshape(-1, LENGTH)
        np.save(kept, np.random.default_rng(0).permutation(whole))
    return np.load(kept)


def _llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = {"num_key_value_heads": HEADS // 2, "tie_word_embeddings": True}
    return LlamaForCausalLM(LlamaConfig(vocab_size=PIECES, max_position_embeddings=LENGTH, **SIZES, **heads))


def _bert() -> nn.Module:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(vocab_size=PIECES, max_position_embeddings=LENGTH, **SIZES, **SPREAD))


def _vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(
        ViTConfig(image_size=28, patch_size=4, num_channels=1, num_labels=10, **SIZES, **SPREAD)
    )


MAKERS: dict[str, Callable[[], nn.Module]] = {"llama": _llama, "bert": _bert, "vit": _vit}


def _example(name: str, rows: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs, and for each output what it should be, -100 where that does not count."""
    if name == "vit":
        return rows, labels
    if name == "llama":
        return rows, torch.cat([rows[:, 1:], torch.full((len(rows), 1), -100)], 1)
    hidden = torch.rand(rows.shape, generator=generator) < MASKED
    return torch.where(hidden, MASK, rows), torch.where(hidden, rows, -100)


def _loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    logits = network(inputs)
    return nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=-100)


def _data(name: str, folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and labels, of the training data and of other data."""
    if name == "vit":
        images = DATASETS.load("mnist")().train
        x, y = next(iter(images.batches(len(images), device=torch.device("cpu"))))
        return x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT]
    rows = torch.from_numpy(text(folder))
    return rows[HELD_OUT:], rows[HELD_OUT:], rows[:HELD_OUT], rows[:HELD_OUT]


def trained(name: str, folder: Path) -> Trained:
    """A network, trained when it is asked for the first time."""
    torch.manual_seed(0)
    network, path = Logits(MAKERS[name]()), folder / f"{name}.safetensors"
    rows, labels, others, other_labels = _data(name, folder)
    if path.exists():
        load_model(network, path)
    else:
        _train(name, network, rows, labels)
        save_model(network, str(path))
    network.eval()
    generator = torch.Generator().manual_seed(1)
    inputs, targets = _example(name, others, other_labels, generator)
    calibration, _ = _example(name, rows[:CALIBRATION], labels[:CALIBRATION], generator)
    with torch.no_grad():
        return Trained(network, calibration, inputs, float(_loss(network, inputs, targets)))


def _train(name: str, network: nn.Module, rows: Tensor, labels: Tensor) -> None:
    """AdamW with a warm start, after which the rate falls evenly to nothing."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATES[name], betas=(0.9, 0.98), weight_decay=0.05)
    network.train()
    for step in range(STEPS[name]):
        chosen = torch.randint(len(rows), (BATCH,), generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = RATES[name] * min(1.0, (step + 1) / WARM) * (1 - step / STEPS[name])
        loss = _loss(network, *_example(name, rows[chosen], labels[chosen], generator))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 200 == 0:
            print(f"{name}: {step + 1} steps, loss {float(loss.detach()):.3f}", flush=True)
