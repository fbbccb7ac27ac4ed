"""A vision transformer for pretrained weights: layers have the names of DINOv2's. Source: Oquab et al. 2023."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.config.features import ViTBackbone

OFFSET = 0.1
"""Added to the number of patches where positions are interpolated, as in the published code: features then agree."""


class VisionTransformer(nn.Module):
    """Patches to tokens that see each other."""

    def __init__(self, settings: ViTBackbone):
        super().__init__()
        width = settings.width
        self.patch, self.positions = settings.patch, settings.positions
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + settings.positions**2, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, settings.patch, settings.patch)
        self.blocks = nn.ModuleList(_Block(width, settings.heads) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, batch: Float[Tensor, "n 3 x y"]) -> Float[Tensor, "n width h w"]:
        """The normalised token of each patch."""
        patches = self.patch_embed.get_submodule("proj")(batch)
        count, _, rows, columns = patches.shape
        tokens = torch.cat([self.cls_token.expand(count, -1, -1), patches.flatten(2).mT], dim=1)
        tokens = tokens + self._positions(rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:].mT.unflatten(2, (rows, columns))

    def _positions(self, rows: int, columns: int) -> Float[Tensor, "1 tokens width"]:
        if rows == columns == self.positions:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].mT.unflatten(2, (self.positions, self.positions))
        scale = [(length + OFFSET) / self.positions for length in (rows, columns)]
        resized = functional.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).mT], dim=1)


class _Scale(nn.Module):
    """A learnt factor per channel."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """The scaled tokens."""
        return tokens * self.gamma


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "n tokens width"]) -> Tensor:
        """Tokens as means of all tokens' values."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        found: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return found


class _Feedforward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Each token by itself."""
        found: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return found


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = _Attention(width, heads), _Feedforward(width)
        self.ls1, self.ls2 = _Scale(width), _Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attention, then the feedforward layers, each beside a shortcut."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        found: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return found
