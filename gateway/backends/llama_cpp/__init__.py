"""llama.cpp in process: GGUF files on llama-cpp-python's low-level API."""
