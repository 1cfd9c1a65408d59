"""Checks of the tree that are no tests of behaviour: ruff, mypy, and the pages of the docs site as far as they can be judged without Quarto.

python -m tools.check
"""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHECKS = {
    "ruff": [sys.executable, "-m", "ruff", "check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
    "docs": [sys.executable, "-m", "tools.docs", "check"],
}


def main() -> int:
    "Run every check; the number of those that failed"
    failed = []
    for name, command in CHECKS.items():
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        print(f"{name:5} {'ok' if not done.returncode else 'FAILED'}")
        if done.returncode:
            failed.append(name)
            print(done.stdout + done.stderr)
    return len(failed)


if __name__ == "__main__": sys.exit(main())
