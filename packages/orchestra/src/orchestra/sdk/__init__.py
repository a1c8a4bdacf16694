"""Report a task to the Orchestra platform, and never lose its final status."""

__version__ = "0.1.0"
