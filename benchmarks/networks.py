"""Networks as people have them: ``python -m benchmarks.networks [NAME ...]``, all when none is named.

Trained ones come out of the packages that ship them (``pip install --no-deps facenet-pytorch resemblyzer g2p-en``), the
others are small ones of ``transformers`` with random weights; a row is left out where its package is missing, and
nothing is fetched. Each is quantised without pruning or retraining: ``uniform`` at a step of 0.3, and ``sequential`` at
the finest step, to a fifth of an octave, whose file is no larger. A score is the signal-to-noise ratio of the decoded
network's outputs to the float network's, on inputs that calibration has not seen: 512 random ones of the right form, so
that figures compare methods and say nothing of a network's use.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import rdsearch
from benchmarks.pruning import machine
from rdsearch.base.network.weights import weights_of
from rdsearch.points.point import OperatingPoint
from rdsearch.quantization.watch import run_watched

EXAMPLES, CALIBRATION = 512, 256
UNIFORM_STEP, STEPS = 0.3, 2.0 ** np.arange(-3, 3.01, 0.2)

Made = tuple[nn.Module, Tensor]


def package_file(package: str, name: str) -> Path:
    """A file that a package ships, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(spec.submodule_search_locations[0]) / name


def face_detector(stage: str, size: int) -> Made:
    """A stage of MTCNN, and images of noise."""
    network = getattr(importlib.import_module("facenet_pytorch.models.mtcnn"), stage)()
    return network, torch.randn(EXAMPLES, 3, size, size).clamp(-1, 1)


class SpeakerEncoder(nn.Module):
    """Resemblyzer's, without what it is trained by."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)
        path = package_file("resemblyzer", "pretrained.pt")
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        self.load_state_dict({name: value for name, value in state.items() if not name.startswith("similarity")})

    def forward(self, mels: Tensor) -> Tensor:
        return nn.functional.normalize(torch.relu(self.linear(self.lstm(mels)[1][0][-1])))


def speaker_encoder() -> Made:
    """Mel spectra that change slowly."""
    return SpeakerEncoder(), torch.randn(EXAMPLES, 40, 40).cumsum(1).abs() * 0.01


class Phonemes(nn.Module):
    """g2p-en's, from letters and the phonemes before to the next phoneme."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.encoder = nn.Embedding(29, 256), nn.GRU(256, 256, batch_first=True)
        self.phonemes, self.decoder = nn.Embedding(74, 256), nn.GRU(256, 256, batch_first=True)
        self.head = nn.Linear(256, 74)
        with np.load(package_file("g2p_en", "checkpoint20.npz")) as found:
            arrays = {name: torch.from_numpy(found[name]) for name in found}
        state = {"letters.weight": arrays["enc_emb"], "phonemes.weight": arrays["dec_emb"]}
        state |= {"head.weight": arrays["fc_w"], "head.bias": arrays["fc_b"]}
        for ours, theirs in (("encoder", "enc"), ("decoder", "dec")):
            for kind, short in (("weight", "w"), ("bias", "b")):
                state |= {f"{ours}.{kind}_{end}_l0": arrays[f"{theirs}_{short}_{end}"] for end in ("ih", "hh")}
        self.load_state_dict(state)

    def forward(self, words: Tensor) -> Tensor:
        letters, phonemes = words[:, :8], words[:, 8:]
        _, hidden = self.encoder(self.letters(letters))
        return self.head(self.decoder(self.phonemes(phonemes), hidden)[0])


def phonemes() -> Made:
    return Phonemes(), torch.cat([torch.randint(3, 29, (EXAMPLES, 8)), torch.randint(4, 74, (EXAMPLES, 6))], 1)


