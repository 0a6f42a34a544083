"""Known good ways to train the registered networks on the registered data sets, and what comes of them."""

from __future__ import annotations

from rdsearch.tasks.settings import TrainingConfig

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


EXPECTED_ACCURACY: dict[tuple[str, str], float] = {
    # Measured, by KNOWN_GOOD, on validation parts cut from the training split.
    ("digits_cnn", "digits"): 0.985,
    ("lenet300", "mnist"): 0.984,
    ("lenet5_caffe", "mnist"): 0.992,
    # The table of submitted benchmarks in the README of zalandoresearch/fashion-mnist: "MLP 256-128-64" and
    # "2 Conv Layers with max pooling", the networks nearest to these two.
    ("lenet300", "fashion_mnist"): 0.900,
    ("lenet5_caffe", "fashion_mnist"): 0.916,
    # He et al. (2016), table 6: errors of 8.75, 7.51, 7.17, 6.97 and 6.43 %. The checkpoints of
    # akamaster/pytorch_resnet_cifar10 reach 8.27, 7.37, 6.90, 6.61 and 6.32 %.
    ("resnet20", "cifar10"): 0.9125,
    ("resnet32", "cifar10"): 0.9249,
    ("resnet44", "cifar10"): 0.9283,
    ("resnet56", "cifar10"): 0.9303,
    ("resnet110", "cifar10"): 0.9357,
    # The undistilled networks of Tian et al. (2020), arXiv 1910.10699, table 1, and of its repository
    # HobbitLong/RepDistiller; ResNet-44 is not there and set between its neighbours.
    ("resnet20", "cifar100"): 0.6906,
    ("resnet32", "cifar100"): 0.7114,
    ("resnet44", "cifar100"): 0.717,
    ("resnet56", "cifar100"): 0.7234,
    ("resnet110", "cifar100"): 0.7431,
    # The README of kuangliu/pytorch-cifar: networks of these shapes, also with one linear layer after VGG-16.
    ("vgg16", "cifar10"): 0.9264,
    ("resnet18", "cifar10"): 0.9302,
    ("densenet121", "cifar10"): 0.9504,
    # The README of weiaicunzai/pytorch-cifar100: errors of 27.07, 24.39 and 22.99 %; its VGG-16 has three linear
    # layers.
    ("vgg16", "cifar100"): 0.7293,
    ("resnet18", "cifar100"): 0.7561,
    ("densenet121", "cifar100"): 0.7701,
}
"""Top-1 accuracy of the dense network on data that it has not seen, a share of 1.

EfficientNet-B0 is not there: no figure of its form for 32 x 32 images, trained on CIFAR alone, is published.
"""


def expected_accuracy(network: str, dataset: str) -> float | None:
    """What the dense network of a pair of registered names reaches; ``None`` where that is not known."""
    return EXPECTED_ACCURACY.get((network, dataset))
