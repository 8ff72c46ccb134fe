"""Models that describe their inputs by a JSON schema, and jobs in their inputs."""
