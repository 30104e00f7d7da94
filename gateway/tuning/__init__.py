"""Fine-tuning: what is checked before it, training, and what it would take."""
