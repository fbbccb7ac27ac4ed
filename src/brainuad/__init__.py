"""brainuad: unsupervised lesion detection in brain MRI and CT.

`brainuad.load` opens an exported model: docs/predict.md#in-python.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load` on first use: the command line starts without what it imports."""
    if name == "load":
        return import_module("brainuad.predict.source").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
