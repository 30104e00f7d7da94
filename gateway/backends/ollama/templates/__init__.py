"""The templates of Ollama's models: their families, and Go's language."""
