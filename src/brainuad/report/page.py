"""The report as one HTML page that needs nothing else: no network, no library, and no script to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"


def render(content: Mapping[str, Any]) -> str:
    """Fill `page.html`."""
    return filled(TEMPLATES, content, parts("style.css", "page.js", "planes.js", "viewer.js"))


def filled(folder: Path, content: Mapping[str, Any], scripts: Mapping[str, Markup], template: str = "page.html") -> str:
    """Fill a template of a folder with content and with `parts`.

    Every text from outside is escaped. A name that is missing is an error, never a gap.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "code": code}
    return environment.get_template(template).render(**content, **scripts)


def parts(*names: str, folder: Path = TEMPLATES) -> dict[str, Markup]:
    """Styles and scripts to be set into a page, by name with `_` for the dot."""
    return {name.replace(".", "_"): Markup((folder / name).read_text(encoding="utf-8")) for name in names}  # noqa: S704


def code(text: str) -> Markup:
    """Escaped text in which `words between backticks` are set as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def duration(seconds: float) -> str:
    """Seconds as a short text: `0.4 s`, `75 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
