"""Models of Hugging Face's transformers, in this process, on torch."""
