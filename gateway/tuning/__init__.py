"""Fine-tuning: checks of the data, training, and planning beforehand."""
