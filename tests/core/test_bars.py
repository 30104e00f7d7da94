"""No progress bar but ours: other libraries draw none, whenever they are loaded."""

import subprocess
import sys

import pytest

CODE = """
{before}
from gateway.core import bars
bars.silence()
from tqdm.auto import tqdm
from transformers.utils import logging
from huggingface_hub.utils import tqdm as of_the_hub
import datasets
{after}
for draw in (*([] if {before!r} else [tqdm]), logging.tqdm, of_the_hub, datasets.utils.tqdm):
    list(draw(range(3)))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("import transformers.utils.logging, huggingface_hub, datasets", "bars.silence()")],
)
def test_no_library_draws_a_bar(before: str, after: str) -> None:
    pytest.importorskip("datasets")
    pytest.importorskip("transformers")
    code = CODE.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
