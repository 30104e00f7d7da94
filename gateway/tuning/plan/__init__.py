"""Before training: whether to, with what, and what it takes. No weights and no torch are needed."""
