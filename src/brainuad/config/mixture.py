"""The network whose code comes from a mixture of Gaussians."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from brainuad.config.network import Network


class MixtureNetwork(Network):
    """A variational network whose code is drawn from one of several Gaussians (Dilokthanakul et al. 2016)."""

    bottleneck: Literal["dense"] = "dense"
    """The code is a vector."""
    variational: Literal[True] = True
    """Always."""
    components: int = Field(9, ge=1)
    """Number of Gaussians."""
    latent_w: int = Field(10, ge=1)
    """Length of the vector w, from which the means and variances of all of them come."""
    hidden: int = Field(500, ge=1)
    """Width of the one layer between w and them."""
