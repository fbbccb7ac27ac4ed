"""Credentials of download services, from the environment or netrc; never sent to another host or shown in a message."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_netrc_auth


def safe_url(url: str) -> str:
    """An address without user, password and query, which may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def how_to_log_in(service: str, url: str) -> str:
    """A sentence on where the credentials of `service` can be set."""
    user, password, token = _names(service)
    host = urlsplit(url).hostname
    return f"set {user} and {password}, or {token}, in the environment, or name {host} in ~/.netrc"


class Login(AuthBase):
    """The credentials of one service; none if `service` is empty, also where netrc has a default entry."""

    def __init__(self, service: str, url: str):
        self._basic: tuple[str, str] | None = None
        self._token = ""
        if service:
            user, password, token = (os.environ.get(name, "").strip() for name in _names(service))
            self._token = token
            if not token:
                self._basic = (user, password) if user and password else get_netrc_auth(url)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add them to a request."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        elif self._basic:
            user, password = self._basic
            HTTPBasicAuth(user.encode(), password.encode())(request)
        return request


class Session(requests.Session):
    """Uses proxies and certificates of the environment; a redirect to another host drops credentials."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Drop the credentials if the host changes; the base class would add those of netrc's default entry."""
        before, after = str(response.request.url), str(prepared_request.url)
        if self.should_strip_auth(before, after):
            prepared_request.headers.pop("Authorization", None)


def _names(service: str) -> tuple[str, str, str]:
    stem = f"BRAINUAD_{service.upper().replace('-', '_')}"
    return f"{stem}_USER", f"{stem}_PASSWORD", f"{stem}_TOKEN"
