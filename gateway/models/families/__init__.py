"""What families of models have ways of their own for: thoughts, and calls of tools."""
