"""Credentials of download services: from the environment or netrc, never to another host, never in a message."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_netrc_auth


def shown(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def how_to_log_in(service: str, url: str) -> str:
    """Where the credentials of `service` may stand."""
    user, password, token = _names(service)
    host = urlsplit(url).hostname
    return f"set {user} and {password}, or {token}, in the environment, or name {host} in ~/.netrc"


class Login(AuthBase):
    """The credentials of one service; none where `service` is empty, whatever netrc says."""

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
    """Proxies and certificates as the environment says; a redirect loses credentials and gains none."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Drop the credentials where the host changes; netrc's default entry would give new ones to any host."""
        before, after = str(response.request.url), str(prepared_request.url)
        if self.should_strip_auth(before, after):
            prepared_request.headers.pop("Authorization", None)


def _names(service: str) -> tuple[str, str, str]:
    stem = f"BRAINUAD_{service.upper().replace('-', '_')}"
    return f"{stem}_USER", f"{stem}_PASSWORD", f"{stem}_TOKEN"
