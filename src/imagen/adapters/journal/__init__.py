"""What is known of every call that is not over."""
