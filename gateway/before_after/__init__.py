"""What fine-tuning was worth: a tuned model beside the prompts of its base."""
