"""Numbers from predictions, without a model."""
