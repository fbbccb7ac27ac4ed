"""Base class of all settings: frozen, strict about unknown keys, documented by the strings under the fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys; lists stay whole."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


class Section(BaseModel):
    """Settings that refuse unknown keys and cannot be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_truth(cls, given: Any) -> Any:
        """`true` is not 1, nor `no` 0."""
        for name, value in given.items() if isinstance(given, dict) else ():
            annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
            kinds = {annotation, *get_args(annotation)}
            if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
                raise ValueError(f"{name} must be a number, not {str(value).lower()}")
        return given

    def sorted_json(self, exclude: set[str] | None = None) -> str:
        """The settings as JSON with sorted keys, so that equal settings give equal text."""
        return json.dumps(self.model_dump(mode="json", exclude=exclude), sort_keys=True)
