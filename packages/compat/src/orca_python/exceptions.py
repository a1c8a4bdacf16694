"""The published exceptions; they are `orca.processor`'s own."""

from __future__ import annotations

from orca.processor.errors import (
    BadConfigFile,
    BadEnvVar,
    BaseOrcaException,
    BrokenRemoteAlgorithmStubs,
    InvalidAlgorithmArgument,
    InvalidAlgorithmReturnType,
    InvalidDependency,
    InvalidMetadataFieldArgument,
    InvalidWindowArgument,
    MissingEnvVar,
)

MissingDependency = MissingEnvVar
"""The name in releases before 0.8."""

__all__ = [
    "BadConfigFile",
    "BadEnvVar",
    "BaseOrcaException",
    "BrokenRemoteAlgorithmStubs",
    "InvalidAlgorithmArgument",
    "InvalidAlgorithmReturnType",
    "InvalidDependency",
    "InvalidMetadataFieldArgument",
    "InvalidWindowArgument",
    "MissingDependency",
    "MissingEnvVar",
]
