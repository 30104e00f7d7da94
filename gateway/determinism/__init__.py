"""The promise, measured: the same request gives the same bytes."""
