"""Lists of files that only their server knows: read when a set is downloaded, never while the Snakefile is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

from brainuad.download.known import Remote
from brainuad.errors import InputError

_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_CHECKSUMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256"}


def read_page(url: str) -> bytes:
    """The content of an address; raises InputError where it does not answer."""
    import requests

    from brainuad.download.login import Login, Session

    try:
        answer = Session().get(url, auth=Login("", url), timeout=60)
        answer.raise_for_status()
    except requests.RequestException as error:
        why, do = type(error).__name__, "try again later, or bring the files yourself"
        if error.response is not None:
            why = f"the server answers {error.response.status_code} (the address was never tried)"
        raise InputError("the list of files cannot be read", file=url, why=why, do=do) from None
    return answer.content


def dataverse(server: str, page: bytes) -> list[Remote]:
    """Every file of a Dataverse data set, at the path that its authors gave it.

    `page`: what `<server>/api/datasets/:persistentId` answers. Source: guides.dataverse.org, native API.
    """
    try:
        files = json.loads(page)["data"]["latestVersion"]["files"]
        return [_of_dataverse(server, file) for file in files]
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(server, repr(error)) from None


def _of_dataverse(server: str, file: dict[str, dict[str, dict[str, str]]]) -> Remote:
    data = file["dataFile"]
    path = "/".join(part for part in (file.get("directoryLabel", ""), data["filename"]) if part)  # type: ignore[misc]
    checksum = data.get("checksum", {})
    kind = _CHECKSUMS.get(checksum.get("type", ""))
    return Remote(f"{server}/api/access/datafile/{data['id']}", path, f"{kind}:{checksum['value']}" if kind else "")


def bucket(address: str, prefix: str, read: Callable[[str], bytes]) -> list[Remote]:
    """Every file of a public S3 bucket whose key starts with `prefix`, at its key; page after page.

    `address`: `https://s3.amazonaws.com/<bucket>`. The ETag of an object that came in one part is its MD5. Source:
    docs.aws.amazon.com, ListObjectsV2.
    """
    from urllib.parse import quote

    found: list[Remote] = []
    token = ""
    while True:
        more = f"&continuation-token={quote(token, safe='')}" if token else ""
        page = read(f"{listing_of(address, prefix)}{more}")
        try:
            root = ET.fromstring(page)  # noqa: S314 - expat reads no outer entities and bounds inner ones
        except ET.ParseError as error:
            raise _unreadable(address, str(error)) from None
        for entry in root.iter(f"{_S3}Contents"):
            key = entry.findtext(f"{_S3}Key", "")
            if key.endswith("/"):  # a folder's own mark
                continue
            tag = entry.findtext(f"{_S3}ETag", "").strip('"')
            checksum = f"md5:{tag}" if re.fullmatch(r"[0-9a-f]{32}", tag) else ""
            found.append(Remote(f"{address}/{quote(key)}", key, checksum))
        token = root.findtext(f"{_S3}NextContinuationToken", "")
        if not token:
            return found


def listing_of(address: str, prefix: str) -> str:
    """The address of the first page of that list."""
    return f"{address}?list-type=2&prefix={prefix}"


def _unreadable(server: str, why: str) -> InputError:
    return InputError(f"the list of files of {server} is not as it was", why=why, do="bring the files yourself")
