"""Keeps the figures of benchmarks in a file, from which the docs page Benchmarks (nbs/benchmarks.ipynb) is made: --json nbs/benchmarks.json

The file is a list with one entry a benchmark: {"benchmark", "date", "command", "machine", "figures"}; figures are tables, title -> rows, and a row is
{column: value}. Running a benchmark again replaces its entry; with --json another file, nothing of the page is touched.
"""
import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path

Tables = dict[str, list[dict]]


def json_option(parser: argparse.ArgumentParser) -> None:
    "Give a benchmark the option --json"
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures in this file too, in place of those of an earlier run")


def record(path: Path | None, benchmark: str, figures: Tables) -> None:
    "Put the figures of a benchmark into the file, in place of those it has; nothing without a file"
    if not path: return
    args = sys.argv[1:]
    at = args.index("--json")
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *(Path(a).name for a in args[:at] + args[at + 2:])])
    entry = {"benchmark": benchmark, "date": datetime.date.today().isoformat(), "command": command,
             "machine": {"cores": os.cpu_count(), "python": ".".join(platform.python_version_tuple()[:2]), "load": round(os.getloadavg()[1], 1)}, "figures": figures}
    others = [e for e in json.loads(path.read_text(encoding="utf-8")) if e["benchmark"] != benchmark] if path.exists() else []
    path.write_text(json.dumps(sorted([*others, entry], key=lambda e: e["benchmark"]), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
