"""The network of a VQ-VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from monai.networks.layers.vector_quantizer import EMAQuantizer
from monai.networks.nets.vqvae import VQVAE
from torch import Tensor, nn

from brainuad.methods.shared.networks import AutoencoderOutput, decoder, encoder

if TYPE_CHECKING:
    from brainuad.methods.vqvae import Quantised


class VQOutput(NamedTuple):
    """Output in training. `perplexity`: exponential of the entropy of the codes, the effective number in use."""

    output: AutoencoderOutput
    commitment: Float[Tensor, ""]
    perplexity: Float[Tensor, ""]


class QuantisedAutoencoder(nn.Module):
    """Encoder, codebook, decoder. Gradients pass straight through the codebook."""

    def __init__(self, settings: Quantised):
        super().__init__()
        if settings.blocks == "monai":
            built = _monai(settings)
            self.encoder, self.decoder = built.encoder, built.decoder
        else:
            self.encoder, self.decoder = encoder(settings), decoder(settings)
        # the loss has the weight of the commitment; MONAI's wrapper would count codes by an op that CUDA cannot repeat
        self.codebook = EMAQuantizer(
            settings.dims,
            settings.codes,
            settings.embedding,
            commitment_cost=1.0,
            decay=settings.codebook_decay,
            embedding_init=settings.codebook_init,
        )

    def quantise_and_reconstruct(self, batch: Float[Tensor, "n 1 *size"]) -> VQOutput:
        """The reconstruction and the commitment; in training mode this also updates the codebook."""
        encoded = self.encoder(batch)
        with torch.autocast(encoded.device.type, enabled=False):
            entries, commitment, tokens = self.codebook(encoded.float())
        share = torch.bincount(tokens.flatten(), minlength=self.codebook.num_embeddings) / tokens.numel()
        perplexity = torch.special.entr(share).sum().exp()
        return VQOutput(AutoencoderOutput(self.decoder(entries)), commitment, perplexity)

    def reconstruct(self, batch: Float[Tensor, "n 1 *size"]) -> Float[Tensor, "n 1 *size"]:
        """Encode, take the nearest codes and decode; the codebook stays as it is."""
        encoded = self.encoder(batch)
        entries = self.codebook.embed(self._nearest(encoded))
        image: Tensor = self.decoder(encoded + (entries - encoded).detach())
        return image

    def tokens(self, batch: Float[Tensor, "n 1 *size"]) -> Int[Tensor, "n *map"]:
        """Indices of the nearest codes."""
        return self._nearest(self.encoder(batch))

    def decode(self, tokens: Int[Tensor, "n *map"]) -> Float[Tensor, "n 1 *size"]:
        """The image of codes."""
        image: Tensor = self.decoder(self.codebook.embed(tokens))
        return image

    def forward(self, batch: Float[Tensor, "n 1 *size"]) -> AutoencoderOutput:
        """The reconstruction."""
        return AutoencoderOutput(self.reconstruct(batch))

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
