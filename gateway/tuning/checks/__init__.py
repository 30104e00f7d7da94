"""What is checked of labelled data before anything trains on it: see `check.check`."""
