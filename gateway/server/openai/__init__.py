"""OpenAI's wire format, under /v1: pydantic models of what is sent, and the routes."""
