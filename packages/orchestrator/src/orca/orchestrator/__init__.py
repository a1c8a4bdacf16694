"""Orca Core in Python: durable, embedded, and ready to grow."""

__version__ = "0.1.0"
