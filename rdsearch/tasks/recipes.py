"""Known good ways to train the registered networks on the registered data sets."""

from __future__ import annotations

from rdsearch.tasks.config import TrainingConfig

_LENET300 = TrainingConfig(epochs=15, lr=1.5e-3, batch_size=128, weight_decay=0.01)
_LENET5 = TrainingConfig(epochs=8, lr=1.5e-3, batch_size=128, weight_decay=0.01)
_CIFAR = ("cifar10", "cifar100")
_RESNETS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
_CIFAR_FORMS = ("resnet18", "densenet121", "efficientnet_b0")

_RESNET = TrainingConfig(epochs=182, lr=0.1, batch_size=128, optimizer="sgd", weight_decay=1e-4)
"""Length, batch and decay of He et al. (2016), section 4.2; a cosine in place of the steps."""

_WIDE = TrainingConfig(epochs=200, lr=0.05, batch_size=128, optimizer="sgd", weight_decay=5e-4)

KNOWN_GOOD: dict[tuple[str, str], TrainingConfig] = {
    ("digits_cnn", "digits"): TrainingConfig(epochs=15, lr=5e-3, batch_size=64, weight_decay=0.01),
    ("lenet300", "mnist"): _LENET300,
    ("lenet300", "fashion_mnist"): _LENET300,
    ("lenet5_caffe", "mnist"): _LENET5,
    ("lenet5_caffe", "fashion_mnist"): _LENET5,
    **{(network, dataset): _RESNET for network in _RESNETS for dataset in _CIFAR},
    **{("vgg16", dataset): _WIDE for dataset in _CIFAR},
    **{(network, dataset): _WIDE for network in _CIFAR_FORMS for dataset in _CIFAR},
}


def training_for(network: str, dataset: str) -> TrainingConfig:
    """The known good way to train a pair of registered names; the general defaults for any other pair."""
    return KNOWN_GOOD.get((network, dataset), TrainingConfig())
