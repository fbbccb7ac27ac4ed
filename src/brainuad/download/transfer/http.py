"""Download of one file over HTTP, with resume, retries and messages for what a server refuses."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from brainuad.download.progress import Progress
from brainuad.download.transfer.login import Login, Session, how_to_log_in, safe_url
from brainuad.download.transfer.remote import RemoteFile
from brainuad.download.transfer.unpack import is_archive
from brainuad.errors import InputError
from brainuad.formats import files
from brainuad.units import format_size

logger = logging.getLogger(__name__)
_BLOCK = 1 << 16
"""Bytes; an interruption loses less."""
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which a retry may succeed."""
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """Timeouts and waits, in seconds."""

    connect: float = 30.0
    read: float = 60.0
    """Without data for this long, the connection counts as lost."""
    tries: int = 8
    """Attempts in a row without a new byte."""
    first: float = 1.0
    """Wait after the first of them; it doubles each time."""
    longest: float = 60.0
    asked: float = 3600.0
    """The longest wait that a server may ask for (Retry-After)."""


class _TemporaryError(Exception):
    """A failure after which a retry may succeed; `wait` in seconds if the server asks for it."""

    def __init__(self, why: str, wait: float | None = None):
        super().__init__(why)
        self.why, self.wait = why, wait


def download_file(session: Session, remote: RemoteFile, part: Path, page: str, patience: Patience) -> None:
    """Download `remote` to `part`, resuming what an earlier attempt left there if the file on the server is unchanged.

    `page`: address for messages. Raises InputError if the server refuses, sends nothing, or the disk is full; the part
    that was downloaded is kept.
    """
    tries, best = 0, _size(part)
    while True:
        try:
            return _attempt(session, remote, part, page, patience)
        except _TemporaryError as error:
            size = _size(part)
            tries = 1 if size > best else tries + 1
            best = max(best, size)
            wait = min(patience.first * 2 ** (tries - 1), patience.longest) if error.wait is None else error.wait
            why = ""
            if tries >= patience.tries:
                why = f"{error.why}; stopped after {tries} attempts without a new byte"
            elif wait > max(patience.asked, patience.longest):
                why = f"{error.why} and asks to wait {wait:.0f} s"
            if why:
                do = f"check the network (HTTPS_PROXY) and run the same command again, or see {page}"
                raise _error(remote, why + _untried(remote), do) from None
            logger.warning("%s: %s; resuming at %s in %.0f s", part.stem, error.why, format_size(size), wait)
            time.sleep(wait)


def delete_part(part: Path) -> None:
    """Delete an incomplete download."""
    part.unlink(missing_ok=True)
    _state_of(part).unlink(missing_ok=True)


def _attempt(session: Session, remote: RemoteFile, part: Path, page: str, patience: Patience) -> None:
    state = _state(remote, part)
    size = _size(part) if state else 0
    if size and size == state["total"]:
        return
    headers = {"Accept-Encoding": "identity"}  # bytes and lengths are those of the file, not of an encoding
    if size:
        headers["Range"] = f"bytes={size}-"
        if state["validator"]:
            headers["If-Range"] = state["validator"]
    with _request(session, remote, headers, patience) as response:
        if response.status_code not in (200, 206, 416):
            raise _refusal(response, remote, page)
        start, total = _extent(response, size)
        if response.status_code == 416 and total == size:
            return
        if start is None or (start and state["total"] not in (None, total)):
            delete_part(part)
            raise _TemporaryError("the server cannot resume there, so the download starts again")
        if _is_web_page(response, remote):
            do = how_to_log_in(remote.login, remote.url) if remote.login else f"see {page}"
            raise _error(remote, "the server sent a web page instead", do)
        copies = 2 if is_archive(remote.path) else 1  # the archive and its content
        _require_space(remote, part, (total or 0) * copies - start)
        validator = response.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # If-Range takes strong ones only
            validator = response.headers.get("Last-Modified", "")
        state = {"url": safe_url(remote.url), "validator": validator, "total": total}
        if not start:
            part.unlink(missing_ok=True)
        files.write_json(_state_of(part), state)
        _write(response, part, start, total, patience)


