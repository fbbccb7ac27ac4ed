"""YAML read as it is written: `no`, `010` and `12:30` are text, and hostile files are refused with a message.

Differs from YAML 1.1, which PyYAML reads: only `true` and `false` are booleans, a number has no leading zeros, and
there are no dates and no base 60. Keys are text. Numbers remember how they were written, for settings that take text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from brainuad.config.near_files import near_files
from brainuad.errors import ConfigError

LARGEST = 500_000
"""In bytes; reading takes about a second for a million."""
MOST_VALUES = 100_000
"""Values of a file once its aliases are written out."""
DEEPEST = 40
"""Levels of lists and mappings."""
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
NUMBER = re.compile(r"[-+]?(0|[1-9][0-9_]*)?(\.[0-9_]*)?([eE][-+][0-9]+)?")
LONGEST_NUMBER = 40
NOT_FINITE = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
MERGE = "<<"
PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WrittenInt(int):
    """An integer of a YAML file."""

    text: str


class WrittenFloat(float):
    """A number of a YAML file."""

    text: str


Written = WrittenInt | WrittenFloat
UNWRITTEN = (bool, type(None))
"""Types of values that do not remember how they were written."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; raises ConfigError for a missing, malformed or hostile file."""
    text = _text(path)
    try:
        content = _Reader(path).read(text)
    except yaml.YAMLError as error:
        why = re.sub(r"\s+", " ", str(error)).replace("<unicode string>", "the file")
        do = "indent with blanks, not tabs" if re.search(r"(?m)^ *\t", text) else "correct that line"
        raise ConfigError(f"{path.name} is no valid YAML", file=path, why=why, do=do) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path.name} holds no settings", file=path, do="write `key: value` lines")
    return content


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}", do=near_files(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path.name}", file=path, why=error.strerror, do="correct the path") from None
    if len(content) > LARGEST:
        why = f"it has more than {LARGEST / 1e3:g} kB, settings have a few"
        raise ConfigError(f"{path.name} is too large", file=path, why=why, do="correct the path")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is no UTF-8"
        raise ConfigError(f"cannot read {path.name}", file=path, why=why, do="save it as UTF-8 text") from None


@dataclass
class _Node:
    """A value under construction, or a finished one."""

    value: Any
    line: int = 0
    anchor: str | None = None
    size: int = 1
    """Values in it, with its aliases written out."""
    depth: int = 0
    key: str | None = None
    """Of a mapping: the key whose value comes next."""
    lines: dict[str, int] = field(default_factory=dict)
    """Of a mapping: where its keys were written."""
    open: bool = True


class _Reader:
    """Builds the content of a file from the parser's events, without recursion."""

    def __init__(self, path: Path):
        self._path = path
        self._stack: list[_Node] = [_Node([])]
        self._anchors: dict[str, _Node] = {}

    def read(self, text: str) -> Any:
        """The content of the first document; None for an empty file."""
        documents = 0
        for event in yaml.parse(text, Loader=PARSER):
            documents += isinstance(event, yaml.DocumentStartEvent)
            if documents > 1:
                self._refuse("it holds several documents", event, "remove the lines `---` between them")
            if isinstance(event, yaml.ScalarEvent):
                self._add_scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                self._add_alias(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end(event)
        return next(iter(self._stack[0].value), None)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            self._refuse("a key is a list or mapping", event, "give it a name")
        if event.tag and not event.tag.endswith((":map", ":seq", "!")):
            self._refuse(f"the tag {event.tag} is unknown", event, "remove it")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        node = _Node(value, _line(event), event.anchor)
        self._remember(node)
        self._stack.append(node)
        if len(self._stack) > DEEPEST:
            self._refuse(f"it is more than {DEEPEST} levels deep", event, "correct the file")

    def _end(self, event: yaml.CollectionEndEvent) -> None:
        node = self._stack.pop()
        node.open = False
        if isinstance(node.value, dict) and MERGE in node.value:
            node.value = self._merged(node.value, event)
        self._add(node, event)

    def _merged(self, value: dict[str, Any], event: yaml.Event) -> dict[str, Any]:
        """The mapping after its `<<`."""
        bases = value.pop(MERGE)
        bases = bases if isinstance(bases, list) else [bases]
        if not all(isinstance(base, dict) for base in bases):
            self._refuse("`<<` stands before something that is no mapping", event, "name an alias of a mapping")
        merged: dict[str, Any] = {}
        for base in reversed(bases):
            merged |= base
        return merged | value

    def _add_scalar(self, event: yaml.ScalarEvent) -> None:
        parent = self._stack[-1]
        if isinstance(parent.value, dict) and parent.key is None:
            if event.value in parent.lines:
                why = f"in lines {parent.lines[event.value]} and {_line(event)}"
                raise ConfigError(f"{event.value} is written twice", file=self._path, why=why, do="remove one of them")
            parent.key = event.value
            parent.lines[event.value] = _line(event)
            return
        node = _Node(self._scalar(event), _line(event), event.anchor, open=False)
        self._remember(node)
        self._add(node, event)

    def _add_alias(self, event: yaml.AliasEvent) -> None:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            self._refuse(f"there is no &{event.anchor} before *{event.anchor}", event, "correct the name")
        elif node.open:
            self._refuse(f"*{event.anchor} stands in itself", event, "remove it")
        elif isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            self._refuse("a key is an alias", event, "write it out")
        else:
            self._add(node, event)

    def _add(self, node: _Node, event: yaml.Event) -> None:
        """Put a finished value into what it stands in."""
        parent = self._stack[-1]
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > MOST_VALUES:
            why = f"with its aliases written out it has more than {MOST_VALUES} values"
            self._refuse(why, event, "do not use it if you did not write it")
        if parent.depth + len(self._stack) > DEEPEST + 2:
            self._refuse(f"it is more than {DEEPEST} levels deep", event, "correct the file")
        if isinstance(parent.value, dict):
            parent.value[parent.key] = node.value
            parent.key = None
        else:
            parent.value.append(node.value)

    def _remember(self, node: _Node) -> None:
        if node.anchor:
            self._anchors[node.anchor] = node

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        tag = (event.tag or "").rpartition(":")[2]
        if event.tag and tag not in ("!", "str", "int", "float", "bool", "null"):
            self._refuse(f"the tag {event.tag} is unknown", event, "remove it")
        if tag in ("!", "str") or (not event.tag and not event.implicit[0]):
            return event.value
        return _plain(event.value)

    def _refuse(self, why: str, event: yaml.Event, do: str) -> None:
        why = f"line {_line(event)}: {why}"
        raise ConfigError(f"{self._path.name} cannot be read", file=self._path, why=why, do=do)


def _plain(text: str) -> Any:
    """The value of a scalar without quotes."""
    if text.lower() in WORDS and text in (text.lower(), text.capitalize(), text.upper()):
        return WORDS[text.lower()]
    number: Written
    if len(text) > LONGEST_NUMBER:
        return text
    if INTEGER.fullmatch(text):
        number = WrittenInt(text)
    elif text.lower() in NOT_FINITE:
        number = WrittenFloat(NOT_FINITE[text.lower()])
    elif "." in text and any(map(str.isdigit, text)) and NUMBER.fullmatch(text):
        number = WrittenFloat(text)
    else:
        return text
    number.text = text
    return number


def _line(event: yaml.Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 0
