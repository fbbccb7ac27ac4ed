"""Reads weights that the user brings into a network, whose layers have the names of the published one."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from brainuad.config.features import Pretrained
from brainuad.errors import InputError
from brainuad.formats.handling import Handling

MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels; published networks expect images scaled by them."""
COUNTER = "num_batches_tracked"
"""Ends the name of a number that batch normalisation does not use; older files lack it."""
HANDLED = (
    Handling(
        "file",
        "`backbone.weights` that are missing, broken, of another network, or not those of `backbone.sha256` or of the "
        "checksum in their name",
        "refused",
        "where the file is missing, with what to get and where to put it, before the first job; nothing is downloaded",
    ),
    Handling(
        "file",
        "`backbone.weights` with layers that are not needed, such as the classifier",
        "accepted",
        "they are left out, and the layers that are used go into the bundle",
    ),
)
logger = logging.getLogger("brainuad.methods")


def load_pretrained(network: nn.Module, settings: Pretrained) -> str:
    """Fill the network from the user's file and freeze it; returns the file's SHA-256.

    Raises InputError for a file that is missing, broken, of another network or not that of `settings.sha256`.
    """
    checked = settings.checked()
    path = checked.path()
    given, own = _read(path), network.state_dict()
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    other = [name for name in own if name in given and own[name].shape != given[name].shape]
    if missing or other:
        name = (missing or other)[0]
        why = f"they lack {name}" if missing else f"{name} has {_shape(given[name])}, {_shape(own[name])} are expected"
        do = f"give weights of {settings.name}, or set backbone to their network"
        raise InputError("the weights belong to another network", file=path, why=why, do=do)
    network.load_state_dict({name: given.get(name, own[name]) for name in own})
    network.requires_grad_(False)
    assert checked.sha256 is not None
    return checked.sha256


def as_colour(batch: Float[Tensor, "n 1 x y"]) -> Float[Tensor, "n 3 x y"]:
    """Grey slices, about 0 to 1, as a network that was pretrained on ImageNet expects images."""
    mean, sd = (batch.new_tensor(values)[None, :, None, None] for values in (MEAN, SD))
    return (batch - mean) / sd


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of many kinds
        why = (str(error) or type(error).__name__).split("\n")[0]
        do = "fetch it again; it must hold tensors by name alone"
        raise InputError("cannot read the pretrained weights", file=path, why=why, do=do) from None
    tensors = (
        {name: each for name, each in found.items() if isinstance(each, Tensor)} if isinstance(found, dict) else {}
    )
    if not tensors:
        why, do = "it holds no tensors by name", "give the file of a state_dict, not of a whole model or checkpoint"
        raise InputError("there are no weights in the file", file=path, why=why, do=do)
    return tensors


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
