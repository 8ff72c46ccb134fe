"""What is owed to the cloud."""
