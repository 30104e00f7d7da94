"""What scripts/install says where it cannot go on, and what it takes from an earlier time.

The Python in .venv is a stand-in that answers for pip with a text, so that nothing is downloaded or
compiled; everything else is the script as it stands, in a folder with a space in its name.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import pytest

from tests.conftest import ROOT

TOOLS = (
    *("awk", "bash", "basename", "cat", "cksum", "cut", "df", "dirname", "env", "grep", "head"),
    *("mkdir", "mktemp", "mv", "rm", "sed", "sysctl", "tail", "tr", "uname"),
)

# Called as pip it prints what `says` holds, makes a wheel, and ends with what `code` holds.
PYTHON = """#!{bash}
case "$*" in
  *" wheel "*)
    echo called >>"{folder}/compiled"
    cat "{folder}/says"
    while [ "$1" != --wheel-dir ]; do shift; done
    : >"$2/llama_cpp_python-0-py3-none-any.whl"
    exit "$(cat "{folder}/code")" ;;
  *" install "*) echo "$*" >>"{folder}/installed" ;;
  -) cat >/dev/null ;;
  *) exec "{python}" "$@" ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of what scripts/install reads, with a PATH of its own."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def tool(self, name: str, text: str) -> None:
        """A program on the PATH."""
        script(self.bin / name, f"#!{shutil.which('bash')}\n{text}\n")

    def pip_says(self, text: str, code: int = 0) -> None:
        """Let pip say this while it compiles, and end with this code."""
        (self.folder / "says").write_text(text)
        (self.folder / "code").write_text(str(code))

    def install(self, extras: str = "llama-cpp", **more: str) -> subprocess.CompletedProcess[str]:
        env: Mapping[str, str] = {
            "PATH": str(self.bin),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            **more,
        }
        return subprocess.run(
            [str(self.folder / "scripts" / "install"), extras],
            env=dict(env),
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def compilations(self) -> int:
        made = self.folder / "compiled"
        return len(made.read_text().splitlines()) if made.exists() else 0

    @property
    def wheels(self) -> list[Path]:
        return sorted((self.folder / "home").rglob("*.whl"))


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """With a compiler, and with a .venv whose pip compiles and installs without a word."""
    made = Checkout(tmp_path / "a folder")
    for name in ("bin", "tmp", ".venv/bin"):
        (made.folder / name).mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", made.folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", made.folder)
    for name in TOOLS:
        if found := shutil.which(name):
            (made.bin / name).symlink_to(found)
    made.tool("c++", "exit 0")
    made.pip_says("")
    script(
        made.folder / ".venv" / "bin" / "python",
        PYTHON.format(bash=shutil.which("bash"), folder=made.folder, python=sys.executable),
    )
    return made


def without_venv(checkout: Checkout) -> Checkout:
    shutil.rmtree(checkout.folder / ".venv")
    return checkout


def test_an_old_python_is_named_with_what_to_set(checkout: Checkout) -> None:
    checkout.tool("python3", '[ "$1" = --version ] && echo "Python 3.10.13"')
    done = without_venv(checkout).install()
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed, and python3 is Python 3.10.13" in done.stderr
    assert "PYTHON=" in done.stderr


