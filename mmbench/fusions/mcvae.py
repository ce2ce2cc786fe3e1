"""Multi-channel variational autoencoder: every modality's latent must rebuild every modality.

Antelmi, Ayache, Robert & Lorenzi, "Sparse Multi-Channel Variational Autoencoder for the Joint
Analysis of Heterogeneous Data", ICML 2019 (https://proceedings.mlr.press/v97/antelmi19a.html).
Differs from the paper: the latent is trained together with the task, its bound being the penalty,
where the library fusilli trains it first; the mean over modalities is handed on, as fusilli does;
without the variational dropout that makes latents sparse; log-variances are kept within ±8.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._projection import Projection, pooled, presence
from mmbench.fusions.product_of_experts import LARGEST_LOG_VARIANCE
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features

LOG_2_PI = math.log(2 * math.pi)


class MCVAEFusion(Fusion):
    """``z = mean_m z_m``, ``z_m ~ N(μ_m, v_m)`` in training and ``μ_m`` in evaluation.

    μ_m and log v_m are linear in x_m, means are over present modalities. The penalty is
    ``elbo_weight`` times the negative bound of the paper, in nats: ``mean_m [KL(N(μ_m, v_m) ‖ N(0,
    1)) − Σ_d log N(x_d; D_d z_m, s_d)]``, D_d a linear decoder and s_d a trained variance for each
    entry of x_d. Encoders are not drawn to what is easy to rebuild: as data to be rebuilt, x_d gets
    no gradient. A sum of modalities, it represents no products of them.
    """

    name = "mcvae"
    offered = "named"
    capabilities = Capabilities(handles_missing=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        elbo_weight: Annotated[float, Range(1e-5, 0.1, log=True)] = 1e-3,
    ) -> None:
        super().__init__(dims)
        self.mean, self.log_variance = Projection(dims, width), Projection(dims, width)
        self.decode = nn.ModuleDict({m: nn.Linear(width, d) for m, d in dims.items()})
        self.log_noise = nn.ParameterDict({m: torch.zeros(d) for m, d in dims.items()})
        self.elbo_weight, self.out_dim = elbo_weight, width

    def forward(self, features: Features) -> Fused:
        mean, log_variance = self.mean(features), _bounded(self.log_variance(features))
        present = presence(features, self.dims).to(mean.dtype)  # (batch, modality)
        shares = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        latent = self._sampled(mean, log_variance)  # (batch, modality, width)
        spread = log_variance.exp() - 1 - log_variance
        divergence = 0.5 * (mean.square() + spread).sum(dim=-1)  # (batch, modality)
        lost = divergence - self._likelihood(latent, features)
        vector = (shares.unsqueeze(-1) * latent).sum(dim=1)
        return Fused(vector, self.elbo_weight * (shares * lost).sum(dim=1), shares)

    def _sampled(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean) if self.training else mean

    def _likelihood(self, latent: Tensor, features: Features) -> Tensor:
        """Of all present modalities under each latent, log densities (batch, modality)."""
        total = torch.zeros_like(latent[..., 0])
        for m, decode in self.decode.items():
            log_noise = _bounded(self.log_noise[m])
            target = pooled(features[m]).detach().unsqueeze(1)  # (batch, 1, dim)
            scaled = (target - decode(latent)).square() * (-log_noise).exp()
            density = -0.5 * (scaled + log_noise + LOG_2_PI).sum(dim=-1)
            total = total + torch.where(features[m].present.unsqueeze(1), density, 0.0)
        return total


def _bounded(log_variance: Tensor) -> Tensor:
    return log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MCVAEFusion]
