"""Fine-tuning: what is checked before it, and the formats that its data comes in."""
