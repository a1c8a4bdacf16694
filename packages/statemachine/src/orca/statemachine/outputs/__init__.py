"""What a machine can be turned into: drawings, configurations of other engines, documents."""
