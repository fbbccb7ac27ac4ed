"""Autoencoders whose code is a map of entries of a codebook: VQ-VAE, with context encoding if wanted.

Source: Paolini et al., Kuznetsov and Simpson; models.md 1.2, 1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from monai.networks.layers.vector_quantizer import EMAQuantizer
from monai.networks.nets.vqvae import VQVAE
from torch import Tensor, nn

from brainuad.config.model import VqVae
from brainuad.config.quantised import Quantised
from brainuad.methods.networks import Output, decoder, encoder
from brainuad.methods.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule


class Learnt(NamedTuple):
    """What a training step sees. `perplexity`: exponent of the entropy of the codes, how many share the batch."""

    output: Output
    commitment: Float[Tensor, ""]
    perplexity: Float[Tensor, ""]


class QuantisedAutoencoder(nn.Module):
    """Encoder, codebook, decoder. Gradients pass the codebook straight through."""

    def __init__(self, settings: Quantised):
        super().__init__()
        if settings.blocks == "monai":
            built = _monai(settings)
            self.encoder, self.decoder = built.encoder, built.decoder
        else:
            self.encoder, self.decoder = encoder(settings), decoder(settings)
        # the weight of the commitment is the loss's; MONAI's wrapper would count codes by an op that CUDA cannot repeat
        self.codebook = EMAQuantizer(
            settings.dims,
            settings.codes,
            settings.embedding,
            commitment_cost=1.0,
            decay=settings.decay,
            embedding_init=settings.init,
        )

    def learn(self, batch: Float[Tensor, "n 1 *size"]) -> Learnt:
        """The reconstruction and what is to be learnt from it; in training this moves the codebook."""
        encoded = self.encoder(batch)
        with torch.autocast(encoded.device.type, enabled=False):
            entries, commitment, tokens = self.codebook(encoded.float())
        share = torch.bincount(tokens.flatten(), minlength=self.codebook.num_embeddings) / tokens.numel()
        perplexity = torch.special.entr(share).sum().exp()
        return Learnt(Output(self.decoder(entries)), commitment, perplexity)

    def rebuild(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1 *size"]:
        """Encode, take the nearest codes and decode; the codebook stays as it is."""
        encoded = self.encoder(batch)
        entries = self.codebook.embed(self._nearest(encoded))
        image: Tensor = self.decoder(encoded + (entries - encoded).detach())
        return image

    def tokens(self, batch: Float[Tensor, "n 1 *size"]) -> Int[Tensor, "n *map"]:
        """Numbers of the nearest codes."""
        return self._nearest(self.encoder(batch))

    def decode(self, tokens: Int[Tensor, "n *map"]) -> Float[Tensor, "n 1 *size"]:
        """The image of codes."""
        image: Tensor = self.decoder(self.codebook.embed(tokens))
        return image

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> Output:
        """The reconstruction."""
        return Output(self.rebuild(batch))

    def _nearest(self, encoded: Tensor) -> Tensor:
        tokens: Tensor = self.codebook.quantize(encoded)[2]
        return tokens


def _monai(settings: Quantised) -> VQVAE:
    stages, padding = len(settings.channels), (settings.kernel - 1) // 2
    down = (2, settings.kernel, 1, padding)
    return VQVAE(
        spatial_dims=settings.dims,
        in_channels=1,
        out_channels=1,
        channels=settings.channels,
        num_res_layers=0,
        num_res_channels=settings.channels,
        downsample_parameters=[down] * stages,
        upsample_parameters=[(*down, settings.kernel % 2)] * stages,
        embedding_dim=settings.embedding,
        dropout=settings.dropout,
        output_act="sigmoid" if settings.output == "sigmoid" else None,
    )


class VqVaeMethod(ReconstructionMethod):
    """One quantised autoencoder."""

    def __init__(self, model: VqVae):
        self.model = model
        super().__init__(model.family, model.network, model.train, model.map)

    def make_network(self) -> nn.Module:
        """A network with fresh weights and codes."""
        return QuantisedAutoencoder(self.model.network)

    def objective(self) -> LightningModule:
        """Reconstruction, commitment, context encoding where it is weighted."""
        from brainuad.methods.quantised import QuantisedReconstruction

        return QuantisedReconstruction(self.network, self.model.loss, self.train)


METHOD = VqVaeMethod
