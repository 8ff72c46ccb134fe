"""Pictures in a terminal: what it can do, how they are drawn, and a key to go on."""
