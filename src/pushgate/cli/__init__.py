"""The command `pushgate`: data to standard output, words to standard error; exits 0, 1 (failed) or 2 (usage).

Each command imports what it needs when it runs, so that the command starts in a tenth of a second.
"""

from pushgate.cli.commands import app, main

__all__ = ["app", "main"]
