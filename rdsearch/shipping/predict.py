"""Run the network in this folder on images or arrays, with torch or onnxruntime alone.

    python predict.py image.png array.npy

An image is brought to the network's channels, and to its size as in training; where the training images all had the
network's size, another is stretched to it with --resize. A .npy file holds one example or a batch,
as they lay in the training data: see "inputs" in inputs.json. Needs numpy, torch or onnxruntime, and pillow for images.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
MODES = {1: "L", 3: "RGB"}
IMAGE_AXES = 3


class WrongInputError(Exception):
    """A file that the network cannot take."""


def read(path: Path, inputs: dict[str, Any], resize: bool) -> np.ndarray:
    """A file's examples as stored in the training data, (n, ...)."""
    shape = tuple(inputs["shape"])
    if path.suffix.lower() in PICTURES:
        return read_image(path, inputs, resize)[None]
    array: np.ndarray = np.load(path, allow_pickle=False)
    if array.shape == shape:
        return array[None]
    if array.shape[1:] != shape:
        raise WrongInputError(f"{path} has shape {array.shape}: {shape}, or a batch (n, ...) of that, is needed")
    return array


def read_image(path: Path, inputs: dict[str, Any], resize: bool) -> np.ndarray:
    """An image as uint8 (channels, height, width)."""
    from PIL import Image

    shape = tuple(inputs["shape"])
    if "transform" in inputs or inputs.get("divided_by") != 255 or len(shape) != IMAGE_AXES or shape[0] not in MODES:
        raise WrongInputError(
            f"{path}: how an image becomes an input is not known here; give the network's inputs as .npy"
        )
    channels, height, width = shape
    image = Image.open(path).convert(MODES[channels])
    if "resize" in inputs:
        image = sized(image, inputs["resize"])
    if image.size != (width, height):
        if not resize:
            raise WrongInputError(
                f"{path} is {image.width} x {image.height} pixels: {width} x {height} are needed, or --resize"
            )
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def sized(image: Any, how: dict[str, Any]) -> Any:
    """A Pillow image brought to size as the training images were."""
    from PIL import Image, ImageOps

    if "fit" in how:
        return ImageOps.fit(image, (how["fit"], how["fit"]), Image.Resampling.BILINEAR)
    if "stretch" in how:
        height, width = how["stretch"]
    else:
        shorter, longer = sorted(image.size)
        other = int(how["shorter"] * longer / shorter)
        width, height = (how["shorter"], other) if image.width <= image.height else (other, how["shorter"])
    image = image.resize((width, height), Image.Resampling[how["resample"].upper()])
    if "crop" not in how:
        return image
    top, left = (round((have - keep) / 2) for have, keep in zip((height, width), how["crop"], strict=True))
    return image.crop((left, top, left + how["crop"][1], top + how["crop"][0]))


def prepare(examples: np.ndarray, inputs: dict[str, Any], source: object) -> np.ndarray:
    """Stored examples to what the network takes: scaled and normalised as in training."""
    if inputs["dtype"] == "int64":
        if examples.dtype.kind not in "iu":
            raise WrongInputError(f"{source} holds {examples.dtype}: whole numbers are needed")
        return examples.astype(np.int64)
    if "divided_by" in inputs and examples.dtype != np.uint8:
        raise WrongInputError(f"{source} holds {examples.dtype}: pixels from 0 to 255 as uint8 are needed")
    values = examples.astype(np.float32)
    trailing = (1,) * max(len(inputs["shape"]) - 1, 0)
    mean, std = (
        np.asarray(inputs.get(name, default), np.float32).reshape(-1, *trailing)
        for name, default in (("mean", 0.0), ("std", 1.0))
    )
    prepared: np.ndarray = (values / np.float32(inputs.get("divided_by", 1.0)) - mean) / std
    return prepared.astype(inputs["dtype"])


def run_onnx(batch: np.ndarray) -> np.ndarray:
    """The outputs of network.onnx."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(HERE / "network.onnx"), providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {"input": batch})[0]
    return output


def run_torch(batch: np.ndarray) -> np.ndarray:
    """The outputs of network.pt2."""
    import torch

    program = torch.export.load(HERE / "network.pt2").module()
    with torch.no_grad():
        output: np.ndarray = program(torch.from_numpy(batch)).numpy()
    return output


RUN = {"onnxruntime": ("network.onnx", run_onnx), "torch": ("network.pt2", run_torch)}


def run(batch: np.ndarray, runtime: str | None) -> np.ndarray:
    """The network's outputs for a batch, by the runtime named or by the first that is there."""
    reasons = []
    for name in [runtime] if runtime else RUN:
        file, function = RUN[name]
        if not (HERE / file).exists():
            reasons.append(f"{file} is not in this folder")
            continue
        try:
            return function(batch)
        except ImportError:
            reasons.append(f"{name} is not installed")
    raise WrongInputError("nothing to run the network with: " + "; ".join(reasons))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the classes, (n, classes)."""
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = grown / grown.sum(axis=1, keepdims=True)
    return shares


def main() -> None:
    """Read files, run the network, print what it says."""
    parser = argparse.ArgumentParser(description="Run the network in this folder on images or .npy arrays.")
    parser.add_argument("files", nargs="+", type=Path, help="images, or .npy arrays of one or several inputs")
    parser.add_argument("--runtime", choices=list(RUN), help="what runs the network; the first that is there")
    parser.add_argument("--resize", action="store_true", help="bring images to the network's size")
    parser.add_argument("-o", "--output", type=Path, help="write the network's outputs to this .npy file")
    arguments = parser.parse_args()
    inputs = json.loads((HERE / "inputs.json").read_text(encoding="utf-8"))
    names, batches = [], []
    try:
        for path in arguments.files:
            examples = prepare(read(path, inputs, arguments.resize), inputs, path)
            names += [str(path)] if len(examples) == 1 else [f"{path}[{number}]" for number in range(len(examples))]
            batches.append(examples)
        outputs = run(np.concatenate(batches), arguments.runtime)
    except (WrongInputError, OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    if arguments.output is not None:
        np.save(arguments.output, outputs)
    if not inputs["classes"]:
        for name, output in zip(names, outputs, strict=True):
            print(f"{name}: {np.array2string(output, precision=4, threshold=8)}")
        return
    for name, shares in zip(names, softmax(outputs), strict=True):
        best = np.argsort(-shares, kind="stable")[:3]
        print(f"{name}: " + ", ".join(f"class {index} ({shares[index]:.3f})" for index in best))


if __name__ == "__main__":
    main()
