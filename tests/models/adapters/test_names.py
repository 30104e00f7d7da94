"""A name leads into the root, or nowhere."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.models.adapters.names import folder_of, listed


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for name in ("tide", "piano-2", ".hidden"):
        (root / name).mkdir()
    (root / "a-file").write_text("")
    (root.parent / "outside").mkdir()
    (root / "link").symlink_to(root.parent / "outside")
    (root / "inner-link").symlink_to(root / "tide")
    return root


def test_folders_are_listed_and_files_are_not(root: Path) -> None:
    assert listed(root) == ("inner-link", "link", "piano-2", "tide")
    assert listed(root / "nothing-here") == ()


def test_a_name_is_its_folder(root: Path) -> None:
    assert folder_of(root, "tide") == root / "tide"
    assert folder_of(root, "inner-link") == root / "inner-link"


def test_an_unknown_name_says_which_there_are(root: Path) -> None:
    with pytest.raises(ConfigError, match="no adapter is called 'tides'") as caught:
        folder_of(root, "tides")
    assert "piano-2, tide" in caught.value.hint


def test_a_link_out_of_the_root_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="leads out of"):
        folder_of(root, "link")


@given(name=st.text(st.sampled_from("./\\~ a\0\n-é"), max_size=12) | st.just("../outside"))
def test_no_text_leads_out_of_the_root(root: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        folder_of(root, name)
