"""Other people's clients, unmodified, against a server on real weights."""
