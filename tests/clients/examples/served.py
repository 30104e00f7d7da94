"""What is served to the examples: where, and under which name."""

import os

BASE = os.environ.get("CLIENTS_URL", "")
"""The server's address; Ollama's and Anthropic's clients take it as it is."""
OPENAI = f"{BASE}/v1"
KEY = "none"
MODEL = "served"
