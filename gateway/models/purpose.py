"""What the fastest settings are chosen for; loads nothing, so that a command line can name it."""

from typing import Literal

Purpose = Literal["all", "labels"]
"""Reading and generating alike, or scoring labels, which mostly reads."""
