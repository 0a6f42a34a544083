"""torchvision's published weights, downloaded by torchvision's own code from a web server on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import ResNet50_Weights

from rdsearch.errors import MissingDataError
from rdsearch.tasks.downloads import without_downloads
from rdsearch.tasks.loading import load_task
from rdsearch.tasks.networks.torchvision_models import torchvision_network
from rdsearch.tasks.settings import TaskConfig


def offer(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, weights: Any, network: torch.nn.Module) -> Path:
    """Put a network's weights on the server under a name with its checksum, as the published ones have it."""
    folder, url = served
    draft = folder / "draft.pth"
    torch.save(network.state_dict(), draft)
    file = draft.rename(folder / f"net-{hashlib.sha256(draft.read_bytes()).hexdigest()[:8]}.pth")
    monkeypatch.setattr(weights.value, "url", f"{url}{file.name}")
    monkeypatch.setenv("TORCH_HOME", str(folder.parent / "torch"))
    return file


def write_images(folder: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.JPEG")


@pytest.mark.filterwarnings("ignore:.*tqdm.*")
def test_resnet50_comes_with_its_published_weights_and_reads_imagenet_through_their_transform(
    served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = torchvision.models.resnet50()
    offer(served, monkeypatch, ResNet50_Weights.IMAGENET1K_V2, network)
    write_images(tmp_path / "imagenet" / "train", 4)
    write_images(tmp_path / "imagenet" / "val", 1)
    config = TaskConfig.model_validate(
        {
            "network": "torchvision:resnet50",
            "dataset": "imagenet",
            "root": tmp_path,
            "options": {"network": {"weights": "IMAGENET1K_V2"}},
            "validation": 2,
        }
    )
    with (
        without_downloads(),
        pytest.raises(MissingDataError, match="weights IMAGENET1K_V2 of torchvision:resnet50 are not"),
    ):
        load_task(config)
    task = load_task(config)
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(task.dense_state()[name], tensor.numpy())
    assert task.expected_accuracy == pytest.approx(0.80858)
    inputs, _ = next(iter(task.test_split().batches(2)))
    with Image.open(tmp_path / "imagenet" / "val" / "ant" / "0.JPEG") as image:
        expected = ResNet50_Weights.IMAGENET1K_V2.transforms()(image.convert("RGB"))
    assert torch.equal(inputs[0], expected)
    with without_downloads():
        assert load_task(config).fingerprint == task.fingerprint


def test_weights_that_come_half_are_never_used_and_fetched_again(
    served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    file = offer(served, monkeypatch, weights, torchvision.models.squeezenet1_1())
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    make = torchvision_network("squeezenet1_1")
    for _ in range(2):
        with pytest.raises(MissingDataError, match=r"the download failed \(invalid hash.*or put http.* at .*torch/hub"):
            make(weights="IMAGENET1K_V1")
    kept = file.parent.parent / "torch" / "hub" / "checkpoints"
    assert list(kept.iterdir()) == []
    file.unlink()
    with pytest.raises(MissingDataError, match=r"the download failed \(HTTP Error 404"):
        make(weights="IMAGENET1K_V1")
    file.write_bytes(whole)
    assert len(make(weights="IMAGENET1K_V1").state_dict()) == 52
    (kept / file.name).write_bytes(whole[:1000])
    with pytest.raises(MissingDataError, match=r"is damaged .*: remove it"):
        make(weights="IMAGENET1K_V1")
