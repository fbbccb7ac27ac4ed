"""Random weights of tiny networks in the layouts of the published ones, in a cache of torch hub of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from brainuad.config.features import ViTBackbone
from brainuad.methods.shared.resnet import ResNet
from brainuad.methods.shared.vit import VisionTransformer

WIDTH = 4
VIT = {"patch": 4, "width": 8, "depth": 2, "heads": 2, "positions": 4}


def tiny_backbone(backbone: dict[str, Any]) -> dict[str, Any]:
    """Settings of a backbone, shrunk to the weights that `write_tiny_weights` writes."""
    if "network" in backbone:
        return backbone | {"network": "resnet18", "width": WIDTH, "weights": "resnet18.pt"}
    return backbone | VIT | {"weights": "vit.safetensors"}


def write_tiny_weights(torch_home: Path) -> None:
    """Files as `tiny_backbone` names them; that of the residual network holds a classifier, too, and no counters."""
    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = ResNet("resnet18", WIDTH, 3).state_dict()
        without = {key: each for key, each in state.items() if not key.endswith("num_batches_tracked")}
        torch.save(without | {"fc.weight": torch.zeros(3, 2)}, folder / "resnet18.pt")
        vit = VisionTransformer(ViTBackbone(**VIT)).state_dict()
        vit["pos_embed"] = torch.randn_like(vit["pos_embed"])
        save_file(vit, folder / "vit.safetensors")