def test_no_python_at_all_is_named_too(checkout: Checkout) -> None:
    done = without_venv(checkout).install(PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert "there is no /nowhere/python3" in done.stderr


def test_without_the_venv_module_it_says_which_package_brings_it(checkout: Checkout) -> None:
    checkout.tool(
        "python3",
        'case "$*" in --version) echo "Python 3.12.1" ;; '
        '*venv*) echo "no ensurepip"; exit 1 ;; esac',
    )
    done = without_venv(checkout).install()
    assert done.returncode == 1
    assert "no ensurepip" in done.stderr
    assert "apt-get install python3-venv" in done.stderr


def test_an_unknown_extra_is_refused_with_the_known_ones(checkout: Checkout) -> None:
    done = checkout.install("llama-cpp,lama")
    assert done.returncode == 1
    assert "no extra is called 'lama'" in done.stderr
    assert "one of llama-cpp, transformers" in done.stderr
    assert checkout.compilations == 0


def test_without_a_compiler_nothing_is_fetched(checkout: Checkout) -> None:
    (checkout.bin / "c++").unlink()
    done = checkout.install()
    assert done.returncode == 1
    assert "a C++ compiler is needed" in done.stderr
    assert "apt-get install g++" in done.stderr
    assert checkout.compilations == 0


def test_a_compiler_that_fails_is_found_before_anything_is_fetched(checkout: Checkout) -> None:
    checkout.tool("c++", "echo 'cc1plus: not found' >&2; exit 1")
    done = checkout.install()
    assert done.returncode == 1
    assert "cc1plus: not found" in done.stderr
    assert "cannot compile an empty program" in done.stderr
    assert checkout.compilations == 0


def test_a_compiler_named_in_the_environment_is_the_one_that_is_tried(checkout: Checkout) -> None:
    (checkout.bin / "c++").unlink()
    checkout.tool("my-compiler", "exit 0")
    assert checkout.install(CXX="my-compiler").returncode == 0


def test_too_little_room_is_said_before_the_compiler_begins(checkout: Checkout) -> None:
    (checkout.bin / "df").unlink()
    checkout.tool(
        "df",
        "echo 'Filesystem 1024-blocks Used Available Capacity Mounted'; "
        "echo 'tmpfs 400000 1000 204800 1% /tmp'",
    )
    done = checkout.install()
    assert done.returncode == 1
    assert "which has 200 MB" in done.stderr
    assert "TMPDIR=" in done.stderr
    assert checkout.compilations == 0


UNREACHED = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError': /simple/x/
ERROR: Could not find a version that satisfies the requirement llama-cpp-python
ERROR: No matching distribution found for llama-cpp-python
"""


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (UNREACHED, "pip reaches no package index"),
        (indent(UNREACHED, "      "), "pip reaches no package index"),
        ("ninja: error: mkdir: No space left on device", "the disk is full"),
        ("x.cpp:1:2: error: no member named 'y'\n" + "noise\n" * 30, "no member named 'y'"),
    ],
)
def test_what_pip_failed_of_is_said_in_a_line(checkout: Checkout, said: str, meant: str) -> None:
    checkout.pip_says(said, code=1)
    done = checkout.install()
    assert done.returncode == 1
    assert meant in done.stderr
    assert "error: llama.cpp was not compiled" in done.stderr
    assert checkout.wheels == []
    assert not list(checkout.folder.joinpath("home").rglob(".build-*"))


def test_the_compiler_is_followed_with_the_seconds_that_are_left(checkout: Checkout) -> None:
    checkout.pip_says("".join(f"  [{n}/40] c++ -c {n}.cpp\n" for n in range(1, 41)))
    done = checkout.install()
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "files" in line]
    assert len(lines) == 10
    assert lines[0].strip() == "4 of 40 files, about 0 s left"
    assert lines[-1].strip().startswith("40 of 40 files")


def test_what_was_compiled_is_taken_again_until_something_that_it_was_made_of_changes(
    checkout: Checkout,
) -> None:
    assert checkout.install().returncode == 0
    shutil.rmtree(checkout.folder / ".venv" / ".installed", ignore_errors=True)
    assert checkout.install().returncode == 0
    assert checkout.compilations == 1
    assert checkout.install(CMAKE_ARGS="-DGGML_NATIVE=OFF").returncode == 0
    assert checkout.compilations == 2
    with (checkout.folder / "scripts" / "llama.cmake").open("a") as file:
        file.write("# changed\n")
    assert checkout.install().returncode == 0
    assert checkout.compilations == 3
    with (checkout.folder / "scripts" / "install").open("a") as file:
        file.write("# changed\n")
    assert checkout.install().returncode == 0
    assert checkout.compilations == 4
    constraints = checkout.folder / "scripts" / "constraints.txt"
    text = constraints.read_text()
    constraints.write_text(text.replace("llama-cpp-python==", "llama-cpp-python==9"))
    assert checkout.install().returncode == 0
    assert checkout.compilations == len(checkout.wheels) == 5


def test_nothing_is_compiled_for_an_extra_that_does_not_call_llama_cpp(checkout: Checkout) -> None:
    for extras in ("", "parquet", "serve,dev"):
        assert checkout.install(extras).returncode == 0
    assert checkout.compilations == 0
    assert checkout.install("serve,ollama").returncode == 0
    assert checkout.compilations == 1


def test_extras_that_are_there_are_not_installed_again(checkout: Checkout) -> None:
    installed = checkout.folder / "installed"
    assert checkout.install("llama-cpp,serve").returncode == 0
    once = installed.read_text()
    assert checkout.install("llama-cpp").returncode == 0
    assert installed.read_text() == once
    assert checkout.install("llama-cpp,parquet").returncode == 0
    assert checkout.install("serve,llama-cpp").returncode == 0
    assert len(installed.read_text().splitlines()) == 2 * len(once.splitlines())


def test_a_folder_that_was_moved_is_installed_again(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.install().returncode == 0
    moved = tmp_path / "another folder"
    os.rename(checkout.folder, moved)
    python = moved / ".venv" / "bin" / "python"
    script(python, python.read_text().replace(str(checkout.folder), str(moved)))
    before = (moved / "installed").read_text()
    there = Checkout(moved)
    assert there.install().returncode == 0
    assert (moved / "installed").read_text() != before
    assert there.compilations == 1
