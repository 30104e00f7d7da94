"""Who may import whom: the direction table of the layout, and a few rules beside it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT, imports

PACKAGE = ROOT / "gateway"
STANDARD = set(sys.stdlib_module_names)

_COMPUTING = "core models engine backends tasks scoring quantization"
DIRECTION = {
    "core": "",
    "models": "core",
    "tasks": "core",
    "scoring": "core",
    "engine": "core models",
    "backends": "core models engine",
    "quantization": "core models engine backends tasks",
    "tuning": _COMPUTING,
    "evaluation": _COMPUTING,
    "determinism": "core models backends tasks evaluation",
    "server": "core models backends tasks scoring",
    "report": f"{_COMPUTING} tuning evaluation determinism",
    "cli": f"{_COMPUTING} tuning evaluation determinism server report",
}
"""Each package of gateway/ and those that its modules may import, itself apart."""
ABOVE_ALL = {"__init__.py", "__main__.py", "py.typed", "__pycache__", "_shipped", "manual"}
BACKEND_SDKS = {"httpx", "torch", "llama_cpp", "ollama", "transformers", "peft"}
SEAM = ("protocol", "registry", "pool", "budget")
"""All that who asks a model sees of `gateway/backends`."""
READ_THE_ENVIRONMENT = (
    "models.environment",
    "engine.llama.library",
    "backends.transformers.library",
    "core.bars",
)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


def within(*areas: str) -> dict[str, Path]:
    """The modules of some packages; there are some."""
    found = {n: p for n, p in modules().items() if any(belongs(n, area) for area in areas)}
    assert found
    return found


def belongs(name: str, area: str) -> bool:
    return name == area or name.startswith(f"{area}.")


@pytest.mark.parametrize("package", DIRECTION)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    allowed = {package, *DIRECTION[package].split()}
    for module, path in within(package).items():
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "gateway" and len(parts) > 1 and parts[1] in DIRECTION:
                assert parts[1] in allowed, f"{module} imports {name}"


def test_no_module_escapes_the_table() -> None:
    assert {path.name for path in PACKAGE.iterdir()} - ABOVE_ALL == set(DIRECTION)


def test_the_table_has_no_cycle() -> None:
    below = {name: set(allowed.split()) for name, allowed in DIRECTION.items()}
    while below:
        lowest = {name for name, allowed in below.items() if not allowed & below.keys()}
        assert lowest, f"a cycle among {sorted(below)}"
        below = {name: allowed for name, allowed in below.items() if name not in lowest}


@pytest.mark.parametrize("module", ["core.types", "core.errors"])
def test_core_values_import_only_the_standard_library_and_each_other(module: str) -> None:
    for name in imports(modules()[module]):
        assert name.split(".")[0] in STANDARD or belongs(name, "gateway.core"), name


def test_values_and_scoring_never_see_a_backend_or_an_sdk() -> None:
    checks = ("tuning.checks", "tuning.chats", "tuning.chat_format", "tuning.chat_import")
    for module, path in within("core", "tasks", "scoring", *checks).items():
        for name in imports(path):
            assert not belongs(name, "gateway.backends"), f"{module}: {name}"
            sdk = name.split(".")[0] in BACKEND_SDKS
            assert not sdk or module == "core.bars", f"{module}: {name}"


def test_what_evaluates_and_reports_never_sees_an_sdk() -> None:
    for module, path in within("evaluation", "report", "determinism").items():
        for name in imports(path):
            assert name.split(".")[0] not in BACKEND_SDKS, f"{module}: {name}"


def test_a_backend_never_imports_another() -> None:
    kinds = {"llama_cpp", "transformers", "ollama", "fake"}
    for module, path in within(*(f"backends.{kind}" for kind in kinds)).items():
        for name in imports(path):
            if belongs(name, "gateway.backends"):
                other = name.split(".")[2]
                assert other not in kinds or other == module.split(".")[1], f"{module}: {name}"


def test_adapters_are_known_and_checked_without_torch() -> None:
    for module, path in within("models.adapters").items():
        for name in imports(path):
            assert name.split(".")[0] not in BACKEND_SDKS, f"{module}: {name}"


def test_only_a_merge_loads_a_model_to_change_it_and_only_when_asked() -> None:
    found = {
        name
        for name in imports(modules()["tuning.export.merge"])
        if belongs(name, "gateway.backends")
    }
    assert found
    assert all(belongs(name, "gateway.backends.transformers") for name in found)
    at_once = imports(modules()["tuning.export.merge"], lazy=False)
    assert not any(name.split(".")[0] in BACKEND_SDKS for name in at_once)


def test_the_engine_knows_no_sdk_but_in_its_room_for_llama_cpp() -> None:
    for module, path in within("engine").items():
        for name in imports(path):
            in_room = belongs(module, "engine.llama")
            assert in_room or name.split(".")[0] not in BACKEND_SDKS, f"{module}: {name}"


def test_the_runner_the_pool_and_parity_see_only_the_protocol() -> None:
    protocol = tuple(f"gateway.backends.{name}" for name in SEAM)
    for module in ("evaluation.run", "backends.pool", "determinism.parity"):
        for name in imports(modules()[module]):
            if belongs(name, "gateway.backends"):
                assert any(belongs(name, each) for each in protocol), f"{module}: {name}"


def test_the_server_sees_only_the_protocol() -> None:
    for module, path in within("server").items():
        for name in imports(path):
            if belongs(name, "gateway.backends"):
                assert name.split(".")[2] in SEAM, f"{module}: {name}"


def test_only_the_server_imports_its_libraries() -> None:
    for module, path in modules().items():
        for name in imports(path):
            top = name.split(".")[0]
            web = top in ("fastapi", "starlette", "uvicorn", "prometheus_client")
            assert not web or belongs(module, "server"), f"{module}: {name}"


def test_openai_s_wire_format_stays_out_of_the_service_below_it() -> None:
    wire = ("gateway.server.openai", "gateway.server.extensions", "gateway.server.app")
    for module in (
        "service",
        "admission",
        "exchange",
        "http_errors",
        "client_work",
        "tools",
        "keys",
    ):
        for name in imports(PACKAGE / "server" / f"{module}.py"):
            assert not any(belongs(name, area) for area in wire), f"{module}: {name}"


def test_the_environment_is_read_in_one_place_and_set_for_libraries_in_three() -> None:
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if module not in READ_THE_ENVIRONMENT:
            assert not re.search(r"\bos\.(environ|getenv)|import (environ|getenv)", text), path


def test_importing_the_package_and_its_help_loads_no_heavy_library() -> None:
    code = (
        "import sys, gateway, gateway.cli\n"
        "heavy = {'torch', 'llama_cpp', 'sklearn', 'scipy', 'matplotlib', 'pandas', 'datasets',"
        " 'fastapi', 'uvicorn', 'transformers', 'peft', 'gguf'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_knows_the_types_of_what_it_hands_on() -> None:
    for module, path in within("cli").items():
        assert "typing.Any" not in imports(path), module


def test_no_template_environment_is_without_a_sandbox() -> None:
    for path in modules().values():
        for name in imports(path):
            assert name not in ("jinja2.Environment", "jinja2.Template"), path


def test_nothing_unpickles() -> None:
    for path in modules().values():
        for name in imports(path):
            assert name.split(".")[0] not in ("pickle", "dill", "joblib", "shelve"), path
        assert "LlamaDiskCache" not in path.read_text(encoding="utf-8")
