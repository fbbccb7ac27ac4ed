"""File lists on servers (Dataverse, S3): read by the fetch job, never while the Snakefile is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

from brainuad.download.transfer.remote import RemoteFile
from brainuad.errors import InputError

_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_CHECKSUMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256"}


def read_page(url: str) -> bytes:
    """The content of an address; raises InputError if it cannot be read."""
    import requests

    from brainuad.download.transfer.login import Login, Session

    try:
        answer = Session().get(url, auth=Login("", url), timeout=60)
        answer.raise_for_status()
    except requests.RequestException as error:
        why, do = type(error).__name__, "try again later, or provide the files yourself"
        if error.response is not None:
            why = f"the server answers {error.response.status_code} (the address was never used)"
        raise InputError("the list of files cannot be read", file=url, why=why, do=do) from None
    return answer.content


def dataverse_files(server: str, page: bytes) -> list[RemoteFile]:
    """All files of a Dataverse data set, at the paths that its authors gave them.

    `page`: the response of `<server>/api/datasets/:persistentId`. Source: guides.dataverse_files.org, native API.
    """
    try:
        files = json.loads(page)["data"]["latestVersion"]["files"]
        return [_of_dataverse(server, file) for file in files]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(server, repr(error)) from None


def _of_dataverse(server: str, file: dict[str, dict[str, dict[str, str]]]) -> RemoteFile:
    data = file["dataFile"]
    path = "/".join(part for part in (file.get("directoryLabel", ""), data["filename"]) if part)  # type: ignore[misc]
    checksum = data.get("checksum", {})
    algorithm = _CHECKSUMS.get(checksum.get("type", ""))
    known = f"{algorithm}:{checksum['value']}" if algorithm else ""
    return RemoteFile(f"{server}/api/access/datafile/{data['id']}", path, known)


def s3_files(address: str, prefix: str, read: Callable[[str], bytes]) -> list[RemoteFile]:
    """All files of a public S3 bucket whose key starts with `prefix`; the key is the path. Reads all pages.

    `address`: `https://s3.amazonaws.com/<bucket>`. The ETag of an object that was uploaded in one part is its MD5.
    Source: docs.aws.amazon.com, ListObjectsV2.
    """
    from urllib.parse import quote

    remotes: list[RemoteFile] = []
    token = ""
    while True:
        more = f"&continuation-token={quote(token, safe='')}" if token else ""
        page = read(f"{s3_list_url(address, prefix)}{more}")
        try:
            root = ET.fromstring(page)  # noqa: S314 - expat reads no outer entities and bounds inner ones
        except ET.ParseError as error:
            raise _unreadable(address, str(error)) from None
        for entry in root.iter(f"{_S3}Contents"):
            key = entry.findtext(f"{_S3}Key", "")
            if key.endswith("/"):  # a folder
                continue
            tag = entry.findtext(f"{_S3}ETag", "").strip('"')
            checksum = f"md5:{tag}" if re.fullmatch(r"[0-9a-f]{32}", tag) else ""
            remotes.append(RemoteFile(f"{address}/{quote(key)}", key, checksum))
        token = root.findtext(f"{_S3}NextContinuationToken", "")
        if not token:
            return remotes


def s3_list_url(address: str, prefix: str) -> str:
    """The address of the first page of a bucket's list."""
    return f"{address}?list-type=2&prefix={prefix}"


def _unreadable(server: str, why: str) -> InputError:
    return InputError(f"the file list of {server} has an unknown format", why=why, do="provide the files yourself")
