"""Former names, until the scripts call the jobs."""

from brainuad.download.fetch import fetch
from brainuad.download.list_scans import list_scans as download

__all__ = ["download", "fetch"]
