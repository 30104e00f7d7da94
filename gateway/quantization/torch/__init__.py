"""Levels of a model on torch: folders packed by GPTQ, AWQ or bitsandbytes."""
