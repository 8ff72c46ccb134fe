"""What can be set, and where each setting is looked for."""
