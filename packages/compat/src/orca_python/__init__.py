"""The import name `orca_python`, served by the orca packages."""
