"""Write algorithms, run them on time windows, as a gRPC worker of Orca."""

__version__ = "0.1.0"