def _write(response: requests.Response, part: Path, start: int, total: int | None, patience: Patience) -> None:
    progress = Progress(part.stem, start, total)
    try:
        with part.open("ab") as file:
            for block in _blocks(response, patience):
                file.write(block)
                progress.add(len(block))
    except OSError as error:
        raise files.unwritable(part, error) from None
    finally:
        progress.close()
    if total is not None and _size(part) != total:
        if _size(part) > total:
            delete_part(part)
        raise _TemporaryError("the connection was lost")


def _blocks(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(_BLOCK, decode_content=False)
    except (TimeoutError, urllib3.exceptions.TimeoutError):
        raise _TemporaryError(f"the server was silent for {patience.read:.0f} s") from None
    except (OSError, urllib3.exceptions.HTTPError):
        raise _TemporaryError("the connection was lost") from None


def _request(session: Session, remote: RemoteFile, headers: dict[str, str], patience: Patience) -> requests.Response:
    """The response to a request. The text of exceptions is dropped: it contains addresses with their queries."""
    host = urlsplit(remote.url).hostname
    times = (patience.connect, patience.read)
    login = Login(remote.login, remote.url)
    try:
        response = session.get(remote.url, headers=headers, auth=login, stream=True, timeout=times)
    except requests.exceptions.SSLError:
        do = "check the clock and the certificates (REQUESTS_CA_BUNDLE)"
        raise _error(remote, f"the certificate of {host} cannot be trusted", do) from None
    except requests.exceptions.ProxyError:
        raise _TemporaryError("the proxy does not answer") from None
    except requests.Timeout:
        raise _TemporaryError(f"{host} does not answer") from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        raise _TemporaryError(f"no connection to {host}") from None
    except requests.RequestException as error:
        why = type(error).__name__ + _untried(remote)
        raise _error(remote, why, "check the address and the credentials") from None
    if response.status_code in _TEMPORARY:
        response.close()
        raise _TemporaryError(f"{host} answers {response.status_code}", _retry_after(response))
    return response


def _retry_after(response: requests.Response) -> float | None:
    try:
        retry = urllib3.Retry(retry_after_max=2**31)  # a longer wait is reported, not shortened
        return retry.parse_retry_after(response.headers["Retry-After"])
    except (KeyError, urllib3.exceptions.InvalidHeader):
        return None


def _refusal(response: requests.Response, remote: RemoteFile, page: str) -> InputError:
    code = response.status_code
    if code in (401, 403) and remote.login:
        why = "401: you are not logged in" if code == 401 else "403: your account is unknown or has no access"
        return _error(remote, why, f"{how_to_log_in(remote.login, remote.url)}; access is granted at {page}")
    if code in (404, 410):
        why = f"{code}: there is no file at that address{_untried(remote)}"
        return _error(remote, why, f"look for the file at {page}")
    why = f"the server answers {code}{_untried(remote)}"
    return _error(remote, why, f"download it by hand, see {page}")


def _untried(remote: RemoteFile) -> str:
    return "" if remote.tried else " (the address comes from the data set's pages and was never used)"


def _error(remote: RemoteFile, why: str, do: str) -> InputError:
    return InputError(f"cannot download {remote.path}", file=safe_url(remote.url), why=why, do=do)


def _extent(response: requests.Response, size: int) -> tuple[int | None, int | None]:
    """First byte of the response, None if it does not continue the `size` bytes on disk; and the file's full length."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    content_range = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if content_range is None:
        return None, None
    total = int(content_range[2]) if content_range[2] != "*" else None
    return size if content_range[1] and int(content_range[1]) == size > 0 else None, total


def _is_web_page(response: requests.Response, remote: RemoteFile) -> bool:
    content_type = response.headers.get("Content-Type", "").lower()
    return content_type.startswith("text/html") and not remote.path.endswith((".html", ".htm"))


def _require_space(remote: RemoteFile, part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        why = f"{format_size(needed)} are needed and {format_size(free)} are free"
        raise InputError(f"{remote.path} does not fit on the disk", file=part.parent, why=why, do="free space first")


def _state_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _state(remote: RemoteFile, part: Path) -> dict[str, Any]:
    """Address, validator and total length of the part; empty if it cannot be resumed."""
    if not (part.is_file() and _state_of(part).is_file()):
        return {}
    state: dict[str, Any] = files.read_json(_state_of(part))
    resumable = state["validator"] or state["total"] is not None or remote.checksum
    return state if resumable and state["url"] == safe_url(remote.url) else {}


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
