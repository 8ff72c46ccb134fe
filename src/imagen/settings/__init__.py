"""The config file and the environment variables."""
