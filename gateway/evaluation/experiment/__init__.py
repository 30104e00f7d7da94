"""Runs that a file describes: models x strategies x exemplar seeds."""
