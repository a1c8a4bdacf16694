"""The import name `orchestra_sdk`, served by the orca packages."""
