"""The command line: one module a group of commands; data to stdout, everything else to stderr."""
