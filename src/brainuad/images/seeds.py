"""Random generators by purpose: the same names give the same numbers, whatever was drawn before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def seed_words(seed: int | Sequence[int], *names: str) -> list[int]:
    """`seed` (not negative) followed by four 32-bit words of the SHA-256 of `names`."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    return [*([seed] if isinstance(seed, int) else seed), *words]


def rng_for(seed: int | Sequence[int], *names: str) -> np.random.Generator:
    """A generator for one purpose, such as `rng_for(study.seed, subject, "draw-1")`."""
    return np.random.default_rng(seed_words(seed, *names))
