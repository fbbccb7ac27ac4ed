"""Settings in a text: what no sentence mentions is listed, so that nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from brainuad.config.section import Section


class Told:
    """Reads settings like the section itself, and remembers which were read: those are told by a sentence."""

    def __init__(self, section: Section, place: str = "", read: set[str] | None = None):
        self._section, self._place = section, place
        self._read: set[str] = set() if read is None else read

    def __getattr__(self, name: str) -> Any:
        value, place = getattr(self._section, name), f"{self._place}{name}"
        if isinstance(value, Section):
            return Told(value, f"{place}.", self._read)
        self._read.add(place)
        return value

    def rest(self, *elsewhere: str) -> list[str]:
        """A sentence that lists the settings which were not read and are not the defaults; none if there are none.

        `elsewhere`: settings and sections that are told in another place.
        """
        left = [
            f"`{place}` {in_words(value)}"
            for place, value, usual in _leaves(self._section, self._place)
            if place not in self._read and place.split(".")[0] not in elsewhere and value not in usual
        ]
        return [f"Further settings: {', '.join(left)}."] if left else []


def _leaves(section: Section, prefix: str, default: Section | None = None) -> Iterator[tuple[str, Any, list[Any]]]:
    """Dotted name, value and usual values of each setting, as its class has it and the class around it."""
    for name, field in type(section).model_fields.items():
        value, usual = getattr(section, name), field.get_default(call_default_factory=True)
        around = getattr(default, name, usual) if default is not None else usual
        if isinstance(value, Section):
            same_class = around if isinstance(around, type(value)) else None
            yield from _leaves(value, f"{prefix}{name}.", same_class)
        else:
            # a value is usual if neither the class nor the class around it would have another
            yield f"{prefix}{name}", value, [usual] if around == usual else []


def in_words(value: Any) -> str:
    """A setting in a sentence."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:g}" if abs(value) < 1e6 else f"{value:,}"
        case str():
            return value
        case Section():
            return ", ".join(f"{name} {in_words(getattr(value, name))}" for name in type(value).model_fields)
        case dict():
            return ", ".join(f"{key} {in_words(each)}" for key, each in value.items()) or "none"
        case _:
            return listed([in_words(each) for each in value]) if len(value) else "none"


def with_settings(section: Section, *left_out: str) -> str:
    """What a section is, by its docstring, with all its settings: `median filter of the map (size 5)`."""
    settings = [
        f"{name} {in_words(getattr(section, name))}" for name in type(section).model_fields if name not in left_out
    ]
    return first_sentence(type(section)) + (f" ({', '.join(settings)})" if settings else "")


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def count(number: int, noun: str) -> str:
    """`1 scan`, `2 scans`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def modality_in_words(modality: str) -> str:
    """The BIDS suffix as people write it."""
    return "CT" if modality == "ct" else modality


def between(pair: Sequence[float], unit: str = "") -> str:
    """`2 to 5 mm`; `2 mm` where both ends are equal."""
    low, high = pair
    ends = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{ends} {unit}".rstrip()


def first_sentence(about: Any) -> str:
    """The first sentence of a class's docstring, without its end, to go on within a sentence."""
    text = " ".join((about.__doc__ or "").split()).split(". ")[0].removesuffix(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
