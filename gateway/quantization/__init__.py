"""Quantization levels: what their names mean, what files really hold, making them, and how far
they are from the reference at the level of text."""
