"""What runs everybody's requests together in one process, whatever computes the forward passes."""
