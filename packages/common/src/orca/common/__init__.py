"""What every orca package shares: settings, logging, retry, errors, clock, doctor and the orca command."""

__version__ = "0.1.0"
