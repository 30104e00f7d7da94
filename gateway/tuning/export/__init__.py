"""Other files made of an adapter: merged weights, GGUF."""
