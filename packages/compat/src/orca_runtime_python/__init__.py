"""The import name `orca_runtime_python`, served by the orca packages."""
