"""The dependency rules of the design, held by the imports themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import ROOT, imports

PACKAGE = ROOT / "gateway"
STANDARD = set(sys.stdlib_module_names)

PURE = ["types", "errors", "results"]
NO_BACKEND = [
    "tasks",
    "data",
    "prompts",
    "exemplars",
    "parsing",
    "store",
    "calibration",
    "scoring",
    "baselines",
    "comparison",
    "statistics",
    "evaluation",
    "judging",
    "report",
    "tuning.checks",
    "tuning.chats",
    "tuning.chat_format",
    "tuning.chat_import",
]
BACKEND_SDKS = {"httpx", "torch", "llama_cpp", "ollama", "transformers", "peft"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


def belongs(name: str, area: str) -> bool:
    return name == area or name.startswith(f"{area}.")


@pytest.mark.parametrize("module", PURE)
def test_core_values_import_only_the_standard_library_and_each_other(module: str) -> None:
    for name in imports(PACKAGE / f"{module}.py"):
        top = name.split(".")[0]
        allowed = any(belongs(name, f"gateway.{other}") for other in PURE)
        assert top in STANDARD or allowed, name


@pytest.mark.parametrize("area", NO_BACKEND)
def test_evaluation_never_imports_a_backend_the_server_or_an_sdk(area: str) -> None:
    files = [path for name, path in modules().items() if belongs(name, area)]
    assert files
    for path in files:
        for name in imports(path):
            assert not belongs(name, "gateway.backends"), f"{path.name}: {name}"
            assert not belongs(name, "gateway.server"), f"{path.name}: {name}"
            assert name.split(".")[0] not in BACKEND_SDKS, f"{path.name}: {name}"


def test_a_backend_never_imports_another() -> None:
    for module, path in modules().items():
        parts = module.split(".")
        if parts[0] != "backends" or len(parts) < 2 or parts[1] == "base":
            continue
        for name in imports(path):
            if belongs(name, "gateway.backends"):
                other = name.split(".")[2]
                assert other in ("base", parts[1]), f"{module}: {name}"


def test_adapters_are_known_and_checked_without_torch_and_without_a_backend() -> None:
    files = {name: path for name, path in modules().items() if belongs(name, "adapters")}
    assert len(files) > 6
    for module, path in files.items():
        for name in imports(path, lazy=module != "adapters.merge"):
            assert not belongs(name, "gateway.backends"), f"{module}: {name}"
            assert not belongs(name, "gateway.server"), f"{module}: {name}"
            assert name.split(".")[0] not in BACKEND_SDKS, f"{module}: {name}"


def test_only_a_merge_loads_a_model_to_change_it_and_only_when_asked() -> None:
    found = {n for n in imports(PACKAGE / "adapters/merge.py") if belongs(n, "gateway.backends")}
    assert found
    assert all(belongs(name, "gateway.backends.transformers") for name in found)


@pytest.mark.parametrize("area", ["engine", "llama", "go_template"])
def test_what_backends_share_imports_none_of_them(area: str) -> None:
    files = {name: path for name, path in modules().items() if belongs(name, area)}
    assert files
    for module, path in files.items():
        for name in imports(path):
            if belongs(name, "gateway.backends"):
                assert belongs(name, "gateway.backends.base"), f"{module}: {name}"
            assert not belongs(name, "gateway.server"), f"{module}: {name}"
            assert area == "llama" or name.split(".")[0] not in BACKEND_SDKS, f"{module}: {name}"


def test_the_runner_the_pool_and_parity_see_only_the_protocol() -> None:
    for module in ("runner", "pool", "parity"):
        for name in imports(PACKAGE / f"{module}.py"):
            if belongs(name, "gateway.backends"):
                assert belongs(name, "gateway.backends.base"), f"{module}: {name}"
            assert not belongs(name, "gateway.server")


def test_the_server_sees_only_the_protocol_and_never_the_runner() -> None:
    files = {name: path for name, path in modules().items() if belongs(name, "server")}
    assert len(files) > 10
    for module, path in files.items():
        for name in imports(path):
            if belongs(name, "gateway.backends"):
                assert belongs(name, "gateway.backends.base"), f"{module}: {name}"
            assert not belongs(name, "gateway.runner"), f"{module}: {name}"
            assert not belongs(name, "gateway.classifying"), f"{module}: {name}"


def test_only_the_command_line_imports_the_server_and_only_the_server_its_libraries() -> None:
    for module, path in modules().items():
        if belongs(module, "server"):
            continue
        for name in imports(path):
            above = belongs(module, "cli")
            assert above or not belongs(name, "gateway.server"), f"{module}: {name}"
            top = name.split(".")[0]
            assert top not in ("fastapi", "starlette", "uvicorn", "prometheus_client"), module


def test_openai_s_wire_format_stays_out_of_the_service_below_it() -> None:
    wire = ("gateway.server.openai", "gateway.server.extensions", "gateway.server.app")
    for module in ("service", "admission", "exchange", "failures", "streams", "tools", "keys"):
        for name in imports(PACKAGE / "server" / f"{module}.py"):
            assert not any(belongs(name, area) for area in wire), f"{module}: {name}"


def test_nothing_imports_the_command_line() -> None:
    for module, path in modules().items():
        if module != "__main__" and not belongs(module, "cli"):
            assert not any(belongs(name, "gateway.cli") for name in imports(path)), path


def test_only_config_reads_the_environment() -> None:
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if module not in ("config", "llama.library", "backends.transformers.library", "bars"):
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


def test_no_template_environment_is_without_a_sandbox() -> None:
    for path in modules().values():
        for name in imports(path):
            assert name not in ("jinja2.Environment", "jinja2.Template"), path


def test_nothing_unpickles() -> None:
    for path in modules().values():
        for name in imports(path):
            assert name.split(".")[0] not in ("pickle", "dill", "joblib", "shelve"), path
        assert "LlamaDiskCache" not in path.read_text(encoding="utf-8")
