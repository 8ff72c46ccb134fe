"""Where it is remembered which request was asked under which key."""
