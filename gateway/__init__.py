"""Local-model evaluation and serving gateway.

The same request gives the same bytes, whatever runs beside it, and every number can be replayed.
"""

__version__ = "0.1.0"
