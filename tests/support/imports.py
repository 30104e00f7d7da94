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
    waiting = [name]
    seen: set[Path] = set()
    others: set[str] = set()
    while waiting:
        each = waiting.pop()
        if each.partition(".")[0] not in OURS:
            others.add(each.partition(".")[0])
        else:
            fresh = set(_files(each)) - seen
            seen |= fresh
            waiting += [found for file in fresh for found in imports(file, lazy=False)]
    return frozenset(others)


def module_of(path: Path) -> str:
    """The name under which a file of ours is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _files(name: str) -> Iterator[Path]:
    """The module's own file and those of the packages that it is in."""
    place = ROOT
    for part in name.split("."):
        place = place / part
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_once(child)
