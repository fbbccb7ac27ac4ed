"""How the code hash reads names: a small package of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainuad.code_hash import CodeHasher

FILES = {
    "config/__init__.py": "",
    "config/section.py": "class Section:\n    def sorted_json(self): return 1\n",
    "config/sizes.py": (
        "from brainuad.config.section import Section\n"
        "class Sizes(Section):\n"
        '    batch: int = 1\n    """How many."""\n'
        "    def doubled(self): return self.batch * 2\n"
    ),
    "formats/__init__.py": "",
    "formats/table.py": (
        "SEPARATOR = ','\n"
        "def read(path): return path.split(SEPARATOR)\n"
        "def write(path): return other(path)\n"
        "def other(path): return path\n"
    ),
    "errors.py": "class BrainuadError(Exception): pass\n",
    "logs.py": "def say(): return 1\n",
    "work.py": (
        "from __future__ import annotations\n"
        "import logging\n"
        "from brainuad.config.sizes import Sizes\n"
        "from brainuad.errors import BrainuadError\n"
        "from brainuad.formats import table\n"
        "from brainuad.logs import say\n"
        "logger = logging.getLogger(__name__)\n"
        "FACTOR: int = 3\n"
        "def work(path: str, sizes: Sizes, table_name: str = 'x') -> list[str]:\n"
        '    """Work."""\n'
        "    logger.info('start %s', path)\n"
        "    say()\n"
        "    if not path:\n"
        "        raise BrainuadError(f'nothing at {path}')\n"
        "    rows: list[str] = table.read(path)\n"
        "    return rows * FACTOR * sizes.doubled()\n"
        "def hidden(other):\n"
        "    return other\n"
        "def late():\n"
        "    from brainuad.formats.table import write\n"
        "    return write('a')\n"
        "class Job:\n"
        "    sizes: Sizes\n"
        "    def run(self):\n"
        "        return work('a', self.sizes)\n"
        "    def describe(self):\n"
        "        return hidden('words')\n"
    ),
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "brainuad" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "brainuad/__init__.py").write_text("")
    return tmp_path / "brainuad"


def changed(package: Path, name: str, old: str, new: str, root: str = "brainuad.work:Job") -> bool:
    before = CodeHasher(package).code_hash(root)
    path = package / name
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return CodeHasher(package).code_hash(root) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("work.py", "FACTOR: int = 3", "FACTOR: int = 4"),
        ("work.py", "rows * FACTOR", "rows + rows"),
        ("work.py", "table_name: str = 'x'", "table_name: str = 'y'"),
        ("work.py", "raise BrainuadError(", "raise ValueError("),
        ("work.py", "if not path", "if path"),
        ("formats/table.py", "','", "';'"),
        ("formats/table.py", "path.split(SEPARATOR)", "path.split(SEPARATOR)[1:]"),
        ("config/sizes.py", "self.batch * 2", "self.batch * 3"),
        ("work.py", "        return work('a', self.sizes)", "        return work('b', self.sizes)"),
    ],
)
def test_what_can_change_a_number_counts(package, name, old, new):
    assert changed(package, name, old, new)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("work.py", '"""Work."""', '"""Toil."""  # indeed'),
        ("work.py", "'start %s', path", "'begin with %s', path"),
        ("work.py", "f'nothing at {path}'", "f'there is nothing at {path}'"),
        ("work.py", "rows: list[str] =", "rows ="),
        ("work.py", "path: str, sizes: Sizes", "path, sizes"),
        ("work.py", "hidden('words')", "hidden('other words')"),
        ("work.py", "    return other", "    return 2 * other"),
        ("config/sizes.py", '"""How many."""', '"""The number of them."""'),
        ("config/sizes.py", "    batch: int = 1", "    batch: int = 2"),
        ("formats/table.py", "return other(path)", "return None"),
        ("logs.py", "return 1", "return 2"),
        ("errors.py", "pass", "code = 2"),
    ],
)
def test_what_cannot_does_not(package, name, old, new):
    assert not changed(package, name, old, new)


def test_an_import_inside_a_function_is_followed(package):
    assert changed(package, "formats/table.py", "return path\n", "return path * 2\n", root="brainuad.work:late")


def test_a_local_name_hides_a_name_of_the_module(package):
    before = CodeHasher(package).reached("brainuad.work:hidden")
    assert before == {("brainuad.work", "hidden")}


def test_a_whole_module_counts_where_it_is_passed_on_or_named_as_root(package):
    (package / "work.py").write_text("from brainuad.formats import table\ndef pick(): return [table]\n")
    names = {name for _, name in CodeHasher(package).reached("brainuad.work:pick")}
    assert names == {"pick", "SEPARATOR", "read", "write", "other"}
    assert len(CodeHasher(package).reached("brainuad.formats.table")) == 4


def test_statements_that_run_on_import_belong_to_every_name(package):
    with (package / "formats/table.py").open("a") as file:
        file.write("print('loaded')\n")
    assert changed(package, "formats/table.py", "print('loaded')", "print('again')")
