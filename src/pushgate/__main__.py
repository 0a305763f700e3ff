"""`python -m pushgate` is the command `pushgate`."""

from pushgate.cli import main

main()
