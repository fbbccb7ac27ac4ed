"""The sections of vector-quantised networks, and of the transformer over their codes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from brainuad.config.network import Loss, Trunk
from brainuad.config.section import Section


class Quantised(Trunk):
    """An encoder, at each place of its map the nearest code of a codebook, a decoder."""

    blocks: Literal["strided", "monai"] = "strided"
    """`strided`: our convolutions alone. `monai`: MONAI's VQVAE without residual layers, which has ReLU, and a 3x3
    convolution before and one after the codebook."""
    codes: int = Field(512, ge=2)
    """Length of the codebook."""
    embedding: int = Field(128, ge=1)
    """Length of a code; for `strided` the encoder's last number of channels."""
    decay: float = Field(0.99, ge=0, lt=1)
    """Codes are moving averages of what is assigned to them; the share that each step keeps."""

    init: Literal["normal", "kaiming_uniform"] = "kaiming_uniform"
    """What codes are drawn from at first: N(0, 1) each number, or evenly so that a code's length is about 1. A fresh
    encoder gives vectors near 0: the lengths of N(0, 1) let one code take them all, and with a high `decay` the others
    come back after a thousand steps."""

    @model_validator(mode="after")
    def _fits_its_blocks(self) -> Quantised:
        if self.blocks == "strided" and self.embedding != self.channels[-1]:
            raise ValueError(f"with blocks: strided embedding is the last of channels, {self.channels[-1]}")
        plain = self.norm == "none" and self.slope == 0 and self.top == "up" and self.bias and not self.coords
        if self.blocks == "monai" and not plain:
            raise ValueError("blocks: monai takes norm: none, slope: 0, top: up, bias: true and coords: false alone")
        return self


class QuantisedLoss(Loss):
    """Reconstruction, context encoding and commitment; the moving averages stand for a codebook term."""

    commitment: float = Field(0.25, ge=0)
    """Weight of the mean squared distance of what is encoded to its codes."""

    @model_validator(mode="after")
    def _no_kl(self) -> QuantisedLoss:
        if self.kl:
            raise ValueError("a codebook takes no loss.kl")
        return self


class Transformer(Section):
    """A decoder-only transformer that predicts each code from those before it in raster order."""

    width: int = Field(32, ge=1)
    """Length of the vectors between its layers."""
    depth: int = Field(4, ge=1)
    """Attention layers."""
    heads: int = Field(4, ge=1)
    """Attention heads per layer; they share the width evenly."""
    dropout: float = Field(0.4, ge=0, lt=1)
    """Share of the embeddings' values that are dropped in training."""

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be shared by {self.heads} heads; take a multiple")
        return self


class Healing(Section):
    """Which codes of a scan are replaced by the likeliest ones."""

    rule: Literal["healthy", "per_image"] = "healthy"
    """Below which log likelihood. `healthy`: the `quantile` over all codes of the training scans. `per_image`: over
    those of the same slice or volume, so that a healthy one loses as many as any other."""
    quantile: float = Field(0.04, ge=0, le=1)
    """Share of codes below."""
