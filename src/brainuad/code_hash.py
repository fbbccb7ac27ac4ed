"""A hash of the code that a job runs: of each function, class and constant that it can reach, and of nothing else.

Snakemake does not see changes inside a package; this hash among a rule's params makes them count. It starts at the
job's class and follows names through the package: a function that the class names, what that function names, and so
on, also through imports inside functions. So an edit reruns the jobs that can run the edited lines.

What cannot change a number does not count: comments, docstrings and strings under fields, type hints of functions,
log messages, messages of errors, `describe` (the methods section), and the packages in `LEFT_OUT`. Nor do the fields
of settings and of jobs, for their values are among the rule's params; their methods count.

Python can reach code in ways that no reading of names shows. The package keeps to these rules: modules are imported by
their absolute names, nothing is imported with `*`, and what is imported by a name that is only known at run time (the
family of a model, a known data set, a preprocessing step) is a root of its own, `Job.code_roots`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from brainuad.code_cache import CodeCache
from brainuad.code_names import Module, Reference, Target

PACKAGE = Path(__file__).parent
LEFT_OUT = tuple(
    f"brainuad.{name}"
    for name in ("cluster", "errors", "jobs", "logs", "resources", "status_line", "terminal", "units")
)
"""Where a job runs, what it says, and what it costs: none of it can change a number."""
SETTINGS = {
    ("brainuad.config.section", "Section"),
    *(("brainuad.jobs.base", name) for name in ("Job", "Paths", "InputsByName")),
}
"""Base classes whose fields are among the rule's params."""
Symbol = tuple[str, str]
"""A module and one of its top-level names."""


@cache
def code_hash(*roots: str) -> str:
    """Twelve hex digits over what these reach: `module`, all of it, or `module:name`."""
    found = _cache().find(roots)
    if found is None:
        found = _of_package().code_hash(*roots)
        _cache().keep(roots, found)
    return found


@cache
def _cache() -> CodeCache:
    return CodeCache(PACKAGE)


@cache
def _of_package() -> CodeHasher:
    return CodeHasher(PACKAGE)


class CodeHasher:
    """Hashes of one copy of the package. Each file is read once."""

    def __init__(self, package: Path):
        self._package = package
        self._modules: dict[str, Module | None] = {}
        self._texts: dict[Symbol, bytes] = {}
        self._hashes: dict[tuple[str, ...], str] = {}

    def code_hash(self, *roots: str) -> str:
        """Twelve hex digits over what these reach."""
        if roots not in self._hashes:
            digest = hashlib.sha256()
            for symbol in sorted(self.reached(*roots)):
                digest.update(self._text(symbol))
            self._hashes[roots] = digest.hexdigest()[:12]
        return self._hashes[roots]

    def edited(self, module: str, source: str) -> CodeHasher:
        """Hashes of the package with another source of one module: what an edit reruns."""
        other = CodeHasher(self._package)
        other._modules = {name: found for name, found in self._modules.items() if found is not None}
        other._texts = {symbol: text for symbol, text in self._texts.items() if symbol[0] != module}
        if self._module(module) is not None:
            other._modules[module] = Module(source.encode(), _templates(self._path(module) or self._package))
        return other

    def reached(self, *roots: str) -> set[Symbol]:
        """The names that these reach, themselves included."""
        seen: set[Symbol] = set()
        waiting = [symbol for root in roots for symbol in self._root(root)]
        while waiting:
            symbol = waiting.pop()
            if symbol not in seen:
                seen.add(symbol)
                waiting += self._referred(symbol)
        return seen

    def _root(self, root: str) -> list[Symbol]:
        module, _, name = root.partition(":")
        if (found := self._module(module)) is None:
            return []
        return [(module, name)] if name else [(module, each) for each in found.definitions]

    def _referred(self, symbol: Symbol) -> list[Symbol]:
        module = self._module(symbol[0])
        assert module is not None
        return [each for reference in module.references(symbol[1]) for each in self._resolve(symbol[0], reference)]

    def _text(self, symbol: Symbol) -> bytes:
        if symbol not in self._texts:
            module = self._module(symbol[0])
            assert module is not None
            text = f"{symbol} {module.text(symbol[1], without_fields=self._is_settings(symbol))}\n"
            self._texts[symbol] = hashlib.sha256(text.encode()).digest()
        return self._texts[symbol]

    def _is_settings(self, symbol: Symbol) -> bool:
        """Whether a name is a class whose fields are among the rule's params."""
        module = self._module(symbol[0])
        if symbol in SETTINGS:
            return True
        for name, attributes in module.bases(symbol[1]) if module else []:
            target = module.imports.get(name) if module else None
            if target in SETTINGS and not attributes:
                return True
            if any(self._is_settings(each) for each in self._resolve(symbol[0], (name, attributes))):
                return True
        return False

    def _resolve(self, module: str, reference: Reference) -> list[Symbol]:
        """What a reference in a module stands for, as far as it is in the package and counts."""
        name, attributes = reference
        if isinstance(name, tuple):
            return self._imported(name, attributes)
        found = self._module(module)
        if found is None:
            return []
        if name in found.definitions:
            return [(module, name)]
        return self._imported(found.imports[name], attributes) if name in found.imports else []

    def _imported(self, target: Target, attributes: tuple[str, ...]) -> list[Symbol]:
        """What an imported name, followed by attributes, stands for."""
        module, name = target
        if name is not None:
            if self._module(f"{module}.{name}") is None:
                return self._resolve(module, (name, attributes))
            module = f"{module}.{name}"
        while attributes and self._module(f"{module}.{attributes[0]}") is not None:
            module, attributes = f"{module}.{attributes[0]}", attributes[1:]
        if attributes:
            return self._resolve(module, (attributes[0], attributes[1:]))
        whole = self._module(module)  # the module itself is passed on: any of it may be used
        return [(module, each) for each in whole.definitions] if whole else []

    def _module(self, name: str) -> Module | None:
        """A module of the package that counts; None for any other name."""
        if name not in self._modules:
            left_out = any(name == out or name.startswith(f"{out}.") for out in LEFT_OUT)
            path = self._path(name) if name.startswith("brainuad.") and not left_out else None  # not the version
            self._modules[name] = Module(path.read_bytes(), _templates(path)) if path else None
        return self._modules[name]

    def _path(self, name: str) -> Path | None:
        path = self._package.joinpath(*name.split(".")[1:])
        files = (path / "__init__.py", path.with_suffix(".py"))
        return next((file for file in files if file.is_file()), None)


def _templates(path: Path) -> str:
    """Hash of the templates beside a file; empty without any."""
    files = sorted((path.parent / "templates").glob("*"))
    return "".join(hashlib.sha256(each.read_bytes()).hexdigest() for each in files)
