"""Sparse variational dropout (Molchanov, Ashukha & Vetrov 2017, arXiv 1701.05369)."""

from __future__ import annotations

import torch
from torch import Tensor

from rdsearch.retraining.gates import Gates

K1, K2, K3 = 0.63576, 1.87320, 1.48695
"""Of the approximated divergence from the log-uniform prior (equation 14)."""

CLOSED = 3.0
"""log alpha at which a weight drops out 95 % of the time and is set to zero (section 5)."""

LARGEST = 8.0
"""log alpha is kept within plus and minus this, where the approximation is flat (as the authors' code has it)."""

INITIAL_LOG_ALPHA = -4.0
"""Of a weight at its layer's root mean square: noise of 14 %."""


class VariationalDropout(Gates):
    """Weights with Gaussian noise, whose variance is trained (its logarithm, by the additive form of section 4.2)."""

    def initial(self, weights: Tensor) -> Tensor:
        """The same variance throughout a layer, in proportion to its weights'."""
        return INITIAL_LOG_ALPHA + 2 * self.survivors.root_mean_squares().log()

    def sample(self, weights: Tensor) -> Tensor:
        """Weights and noise; the noise is kept."""
        self._noise = torch.randn_like(weights) * (0.5 * self.gates.detach()).exp()
        return weights + self._noise

    def gradients(self, weights: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """By the reparametrisation, and the divergence's by equation 14."""
        log_alpha = self._log_alpha(weights)
        dropped = torch.sigmoid(K2 + K3 * log_alpha)
        by_log_alpha = -self.price * (K1 * K3 * dropped * (1 - dropped) + 0.5 * torch.sigmoid(-log_alpha))
        by_log_alpha = by_log_alpha * (log_alpha.abs() < LARGEST)
        tiny = torch.finfo(weights.dtype).tiny
        by_weights = gradient - 2 * by_log_alpha * weights.sign() / weights.abs().clamp(min=tiny)
        return by_weights, 0.5 * gradient * self._noise + by_log_alpha

    def settled(self, weights: Tensor) -> Tensor:
        """Weights, but zero where noise drowns them."""
        return torch.where(self._log_alpha(weights) > CLOSED, torch.zeros_like(weights), weights)

    def _log_alpha(self, weights: Tensor) -> Tensor:
        tiny = torch.finfo(weights.dtype).tiny
        return (self.gates.detach() - weights.square().clamp(min=tiny).log()).clamp(-LARGEST, LARGEST)
