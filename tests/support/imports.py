"""What our modules import, read from their text: nothing is loaded."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("gateway", "tests")


@cache
def imports(path: Path, *, lazy: bool = True) -> frozenset[str]:
    """Absolute names that a file imports, also inside functions unless `lazy` is off."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree) if lazy else _at_once(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@cache
def loaded_by(name: str) -> frozenset[str]:
    """Packages that are not ours and that importing a module of ours loads, at any depth.

    Args:
        name: of a module, or of something in one, as an import statement says it.
    """
    if not _is_ours(name):
        return frozenset({name.partition(".")[0]})
    found = {each for file in _reached(name, lazy=False) for each in imports(file, lazy=False)}
    return frozenset(each.partition(".")[0] for each in found if not _is_ours(each))


@cache
def reached_from(name: str) -> frozenset[Path]:
    """Files of ours that a module of ours imports, at any depth, also inside functions."""
    return frozenset(_reached(name, lazy=True))


def _reached(name: str, *, lazy: bool) -> set[Path]:
    waiting, names, seen = {name}, set[str](), set[Path]()
    while waiting:
        names |= waiting
        fresh = {file for each in waiting for file in _files(each)} - seen
        seen |= fresh
        found = {each for file in fresh for each in imports(file, lazy=lazy)}
        waiting = {each for each in found if _is_ours(each)} - names
    return seen


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in OURS


def module_of(path: Path) -> str:
    """The name under which a file of ours is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def _files(name: str) -> tuple[Path, ...]:
    """The module's own file and those of the packages that it is in."""
    above = name.rpartition(".")[0]
    place = ROOT / name.replace(".", "/")
    own = (place.with_suffix(".py"), place / "__init__.py")
    return (*(_files(above) if above else ()), *(file for file in own if file.is_file()))


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_once(child)
