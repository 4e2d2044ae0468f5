#!/usr/bin/env python3
"""Writes the tables of comparisons in core/README.md from what the golden tests print.

    python3 tests/core_tables.py           run the tests, write the tables anew
    python3 tests/core_tables.py --check   exit 1 where the README has other rows

A table follows a comment `<!-- rows: TEST [TEST ...] -->`; its rows are those the named tests of
`unclouded-tests` print. `--check` does not compare the measured differences, which may change in
their last digit from one processor to another.
"""

import re
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
README = REPO / "core" / "README.md"
TABLE = re.compile(r"(<!-- rows: ([\w ]+) -->\n)((?:\|.*\n)+)")


def printed(test):
    """The rows of the table that a test prints, header and rule first."""
    command = ["cargo", "test", "--release", "--locked", "-q", "-p", "unclouded-tests"]
    done = subprocess.run(
        [*command, "--test", test, "--", "--nocapture", "--test-threads", "1"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{test} fails:\n{done.stdout}\n{done.stderr}")
    # A test that was done before has left its dot at the beginning of the line.
    lines = (line.lstrip(".") for line in done.stdout.splitlines())
    return [line for line in lines if line.startswith("|")]


def without_differences(rows):
    """The rows without the measured column."""
    return [
        [*cells[:3], *cells[4:]]
        for cells in (row.strip("|").split("|") for row in rows)
    ]


def main():
    text, differing = README.read_text("utf-8"), []

    def table(match):
        rows = []
        for test in match[2].split():
            found = printed(test)
            rows += found if not rows else found[2:]
        if without_differences(rows) != without_differences(match[3].splitlines()):
            differing.append(match[2])
        return match[1] + "\n".join(rows) + "\n"

    written, count = TABLE.subn(table, text)
    if count == 0:
        raise SystemExit(f"{README}: no table with a comment <!-- rows: TEST -->")
    if "--check" in sys.argv[1:]:
        print(
            "\n".join(f"{README}: other rows: {test}" for test in differing)
            or f"{count} tables as printed"
        )
        return 1 if differing else 0
    README.write_text(written, "utf-8")
    print(f"{README}: {count} tables written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
