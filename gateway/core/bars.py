"""The progress bars of other libraries, none of which is shown: ours say what is done and left."""

import logging
import os
import sys

_SAID = ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS")
"""What these libraries read when they are loaded."""
_SWITCHES = {
    "transformers.utils.logging": "disable_progress_bar",
    "huggingface_hub.utils": "disable_progress_bars",
    "datasets.utils": "disable_progress_bars",
}
"""Of a library that is loaded already: the module and its function."""


def silence() -> None:
    """Of libraries that are loaded, and of those that will be."""
    # It advises to install what nothing here needs.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.update(dict.fromkeys(_SAID, "1"))
    for module, switch in _SWITCHES.items():
        if module in sys.modules:
            getattr(sys.modules[module], switch)()
