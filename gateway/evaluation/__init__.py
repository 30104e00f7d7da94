"""Asking a grid of models and prompts, and what follows from the answers."""
