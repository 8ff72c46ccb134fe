"""What the Makefile and the tests call."""
