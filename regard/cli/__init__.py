"""The command line: one function a command, which one could call from Python."""
