"""llama.cpp as more than one backend needs it: the library, vocabularies, reading requests."""
