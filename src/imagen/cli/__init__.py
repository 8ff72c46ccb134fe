"""The command line: parses arguments, prints results, returns exit codes."""
