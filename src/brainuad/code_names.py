"""The top-level names of a source file: what defines each, and which other names its definition refers to."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Target = tuple[str, str | None]
"""What an imported name stands for: a module, or a name in it."""
Reference = tuple[str | Target, tuple[str, ...]]
"""A name of the file, or what a function imports, and the attributes that follow it."""
LOG_CALLS = {"debug", "info", "warning", "error", "exception", "log"}
SPOKEN = {"describe", "code_roots"}
"""Methods of jobs, steps and sources that say what is done and do nothing."""


class Module:
    """A source file without what cannot change a number. `templates`: hash of the templates that lie beside it.

    A definition is cleaned when it is asked for: most of a file is not reached.
    """

    def __init__(self, source: bytes, templates: str = ""):
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, Target] = {}
        self._always: list[ast.stmt] = []  # statements that define nothing run on import: they belong to every name
        self._cleaned: dict[str, list[ast.stmt]] = {}
        self._references: dict[str, list[Reference]] = {}
        self._templates = templates
        self._sort(ast.parse(source).body)
        self._always = _clean(self._always)

    def text(self, name: str, without_fields: bool) -> str:
        """What defines a name, and the templates beside the file. `without_fields`: of a class."""
        nodes = [_without_fields(node) if without_fields else node for node in self._clean(name)]
        return "".join(map(ast.dump, [*nodes, *self._always])) + self._templates

    def references(self, name: str) -> list[Reference]:
        """What the definition of a name refers to."""
        if name not in self._references:
            visitor = _References()
            for node in [*self._clean(name), *self._always]:
                visitor.visit(node)
            self._references[name] = list(dict.fromkeys(visitor.found))
        return self._references[name]

    def _clean(self, name: str) -> list[ast.stmt]:
        if name not in self._cleaned:
            self._cleaned[name] = _clean(self.definitions.get(name, []))
        return self._cleaned[name]

    def bases(self, name: str) -> list[tuple[str, tuple[str, ...]]]:
        """The bases of a class; none for other names."""
        classes = [node for node in self.definitions.get(name, []) if isinstance(node, ast.ClassDef)]
        return [chain for node in classes for base in node.bases if (chain := _attributes(base))]

    def _sort(self, body: list[ast.stmt]) -> None:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    self._define(name, node)
                case ast.Import() | ast.ImportFrom():
                    self.imports |= dict(_imported(node))
                case ast.If() if "TYPE_CHECKING" in ast.dump(node.test):
                    continue
                case ast.If() | ast.Try():
                    for part in ("body", "orelse", "finalbody"):
                        self._sort(getattr(node, part, []))
                case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    for name in [each.id for t in targets for each in ast.walk(t) if isinstance(each, ast.Name)]:
                        if name != "logger":
                            self._define(name, node)
                case ast.Pass():
                    continue
                case _:
                    self._always.append(node)

    def _define(self, name: str, node: ast.stmt) -> None:
        self.definitions.setdefault(name, []).append(node)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Target]]:
    """The names that an import binds to modules of the package, or to names in them."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == "brainuad":
                yield (alias.asname, (alias.name, None)) if alias.asname else ("brainuad", ("brainuad", None))
    elif node.module and node.module.partition(".")[0] == "brainuad":
        for alias in node.names:
            yield alias.asname or alias.name, (node.module, alias.name)


def _clean(nodes: list[ast.stmt]) -> list[ast.stmt]:
    """Statements without what cannot change a number."""
    return [cleaned for node in nodes if (cleaned := _Cleaner().visit(node)) is not None]


class _Cleaner(ast.NodeTransformer):
    """Takes away what cannot change a number."""

    def __init__(self) -> None:
        self._functions = 0

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """A body from which all was taken is `pass`."""
        super().generic_visit(node)
        if isinstance(body := getattr(node, "body", None), list) and not body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Docstrings, strings under fields and log messages."""
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return None
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in LOG_CALLS:
            base = value.func.value
            if isinstance(base, ast.Name) and base.id == "logger":
                return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """The words of an error; its class counts."""
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        node.cause = None
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        """Type hints."""
        node.returns = None
        for each in _arguments(node.args):
            each.annotation = None
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Methods that say what is done."""
        node.body = [each for each in node.body if not (isinstance(each, ast.FunctionDef) and each.name in SPOKEN)]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        """Type hints of local variables."""
        self.generic_visit(node)
        if not self._functions:
            return node
        return ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno) if node.value else None


class _References(ast.NodeVisitor):
    """Names of the file that a definition refers to; local names of functions hide them."""

    def __init__(self) -> None:
        self.found: list[Reference] = []
        self._scopes: list[dict[str, Target | None]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Decorators and defaults are seen outside, the body inside."""
        for each in node.decorator_list:
            self.visit(each)
        self._scope(node.args, list(node.body))

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """As a function."""
        self._scope(node.args, [node.body])

    def visit_Name(self, node: ast.Name) -> None:
        """A name alone."""
        self._refer(node.id, ())

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A name with attributes, or any other expression."""
        if (chain := _attributes(node)) is None:
            self.generic_visit(node)
        else:
            self._refer(*chain)

    def _scope(self, arguments: ast.arguments, body: list[ast.AST]) -> None:
        for default in (*arguments.defaults, *(each for each in arguments.kw_defaults if each)):
            self.visit(default)
        local: dict[str, Target | None] = {each.arg: None for each in _arguments(arguments)}
        for node in body:
            local |= dict(_bound(node))
        self._scopes.append(local)
        for node in body:
            self.visit(node)
        self._scopes.pop()

    def _refer(self, name: str, attributes: tuple[str, ...]) -> None:
        for scope in reversed(self._scopes):
            if name in scope:
                if (target := scope[name]) is not None:
                    self.found.append((target, attributes))
                return
        self.found.append((name, attributes))


def _bound(node: ast.AST) -> Iterator[tuple[str, Target | None]]:
    """Names that a statement binds in its function, and what those stand for that it imports from the package.

    Names inside functions and classes that it defines are theirs.
    """
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, None
            return
        case ast.Lambda():
            return
        case ast.Import() | ast.ImportFrom():
            yield from _imported(node)
        case ast.Name(id=name, ctx=ast.Store()) | ast.ExceptHandler(name=str(name)):
            yield name, None
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, None
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return [each for each in every if each is not None]


def _attributes(node: ast.expr) -> tuple[str, tuple[str, ...]] | None:
    """The name and attributes of `a.b.c`; None for other expressions."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, tuple(reversed(names))) if isinstance(node, ast.Name) else None


def _without_fields(node: ast.stmt) -> ast.stmt:
    """A class without its fields; class variables stay."""
    if not isinstance(node, ast.ClassDef):
        return node
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.dump(each)]
    kept = [each for each in node.body if each not in fields]
    return ast.ClassDef(node.name, bases=node.bases, keywords=node.keywords, body=kept, decorator_list=[])
