"""No two files import each other in a circle; rooms and wings are import-linter's (`.importlinter`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import distilseg

PACKAGE = Path(distilseg.__file__).parent

# What stays, and why.
ALLOWED = {
    frozenset({"distilseg.networks.features", "distilseg.networks.tables.monai"}): (
        "A table registers itself with the function that looks it up; imported only when a network is asked"
        " for its features, it costs no user of `features` the start of MONAI."
    )
}


def _modules() -> dict[str, Path]:
    """Every file of the package by its module's name."""
    named = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def _imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The package's modules that one imports anywhere: at its top, in a function, or for its types alone."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield from (module for module in (inner if inner in known else source,) if module in known)


def _circles(imports: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """The groups of modules that reach one another (strongly connected components of more than one)."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for module in imports[waiting.pop()] - seen:
                seen.add(module)
                waiting.append(module)
        return seen

    reach = {module: reached(module) for module in imports}
    groups = {frozenset(other for other in reach[module] if module in reach[other]) for module in imports}
    return sorted((group for group in groups if group), key=sorted)


def test_no_two_files_import_each_other_in_a_circle() -> None:
    modules = _modules()
    assert len(modules) > 200
    imports = {name: set(_imported(name, path, modules)) - {name} for name, path in modules.items()}
    circles = [sorted(circle) for circle in _circles(imports)]
    assert circles == sorted(map(sorted, ALLOWED))


@pytest.mark.parametrize(
    "of_a",
    [
        "from .b import x",
        "from . import b",
        "from ..inner.b import x",
        "import distilseg.inner.b",
        "def lazily():\n    from distilseg.inner import b",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import x",
    ],
)
def test_a_circle_of_any_spelling_is_found(of_a: str, tmp_path: Path) -> None:
    written = {"a": of_a, "b": "from .c import x", "c": "from . import a", "alone": "from . import a"}
    known = {f"distilseg.inner.{name}": tmp_path / f"{name}.py" for name in written}
    for name, text in written.items():
        (tmp_path / f"{name}.py").write_text(text)
    imports = {name: set(_imported(name, path, known)) for name, path in known.items()}
    assert _circles(imports) == [frozenset(f"distilseg.inner.{name}" for name in "abc")]
