"""Cells of the grid against each other on a person's own labels: is the difference real, what is
lost, what is gained."""
