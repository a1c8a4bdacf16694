"""A statechart language for people and LLMs: parser, verifier, correct and fast async runtime."""

__version__ = "0.1.0"
