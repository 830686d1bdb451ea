"""`python -m duologue.cli`: the command line."""

from __future__ import annotations

from duologue.cli import main

if __name__ == "__main__":
    main()
