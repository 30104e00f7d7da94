"""Ollama's wire format, under /api: pydantic models of what is sent, and the routes."""
