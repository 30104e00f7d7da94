"""A model grades free text on a rubric, and is held against human grades."""
