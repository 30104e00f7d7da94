"""An entry of models.toml, and where its files lie."""
