"""No command works for minutes and then cannot write: every output is tried first."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.app import app
from gateway.cli.outputs import check_file, check_folder
from gateway.core.errors import ConfigError
from gateway.evaluation.predictions import PREDICTIONS
from gateway.report.pages import ab, experiment
from gateway.report.pages import run as one
from gateway.server import keys
from gateway.tuning.split_files import files_of
from tests.cli.conftest import Gateway

PROC = Path("/proc")
"""Where not even root makes a file."""

FOLDERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("run", "--out"): ("-t", "mine", "--data", "absent.csv"),
    ("report", "--out"): ("run",),
    ("ab", "--out"): ("a", "b", "-t", "mine", "--data", "absent.csv"),
    ("judge", "--out"): ("absent", "-r", "format", "--data", "absent.csv"),
    ("adapters", "compare", "--out"): ("absent", "--base", "absent", "--data", "absent.csv"),
    ("adapters", "merge", "--out"): ("absent", "--base", "absent"),
    ("data", "split", "--out"): ("-t", "absent", "--data", "absent.csv"),
    ("quantize", "--out"): ("absent",),
    ("tune", "--adapters"): ("-n", "new", "-t", "absent", "--train", "absent.csv"),
}
"""Command and its option -> arguments, none of which is right: the output is looked at before."""

FILES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("run", "--store"): ("-t", "mine", "--data", "absent.csv"),
    ("ab", "--store"): ("a", "b", "-t", "mine", "--data", "absent.csv"),
    ("judge", "--store"): ("absent", "-r", "format", "--data", "absent.csv"),
    ("adapters", "compare", "--store"): ("absent", "--base", "absent", "--data", "absent.csv"),
    ("adapters", "export", "--out"): ("absent", "--base", "absent"),
    ("classify", "--output"): ("--file", "absent.csv"),
    ("classify", "--store"): ("--file", "absent.csv"),
    ("data", "export", "--out"): ("-t", "absent", "--data", "absent.csv"),
    ("data", "import", "--out"): ("absent.jsonl", "-t", "absent"),
    ("models", "modelfile", "--output"): ("absent",),
    ("quantize", "--models-file"): ("absent",),
    ("serve", "--record"): ("-m", "absent"),
    ("keys", "create", "--keys"): ("me",),
}

OUTPUTS = {"--out", "--output", "--record", "--store"}
READ_FROM = {("report", "--store")}
"""Options of the same names that say where something is read."""


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command with every option that names what is written."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, (*path, name))
    for parameter in command.params:
        for option in OUTPUTS.intersection(parameter.opts):
            yield (*path, option)


def test_every_command_that_writes_stands_here() -> None:
    found = set(options(typer.main.get_command(app)))
    assert found <= {*FOLDERS, *FILES, *READ_FROM}
    assert len(found) > 15


def refused(gateway: Gateway, command: tuple[str, ...], more: tuple[str, ...], path: Path) -> str:
    *words, option = command
    done = gateway(*words, *more, option, path)
    assert (done.code, done.out) == (2, ""), done.err
    assert f"try: give {option} " in done.err
    return done.err


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("command", FOLDERS, ids=" ".join)
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(
    gateway: Gateway, fake: Path, command: tuple[str, ...]
) -> None:
    below = fake / "test.csv" / "out"
    assert f"{below}: a file is in the way" in refused(gateway, command, FOLDERS[command], below)
    if PROC.is_dir():
        nowhere = PROC / "gateway-out"
        said = refused(gateway, command, FOLDERS[command], nowhere)
        assert f"{nowhere}: cannot be written" in said
    long = fake / ("x" * 300)
    assert "cannot be written: File name too long" in refused(
        gateway, command, FOLDERS[command], long
    )


@pytest.mark.needs("llama_cpp")
@pytest.mark.parametrize("command", FILES, ids=" ".join)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(
    gateway: Gateway, fake: Path, command: tuple[str, ...]
) -> None:
    below = fake / "test.csv" / "out.file"
    assert "a file is in the way" in refused(gateway, command, FILES[command], below)
    assert "a folder is in the way" in refused(gateway, command, FILES[command], fake / "prompts")
    if PROC.is_dir():
        said = refused(gateway, command, FILES[command], PROC / "gateway-out.file")
        assert "cannot be written" in said


def test_what_is_written_by_default_is_tried_too(
    gateway: Gateway, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(fake / "test.csv" / "data"))
    for command in (("certify", "fake"), ("run", "-t", "mine", "--data", "absent.csv")):
        done = gateway(*command)
        assert done.code == 2
        assert "a file is in the way of the output folder" in done.err


def test_a_folder_where_a_file_will_be_is_refused(gateway: Gateway, fake: Path) -> None:
    for command, name in (
        (("run", "-t", "mine", "--data", "absent.csv"), "report.html"),
        (("run", "-t", "mine", "--data", "absent.csv"), "predictions.jsonl"),
        (("ab", "a", "b", "-t", "mine", "--data", "absent.csv"), "ab.json"),
        (("judge", "a", "-r", "format", "--data", "absent.csv"), "judge.json"),
        (("data", "split", "-t", "mine", "--data", "absent.csv"), "validation.csv"),
    ):
        taken = fake / name / name
        taken.mkdir(parents=True)
        done = gateway(*command, "--out", taken.parent)
        assert done.code == 2
        assert f"{taken}: a folder is in the way of the file" in done.err


def test_an_experiment_s_folders_are_tried(gateway: Gateway, fake: Path) -> None:
    (fake / "e.toml").write_text(
        'task = "mine"\ndata = "absent.csv"\nmodels = ["fake"]\nstrategies = ["scored"]\n'
        'exemplar_seeds = [0, 1]\nout = "made"\n'
    )
    (fake / "made").mkdir()
    (fake / "made" / "seed-1").write_text("in the way")
    done = gateway("run", "e.toml")
    assert done.code == 2
    assert "seed-1: a file is in the way of the output folder" in done.err


def test_what_was_tried_is_what_is_written(gateway: Gateway, fake: Path) -> None:
    (fake / "e.toml").write_text(
        'task = "mine"\ndata = "test.csv"\ntrain = "train.csv"\nmodels = ["fake"]\n'
        'strategies = ["shown"]\nexemplar_seeds = [0, 1]\nout = "experiment"\n'
    )
    data = ("-t", "mine", "--data", "test.csv", "--store", "s.sqlite")
    run = {*one.FILES, PREDICTIONS}
    for command, folder, names in (
        (("run", *data, "-s", "scored", "--out", "run"), "run", run),
        (("run", "e.toml", "--store", "s.sqlite"), "experiment/seed-1", run),
        (("run", "e.toml"), "experiment", {*experiment.FILES, "seed-0", "seed-1"}),
        # A fake model has no size, so that no frontier is drawn.
        (
            ("ab", "fake/scored/sum", "fake/scored/mean", *data, "--out", "ab"),
            "ab",
            {*ab.FILES} - {"frontier.svg"},
        ),
        (("data", "split", *data[:4], "--out", "split"), "split", {*files_of("test.csv")}),
    ):
        gateway(*command)
        assert {file.name for file in Path(folder).iterdir()} == names


def test_a_text_has_no_output_file(gateway: Gateway, fake: Path) -> None:
    done = gateway("classify", "-t", "mine", "amber", "--output", "labelled.csv")
    assert (done.code, "--output is where a labelled CSV goes" in done.err) == (2, True)


def test_a_disk_that_is_full_by_then_is_one_message(
    gateway: Gateway, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(keys, "write_atomically", full)
    done = gateway("keys", "create", "me", "--keys", "keys.json")
    assert (done.code, done.err.splitlines()[-1]) == (
        1,
        "error: keys.json: No space left on device",
    )


def test_nothing_is_left_of_a_try(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "deep")
    check_file(tmp_path / "new" / "deep" / "file.txt")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file.txt").write_text("kept")
    check_folder(tmp_path / "kept", files=("file.txt", "other.txt"))
    check_file(tmp_path / "kept" / "file.txt")
    assert [file.read_text() for file in (tmp_path / "kept").iterdir()] == ["kept"]


def test_relative_paths_and_none_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_folder(Path("out"))
    check_file(Path("out.csv"))
    check_folder(None)
    check_file(None)
    assert list(tmp_path.iterdir()) == []


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent" / "deep")
    with pytest.raises(ConfigError, match="in the way"):
        check_folder(tmp_path / "nowhere")
    for device in ("/dev/null", "/dev/stdout", "/dev/new"):
        with pytest.raises(ConfigError, match="is no regular file"):
            check_file(Path(device))
    with pytest.raises(ConfigError, match="cannot be written"):
        check_file(tmp_path / "with\0null")


def test_a_name_that_leaves_no_room_for_the_half_written_file_is_refused(tmp_path: Path) -> None:
    """255 bytes is the most of most file systems; while it is written the name is longer."""
    with pytest.raises(ConfigError, match="too long"):
        check_file(tmp_path / ("x" * 250))
