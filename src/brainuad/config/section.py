"""Base class of all settings: frozen, strict about unknown keys, documented by the strings under the fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys; lists stay whole."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


class Section(BaseModel):
    """Settings that refuse unknown keys and cannot be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def sorted_json(self, exclude: set[str] | None = None) -> str:
        """The settings as JSON with sorted keys, so that equal settings give equal text."""
        return json.dumps(self.model_dump(mode="json", exclude=exclude), sort_keys=True)
