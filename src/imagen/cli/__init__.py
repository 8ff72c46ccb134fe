"""The command line: words in, lines and exit codes out."""
