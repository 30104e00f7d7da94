"""Fine-tuning: what is checked before it, the formats of its data, training, what it takes."""
