"""One builder of a page for each command that a person reads."""
