"""A file on a server, and the names by which a download is known in its folder."""

from __future__ import annotations

from dataclasses import dataclass

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Endings of files that are unpacked; `.nii.gz` is not among them."""
UNFINISHED = ".download/unfinished"
"""Lies in a data set's folder while the downloaded files are moved there."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to download. Source of addresses and checksums: the data set's own pages."""

    url: str
    path: str
    """Destination below the data set's folder; an archive is unpacked into the folder that it lies in."""
    checksum: str = ""
    """`sha256:...`, `sha1:...` or `md5:...`; empty where none is published."""
    tried: bool = False
    """Whether the address has been used successfully; if not, an error message says so."""
    login: str = ""
    """The service whose credentials it needs, such as `physionet`: `BRAINUAD_PHYSIONET_USER` and so on, or netrc."""
