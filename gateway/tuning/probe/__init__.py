"""A probe: linear models on a frozen model's hidden states, chosen on training items alone."""
