"""The command line of the mutation run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from duologue_lab.mutants.run import CannotTry, run
from duologue_lab.mutants.table import MUTANTS


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m duologue_lab.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="only faults with these words in their name or file")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/torture.md")
    return parser


def main() -> int:
    """Run from the command line."""
    wanted = make_parser().parse_args()
    root = Path.cwd()
    mutants = [each for each in MUTANTS if wanted.only in f"{each.name} {each.file}"]
    if not (root / "tests").is_dir() or not mutants:
        return _told("run it in the repository's folder, with a word that some fault has")
    lives = 0
    if wanted.markdown:
        _say("| fault | in | caught by |\n|---|---|---|")
    try:
        for mutant, catcher, seconds in run(root, mutants):
            lives += not catcher
            if wanted.markdown:
                told = f"`{catcher.rpartition('/')[2]}`" if catcher else "**it lives**"
                _say(f"| {mutant.name} | `{mutant.file}` | {told} |")
            else:
                _say(f"{mutant.name}: {f'caught by {catcher}' if catcher else 'IT LIVES'} ({seconds:.0f} s)")
    except CannotTry as fault:
        return _told(str(fault))
    if not wanted.markdown:
        _say(f"{len(mutants)} faults, {lives} of them live")
    return 1 if lives else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what it is for


def _told(fault: str) -> int:
    print(fault, file=sys.stderr)  # noqa: T201 - what it is for
    return 2


if __name__ == "__main__":
    sys.exit(main())
