"""An Ollama server behind the protocol: asked over HTTP, and checked in what it answers."""
