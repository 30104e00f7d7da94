"""Scripts for clients in JavaScript, run by node with the packages of a committed lock file."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_PACKAGES = ("package.json", "package-lock.json")
_HERE = Path(__file__).parent


def installed(source: str, script: str, target: Path, *, client: str) -> Path:
    """A folder with a script of ours and its packages.

    Args:
        source: the folder beside this file that both come from.
        client: whose client it is, for the reason why a test is skipped.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip(f"node or npm is absent: {client}'s JavaScript client is tested with them")
    for name in (*_PACKAGES, script):
        shutil.copy(_HERE / source / name, target)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def said_by(folder: Path, script: str, *arguments: str) -> Any:
    """What a script wrote as JSON."""
    command = ["node", script, *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
