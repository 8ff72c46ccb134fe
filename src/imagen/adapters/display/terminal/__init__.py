"""Terminal graphics: capability probe, protocols, viewer."""
