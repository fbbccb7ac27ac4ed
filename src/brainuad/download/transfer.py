"""One file over HTTP: goes on after a break, waits longer each time, and says what a server refuses."""

from __future__ import annotations

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

from brainuad.download.known import Remote
from brainuad.download.login import Login, Session, how_to_log_in, shown
from brainuad.download.progress import Progress, say
from brainuad.errors import InputError
from brainuad.formats import files
from brainuad.units import format_size

_BLOCK = 1 << 16  # bytes; what a break may lose
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may better
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds."""

    connect: float = 30.0
    read: float = 60.0
    """Silence after which a connection counts as lost."""
    tries: int = 8
    """Tries in a row that bring nothing new."""
    first: float = 1.0
    """Wait after the first of them; doubled each time."""
    longest: float = 60.0
    asked: float = 3600.0
    """The longest wait that a server may ask for."""


class _BrokenError(Exception):
    """A try that another may better; `wait` in seconds where the server asks for it."""

    def __init__(self, why: str, wait: float | None = None):
        super().__init__(why)
        self.why, self.wait = why, wait


def transfer(session: Session, remote: Remote, part: Path, page: str, room: int, patience: Patience) -> None:
    """Bring `remote` whole to `part`, going on with what an earlier try left there if the server still has that file.

    `page`: where a person may read of the set; `room`: bytes to be left free for each byte of the file. Raises
    InputError where the server refuses, stays silent or the disk is full; what came so far is kept.
    """
    tries, best = 0, _size(part)
    while True:
        try:
            return _try(session, remote, part, page, room, patience)
        except _BrokenError as broken:
            size = _size(part)
            tries = 1 if size > best else tries + 1
            best = max(best, size)
            wait = min(patience.first * 2 ** (tries - 1), patience.longest) if broken.wait is None else broken.wait
            why = ""
            if tries >= patience.tries:
                why = f"{broken.why}; given up after {tries} tries without anything new"
            elif wait > max(patience.asked, patience.longest):
                why = f"{broken.why} and asks to come back in {wait:.0f} s"
            if why:
                do = f"check the network (HTTPS_PROXY) and run the same command again, or see {page}"
                raise _fault(remote, why + _untried(remote), do) from None
            say(f"{part.stem}: {broken.why}; going on at {format_size(size)} in {wait:.0f} s")
            time.sleep(wait)


def forget(part: Path) -> None:
    """Delete what came so far."""
    part.unlink(missing_ok=True)
    _state_of(part).unlink(missing_ok=True)


def _try(session: Session, remote: Remote, part: Path, page: str, room: int, patience: Patience) -> None:
    state = _state(remote, part)
    size = _size(part) if state else 0
    if size and size == state["total"]:
        return
    headers = {"Accept-Encoding": "identity"}  # so that bytes and lengths are the file's own
    if size:
        headers["Range"] = f"bytes={size}-"
        if state["validator"]:
            headers["If-Range"] = state["validator"]
    with _ask(session, remote, headers, patience) as response:
        if response.status_code not in (200, 206, 416):
            raise _refusal(response, remote, page)
        start, total = _extent(response, size)
        if response.status_code == 416 and total == size:
            return
        if start is None or (start and state["total"] not in (None, total)):
            forget(part)
            raise _BrokenError("the server cannot go on there, so it starts anew")
        if _is_page(response, remote):
            do = how_to_log_in(remote.login, remote.url) if remote.login else f"see {page}"
            raise _fault(remote, "the server sent a web page in its place", do)
        _make_room(remote, part, (total or 0) * (1 + room) - start)
        validator = response.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # If-Range takes strong ones only
            validator = response.headers.get("Last-Modified", "")
        state = {"url": shown(remote.url), "validator": validator, "total": total}
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
            forget(part)
        raise _BrokenError("the connection was lost")


def _blocks(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    try:
        yield from response.raw.stream(_BLOCK, decode_content=False)
    except (TimeoutError, urllib3.exceptions.TimeoutError):
        raise _BrokenError(f"the server was silent for {patience.read:.0f} s") from None
    except (OSError, urllib3.exceptions.HTTPError):
        raise _BrokenError("the connection was lost") from None


def _ask(session: Session, remote: Remote, headers: dict[str, str], patience: Patience) -> requests.Response:
    """The answer to a request. No text of these exceptions goes on: it holds addresses with their queries."""
    host = urlsplit(remote.url).hostname
    times = (patience.connect, patience.read)
    login = Login(remote.login, remote.url)
    try:
        response = session.get(remote.url, headers=headers, auth=login, stream=True, timeout=times)
    except requests.exceptions.SSLError:
        do = "check the clock and the certificates (REQUESTS_CA_BUNDLE)"
        raise _fault(remote, f"the certificate of {host} cannot be trusted", do) from None
    except requests.exceptions.ProxyError:
        raise _BrokenError("the proxy does not answer") from None
    except requests.Timeout:
        raise _BrokenError(f"{host} does not answer") from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        raise _BrokenError(f"no connection to {host}") from None
    except requests.RequestException as error:
        why = type(error).__name__ + _untried(remote)
        raise _fault(remote, why, "check the address and the credentials") from None
    if response.status_code in _PASSING:
        response.close()
        raise _BrokenError(f"{host} answers {response.status_code}", _asked_wait(response))
    return response


def _asked_wait(response: requests.Response) -> float | None:
    try:
        retry = urllib3.Retry(retry_after_max=2**31)  # a long wait is told, not cut
        return retry.parse_retry_after(response.headers["Retry-After"])
    except (KeyError, urllib3.exceptions.InvalidHeader):
        return None


def _refusal(response: requests.Response, remote: Remote, page: str) -> InputError:
    code = response.status_code
    if code in (401, 403) and remote.login:
        why = "401: who you are is unknown" if code == 401 else "403: your account is unknown or has no access"
        return _fault(remote, why, f"{how_to_log_in(remote.login, remote.url)}; access is given at {page}")
    if code in (404, 410):
        return _fault(remote, f"{code}: nothing is at that address{_untried(remote)}", f"look for the file at {page}")
    why = f"the server answers {code}{_untried(remote)}"
    return _fault(remote, why, f"download it by hand, see {page}")


def _untried(remote: Remote) -> str:
    return "" if remote.tried else " (the address comes from the set's pages and was never tried)"


def _fault(remote: Remote, why: str, do: str) -> InputError:
    return InputError(f"cannot download {remote.path}", file=shown(remote.url), why=why, do=do)


def _extent(response: requests.Response, size: int) -> tuple[int | None, int | None]:
    """Where the answer's bytes begin, None if they do not join the `size` bytes there, and the whole file's length."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        return None, None
    total = int(found[2]) if found[2] != "*" else None
    return size if found[1] and int(found[1]) == size > 0 else None, total


def _is_page(response: requests.Response, remote: Remote) -> bool:
    kind = response.headers.get("Content-Type", "").lower()
    return kind.startswith("text/html") and not remote.path.endswith((".html", ".htm"))


def _make_room(remote: Remote, part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        why = f"{format_size(needed)} are needed and {format_size(free)} are free"
        raise InputError(f"{remote.path} does not fit on the disk", file=part.parent, why=why, do="free space first")


def _state_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _state(remote: Remote, part: Path) -> dict[str, Any]:
    """What is known of the part: address, validator, total length. Empty where it cannot be gone on with."""
    if not (part.is_file() and _state_of(part).is_file()):
        return {}
    state: dict[str, Any] = files.read_json(_state_of(part))
    known = state["validator"] or state["total"] is not None or remote.checksum
    return state if known and state["url"] == shown(remote.url) else {}


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
