"""A file that is written into while it is in use is noticed; one that is replaced does no harm."""

import os
from pathlib import Path

import pytest

from gateway.core.errors import BackendError
from gateway.core.mapped import MappedFiles


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 0))
    return path


def test_a_file_that_is_written_into_is_noticed(file: Path) -> None:
    held = MappedFiles([file])
    held.check()
    file.write_bytes(b"two")
    with pytest.raises(BackendError, match=r"m\.gguf was written into"):
        held.check()
    held.close()
    held.check()


def test_one_that_is_replaced_moved_linked_or_removed_is_not(file: Path) -> None:
    held = MappedFiles([file])
    (file.parent / "new").write_bytes(b"two")
    os.link(file, file.parent / "link")
    (file.parent / "new").replace(file)
    (file.parent / "link").unlink()
    held.check()
    held.close()


def test_none_is_left_open(file: Path) -> None:
    before = os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else []
    MappedFiles([file, file]).close()
    after = os.listdir("/proc/self/fd") if before else []
    assert len(after) == len(before)
