"""From settings to a method.

A family's module is imported by name when it is asked for, so that one family's code is no part of what another
depends on.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, get_args

from brainuad.config.model import MODEL, AnyModel
from brainuad.config.section import Section
from brainuad.errors import InputError
from brainuad.formats.bundle import Bundle
from brainuad.methods.base import Method


def families() -> list[str]:
    """Names of the families: the modules of `brainuad.methods` that hold a method, one per settings class."""
    classes = get_args(get_args(AnyModel)[0])
    return sorted(get_args(cls.model_fields["family"].annotation)[0] for cls in classes)


def build(model: AnyModel) -> Method:
    """The untrained method of these settings; each family's module names its class `METHOD`."""
    module = importlib.import_module(f"brainuad.methods.{model.family}")
    method: Method = module.METHOD(model)
    return method


def load_method(bundle: Bundle, map_settings: Section | Mapping[str, Any]) -> Method:
    """The trained method of a bundle, with these settings of the `map` section.

    Raises InputError if the bundle's settings or arrays do not fit this version of the program.
    """
    content = map_settings.model_dump(mode="json") if isinstance(map_settings, Section) else dict(map_settings)
    try:
        model = MODEL.validate_python({**bundle.about["model"], "map": content})
    except (KeyError, ValueError) as error:
        why = str(error).replace("\n", " ")
        raise InputError("the settings in the bundle do not fit", why=why, do="train the model again") from None
    method = build(model)
    method.load(bundle.arrays)
    return method
