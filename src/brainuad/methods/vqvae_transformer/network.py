"""A quantised autoencoder and a transformer over its codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Bool, Float, Int
from monai.networks.nets.transformer import DecoderOnlyTransformer
from torch import Tensor, nn
from torch.nn.functional import pad

from brainuad.methods.vqvae.network import QuantisedAutoencoder

if TYPE_CHECKING:
    from brainuad.methods.vqvae_transformer import Settings


class CodeModel(nn.Module):
    """A quantised autoencoder, and a transformer over its codes in raster order."""

    def __init__(self, settings: Settings):
        super().__init__()
        network, transformer = settings.network, settings.transformer
        self.map = (network.size // 2 ** len(network.channels),) * network.dims
        self.start = network.codes
        self.autoencoder = QuantisedAutoencoder(network)
        self.transformer = DecoderOnlyTransformer(
            num_tokens=network.codes + 1,
            max_seq_len=self.map[0] ** network.dims,
            attn_layers_dim=transformer.width,
            attn_layers_depth=transformer.depth,
            attn_layers_heads=transformer.heads,
            embedding_dropout_rate=transformer.dropout,
        )

    def tokens(self, batch: Float[Tensor, "n 1 *size"]) -> Int[Tensor, "n length"]:
        """Indices of the codes of a batch."""
        return self.autoencoder.tokens(batch).flatten(1)

    def decode(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n 1 *size"]:
        """The image of codes."""
        return self.autoencoder.decode(tokens.unflatten(1, self.map))

    def logits(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length token"]:
        """The transformer's prediction of each code from the codes before it; the last token is the start token."""
        logits: Tensor = self.transformer(self._with_start(tokens[:, :-1]))
        return logits

    def log_likelihood(self, tokens: Int[Tensor, "n length"]) -> Float[Tensor, "n length"]:
        """Log likelihood of each code, given those before it, in nats."""
        return self.logits(tokens).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]

    def resample_unlikely(
        self, tokens: Int[Tensor, "n length"], unlikely: Bool[Tensor, "n length"]
    ) -> Int[Tensor, "n length"]:
        """Replace each unlikely code, from left to right, by the most likely one after the resampled codes before."""
        resampled = tokens.clone()
        for position in range(tokens.shape[1]):
            rows = unlikely[:, position]
            if rows.any():
                logits = self.transformer(self._with_start(resampled[rows, :position]))[:, -1, : self.start]
                resampled[rows, position] = logits.argmax(-1)
        return resampled

    def _with_start(self, tokens: Tensor) -> Tensor:
        return pad(tokens, (1, 0), value=self.start)
