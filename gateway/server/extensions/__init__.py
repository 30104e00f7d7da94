"""What OpenAI's API lacks: tokens, label scores, classification."""
