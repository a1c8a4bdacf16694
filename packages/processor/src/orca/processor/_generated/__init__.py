"""Protocol code written by generate.py; the public doors to it are orca.processor.wire and wire_query."""
