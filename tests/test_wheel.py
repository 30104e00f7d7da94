"""What a person gets who installs the wheel: prompts, models.toml and manual inside, no torch."""

import os
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT, spec_and_path
from tests.support.grids import shortest

pytestmark = pytest.mark.needs("build", "hatchling")

CORE = "from importlib.metadata import requires; print(*requires('local-model-gateway'), sep='\\n')"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment outside the repository with the wheel in it.

    Its dependencies are those of this environment, read through a .pth file: what is under test
    is what the wheel brings, and an index may be out of reach where tests run.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env")
    made = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(made)]
    install = [*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    pure = subprocess.run(
        [made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A path entry, not a site folder: the editable install of the repository stays out.
    (Path(pure) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def call(python: Path, *arguments: str, cwd: Path) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GATEWAY_"))}
    done = subprocess.run(
        [python, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_outside_the_repository(python: Path, tmp_path: Path) -> None:
    where = call(python, "-c", "import gateway; print(gateway.__file__)", cwd=tmp_path)
    assert str(ROOT) not in where
    listed = call(python, "-m", "gateway", "prompts", "list", cwd=tmp_path)
    assert "issue-triage" in listed
    assert str(ROOT) not in listed
    assert "smollm2-135m" in call(python, "-m", "gateway", "models", "list", cwd=tmp_path)
    assert "gateway help tune" in call(python, "-m", "gateway", "help", "tutorial", cwd=tmp_path)


def test_the_hint_that_adds_an_extra_can_be_typed(python: Path, tmp_path: Path) -> None:
    """It names the wheel, for the package is on no index."""
    hint = "from gateway.core.extras import how_to_install as hint; print(hint('serve'))"
    said = call(python, "-c", hint, cwd=tmp_path)
    assert ".whl" in said
    env = {**os.environ, "PIP_NO_INDEX": "1"}
    done = subprocess.run(shlex.split(said), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_runs_the_main_job(python: Path, tmp_path: Path) -> None:
    spec_and_path("smollm2-135m")
    shortest(ROOT / "prompts" / "issue-triage" / "sample.csv", tmp_path / "few.csv", 2)
    run = ["run", "-t", "issue-triage", "--data", "few.csv", "--store", "s.sqlite", "--out", "out"]
    said = call(python, "-m", "gateway", *run, cwd=tmp_path)
    assert "smollm2-135m/few_shot/sum" in said
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_core_install_pulls_no_torch(python: Path, tmp_path: Path) -> None:
    required = call(python, "-c", CORE, cwd=tmp_path).splitlines()
    core = [line for line in required if "extra ==" not in line]
    heavy = ("torch", "transformers", "llama", "datasets", "pyarrow", "peft", "huggingface")
    assert len(core) > 5
    assert not [line for line in core if line.startswith(heavy)]