class Logits(nn.Module):
    """The logits of a network of ``transformers``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs).logits


def structure(kind: str, config: str, words: bool, **options: Any) -> Made:
    """A small network of ``transformers`` with random weights."""
    tf = importlib.import_module("transformers")
    network = getattr(tf, kind)(getattr(tf, config)(**options))
    inputs = torch.randint(0, 256, (EXAMPLES, 16)) if words else torch.randn(EXAMPLES, 3, 32, 32)
    return Logits(network), inputs


SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
NETWORKS: dict[str, Callable[[], Made]] = {
    "MTCNN P-net (trained)": lambda: face_detector("PNet", 24),
    "MTCNN R-net (trained)": lambda: face_detector("RNet", 24),
    "MTCNN O-net (trained)": lambda: face_detector("ONet", 48),
    "Resemblyzer LSTM (trained)": speaker_encoder,
    "g2p-en GRU (trained)": phonemes,
    "ViT": lambda: structure("ViTForImageClassification", "ViTConfig", False, image_size=32, patch_size=8, **SIZES),
    "ConvNeXt": lambda: structure(
        "ConvNextForImageClassification", "ConvNextConfig", False, hidden_sizes=[32, 64], depths=[2, 2], num_stages=2
    ),
    "BERT": lambda: structure("BertForSequenceClassification", "BertConfig", True, vocab_size=256, **SIZES),
    "GPT-2": lambda: structure(
        "GPT2LMHeadModel",
        "GPT2Config",
        True,
        vocab_size=256,
        n_embd=64,
        n_layer=2,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "Llama": lambda: structure("LlamaForCausalLM", "LlamaConfig", True, vocab_size=256, **SIZES),
}


def tensor_of(output: Any) -> Tensor:
    """All that a network returns, example by example."""
    return output if isinstance(output, Tensor) else torch.cat([one.flatten(1) for one in output], 1)


def task_of(network: nn.Module, inputs: Tensor) -> rdsearch.Task:
    """A task whose score is the ratio of signal to noise, in dB."""
    half = EXAMPLES // 2
    with torch.no_grad():
        wanted = torch.cat([tensor_of(network(part)) for part in inputs[half:].split(64)])

    def score(other: nn.Module, batches: Any) -> float:
        noise = torch.cat([tensor_of(other(part)) for part, _ in batches]) - wanted
        return float(10 * torch.log10(wanted.square().sum() / noise.square().sum()))

    x, y = inputs.numpy(), np.zeros(EXAMPLES, int)
    return rdsearch.Task(network=network, train=(x[:half], y[:half]), validation=(x[half:], y[half:]), evaluate=score)


def packed(task: rdsearch.Task, method: str, step: float) -> tuple[OperatingPoint, float]:
    """The file, and the seconds that it takes."""
    quantization = {"method": method, "step": float(step), "calibration": CALIBRATION}
    recipe = {"pruning": {"rate": 0}, "retrain": {"epochs": 0}, "quantization": quantization}
    started = time.perf_counter()
    [point] = rdsearch.compress(task, recipe, device="cpu")
    return point, time.perf_counter() - started


def finest(task: rdsearch.Task, size_bytes: int) -> tuple[OperatingPoint, float]:
    """``sequential`` at the finest of the steps whose file is no larger than that."""
    low, high = 0, len(STEPS) - 1
    found = packed(task, "sequential", STEPS[high])
    while low < high:
        middle = (low + high) // 2
        tried = packed(task, "sequential", STEPS[middle])
        if tried[0].size_bytes <= size_bytes:
            found, high = tried, middle
        else:
            low = middle + 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names")
    names = parser.parse_args().names
    print(machine())
    print("| network | weights | treated | uniform: bytes | dB | s | sequential: bytes | dB | s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name, make in NETWORKS.items():
        if names and not any(name.lower().startswith(wanted.lower()) for wanted in names):
            continue
        torch.manual_seed(0)
        try:
            network, inputs = make()
        except ImportError as error:
            print(f"| {name} | left out: {error} |", flush=True)
            continue
        network.eval()
        weights = weights_of(network)
        uses = run_watched(network, list(weights), inputs[:2], lambda name, product: None).uses
        total = sum(weight.numel() for weight in weights.values())
        treated = sum(weights[name].numel() for name, use in uses.items() if use.form is not None) / total
        task = task_of(network, inputs)
        row = [packed(task, "uniform", UNIFORM_STEP)]
        row.append(finest(task, row[0][0].size_bytes))
        cells = [f"{point.size_bytes:,} | {point.val_accuracy:.1f} | {seconds:.1f}" for point, seconds in row]
        print(f"| {name} | {total:,} | {treated:.1%} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
