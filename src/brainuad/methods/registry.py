"""From settings to a method. Families are found by name (`brainuad.config.model`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from brainuad.config.model import MethodSettings, families, settings_class, validate
from brainuad.config.section import Section
from brainuad.errors import InputError
from brainuad.formats.bundle import Bundle
from brainuad.methods.base import Method, Sign

__all__ = ["build", "families", "load_method", "settings_class", "use_threads", "validate"]


def build(settings: MethodSettings, sequences: Sequence[str] = (), signs: Mapping[str, Sign] | None = None) -> Method:
    """The untrained method of these settings.

    `sequences`: that it sees, where a scan has several; `signs`: of the lesions in them, for its maps.
    """
    if len(sequences) > 1 and settings.several == "joint":
        joint: Method = settings.joint_class()(settings, sequences, signs or {})
        return joint
    if len(sequences) > 1:
        from brainuad.methods.shared.sequences import SequenceMaps

        return SequenceMaps(settings, sequences, signs or {})
    method: Method = settings.method_class()(settings)
    return method


def use_threads(count: int) -> None:
    """Give torch so many threads, where a method has loaded it: others run sooner without."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)


def load_method(
    bundle: Bundle, map_settings: Section | Mapping[str, Any], signs: Mapping[str, Sign] | None = None
) -> Method:
    """The trained method of a bundle, with these settings of the `map` section and signs of lesions by sequence.

    Raises InputError if the bundle's settings or arrays do not fit this version of the program.
    """
    content = map_settings.model_dump(mode="json") if isinstance(map_settings, Section) else dict(map_settings)
    try:
        settings = validate({**bundle.about["model"], "map": content})
    except (KeyError, ValueError) as error:
        why = str(error).replace("\n", " ")
        raise InputError("the settings in the bundle do not fit", why=why, do="train the model again") from None
    method = build(settings, bundle.sequences, signs)
    method.load(bundle.arrays)
    return method
