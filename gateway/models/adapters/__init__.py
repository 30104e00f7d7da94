"""PEFT adapters: found by name, described by a card, checked against a base, merged, exported.

One folder holds one adapter: PEFT's own two files, a `card.toml` that says how it was made, and,
where it was exported for llama.cpp, an `adapter.gguf`.
"""
