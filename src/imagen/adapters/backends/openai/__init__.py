"""OpenAI, and the services and programs that speak its images API."""
