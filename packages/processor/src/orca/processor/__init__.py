"""Write algorithms, run them on time windows, as a gRPC worker of Orca.

Names are imported at their first use: gRPC is loaded only when a server or a client is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orca.processor.client import AsyncOrcaClient as AsyncOrcaClient
    from orca.processor.client import EmitWindow as EmitWindow
    from orca.processor.client import OrcaClient as OrcaClient
    from orca.processor.definition import Dep as Dep
    from orca.processor.definition import RemoteAlgorithm as RemoteAlgorithm
    from orca.processor.definition import look_back as look_back
    from orca.processor.definition import lookback as lookback
    from orca.processor.errors import BadConfigFile as BadConfigFile
    from orca.processor.errors import BadEnvVar as BadEnvVar
    from orca.processor.errors import BaseOrcaException as BaseOrcaException
    from orca.processor.errors import BrokenRemoteAlgorithmStubs as BrokenRemoteAlgorithmStubs
    from orca.processor.errors import ConversionError as ConversionError
    from orca.processor.errors import CoreError as CoreError
    from orca.processor.errors import CoreTimeout as CoreTimeout
    from orca.processor.errors import CoreUnreachable as CoreUnreachable
    from orca.processor.errors import ExecutionError as ExecutionError
    from orca.processor.errors import InvalidAlgorithmArgument as InvalidAlgorithmArgument
    from orca.processor.errors import InvalidAlgorithmReturnType as InvalidAlgorithmReturnType
    from orca.processor.errors import InvalidDefinitions as InvalidDefinitions
    from orca.processor.errors import InvalidDependency as InvalidDependency
    from orca.processor.errors import InvalidMetadataFieldArgument as InvalidMetadataFieldArgument
    from orca.processor.errors import InvalidWindowArgument as InvalidWindowArgument
    from orca.processor.errors import MissingEnvVar as MissingEnvVar
    from orca.processor.model import ArrayResult as ArrayResult
    from orca.processor.model import MetadataField as MetadataField
    from orca.processor.model import NoneResult as NoneResult
    from orca.processor.model import StructResult as StructResult
    from orca.processor.model import ValueResult as ValueResult
    from orca.processor.model import Window as Window
    from orca.processor.model import WindowType as WindowType
    from orca.processor.params import Dependencies as Dependencies
    from orca.processor.params import DependencyAlgorithm as DependencyAlgorithm
    from orca.processor.params import DependencyResult as DependencyResult
    from orca.processor.params import DependencyResultRow as DependencyResultRow
    from orca.processor.params import ExecutionParams as ExecutionParams
    from orca.processor.processor import Processor as Processor
    from orca.processor.records import Emitted as Emitted
    from orca.processor.records import Results as Results
    from orca.processor.records import Run as Run
    from orca.processor.schedule import Tick as Tick
    from orca.processor.stubs import RemoteStub as RemoteStub

__all__ = [
    "ArrayResult",
    "AsyncOrcaClient",
    "BadConfigFile",
    "BadEnvVar",
    "BaseOrcaException",
    "BrokenRemoteAlgorithmStubs",
    "ConversionError",
    "CoreError",
    "CoreTimeout",
    "CoreUnreachable",
    "Dep",
    "Dependencies",
    "DependencyAlgorithm",
    "DependencyResult",
    "DependencyResultRow",
    "EmitWindow",
    "Emitted",
    "ExecutionError",
    "ExecutionParams",
    "InvalidAlgorithmArgument",
    "InvalidAlgorithmReturnType",
    "InvalidDefinitions",
    "InvalidDependency",
    "InvalidMetadataFieldArgument",
    "InvalidWindowArgument",
    "MetadataField",
    "MissingEnvVar",
    "NoneResult",
    "OrcaClient",
    "Processor",
    "RemoteAlgorithm",
    "RemoteStub",
    "Results",
    "Run",
    "StructResult",
    "Tick",
    "ValueResult",
    "Window",
    "WindowType",
    "__version__",
    "look_back",
    "lookback",
]

__version__ = "0.1.0"

_HOMES = {
    "ArrayResult": "orca.processor.model",
    "AsyncOrcaClient": "orca.processor.client",
    "BadConfigFile": "orca.processor.errors",
    "BadEnvVar": "orca.processor.errors",
    "BaseOrcaException": "orca.processor.errors",
    "BrokenRemoteAlgorithmStubs": "orca.processor.errors",
    "ConversionError": "orca.processor.errors",
    "CoreError": "orca.processor.errors",
    "CoreTimeout": "orca.processor.errors",
    "CoreUnreachable": "orca.processor.errors",
    "Dep": "orca.processor.definition",
    "Dependencies": "orca.processor.params",
    "DependencyAlgorithm": "orca.processor.params",
    "DependencyResult": "orca.processor.params",
    "DependencyResultRow": "orca.processor.params",
    "EmitWindow": "orca.processor.client",
    "Emitted": "orca.processor.records",
    "ExecutionError": "orca.processor.errors",
    "ExecutionParams": "orca.processor.params",
    "InvalidAlgorithmArgument": "orca.processor.errors",
    "InvalidAlgorithmReturnType": "orca.processor.errors",
    "InvalidDefinitions": "orca.processor.errors",
    "InvalidDependency": "orca.processor.errors",
    "InvalidMetadataFieldArgument": "orca.processor.errors",
    "InvalidWindowArgument": "orca.processor.errors",
    "MetadataField": "orca.processor.model",
    "MissingEnvVar": "orca.processor.errors",
    "NoneResult": "orca.processor.model",
    "OrcaClient": "orca.processor.client",
    "Processor": "orca.processor.processor",
    "RemoteAlgorithm": "orca.processor.definition",
    "RemoteStub": "orca.processor.stubs",
    "Results": "orca.processor.records",
    "Run": "orca.processor.records",
    "StructResult": "orca.processor.model",
    "Tick": "orca.processor.schedule",
    "ValueResult": "orca.processor.model",
    "Window": "orca.processor.model",
    "WindowType": "orca.processor.model",
    "look_back": "orca.processor.definition",
    "lookback": "orca.processor.definition",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'orca.processor' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
