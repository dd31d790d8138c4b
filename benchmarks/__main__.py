"""All benchmarks, or those named, one after the other; then one table, which is also written to `benchmarks/results/`.

`python -m benchmarks [--quick] [NAME …]`. A quick run writes nothing: its figures mean nothing.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from benchmarks.harness import ROOT

NAMES = (
    "append",
    "command",
    "project",
    "query",
    "dispatch",
    "http",
    "startup",
    "import_events",
    "growth",
    "visible",
    "rebuild",
)
RESULTS = ROOT / "benchmarks" / "results"
HEAD = ("benchmark", "case", "raw", "ours", "figure", "range", "target", "")


class Row(NamedTuple):
    """A line of the table, ready to be shown."""

    benchmark: str
    case: str
    raw: str
    ours: str
    figure: str
    spread: str
    target: str
    verdict: str


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="shows that they run, not how fast")
    given = parser.parse_args()
    lines = [run(name, quick=given.quick) for name in given.names or NAMES]
    rows = [row for line in lines for row in rows_of(line)]
    print("\n" + as_text(rows))
    if not given.quick:
        write(lines, rows)
    return 0


def run(name: str, *, quick: bool) -> dict[str, Any]:
    """A benchmark in a process of its own; what it prints is passed on, its last line is what it found."""
    print(f"bench: {name}", flush=True)
    words = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])]
    last = ""
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for last in process.stdout or ():
            if not last.startswith("{"):
                print(last, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"benchmarks.{name} ended with {process.returncode}")
    found: dict[str, Any] = msgspec.json.decode(last)
    return found


def rows_of(line: dict[str, Any]) -> Iterator[Row]:
    """The cases of a benchmark (ratios), its limits (values), or, of `dispatch`, the microseconds; the first has the target."""
    name = line["benchmark"]
    if "microseconds_over" in line:
        most: float | None = line["target_microseconds"]
        for case, value in line["microseconds_over"].items():
            yield Row(
                name, f"{case}, µs over", "", "", f"{value:.2f}", "", *_judged(most, "≤", most is not None and value <= most)
            )
            most = None
        return
    for case, found in line.get("cases", {}).items():
        raw, ours = (f"{statistics.median(found[side]):,.0f}" for side in ("raw", "ours"))
        spread = f"{found['min']:.2f}–{found['max']:.2f}"
        yield Row(name, case, raw, ours, f"{found['ratio']:.2f}", spread, *_judged(found["target"], "≥", found["met"]))
    for case, found in line.get("limits", {}).items():
        spread = f"{min(found['rounds']):,.3g}–{max(found['rounds']):,.3g}"
        yield Row(name, case, "", "", f"{found['value']:,.3g}", spread, *_judged(found["most"], "≤", found["met"]))


def _judged(target: float | None, sign: str, met: bool | None) -> tuple[str, str]:
    return ("", "") if target is None else (f"{sign} {target:.3g}", "met" if met else "MISSED")


def as_text(rows: list[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in (HEAD, *rows))


def as_markdown(rows: list[Row], machine: str) -> str:
    table = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(["# Results of the last `make bench`", "", machine, "", *(f"| {' | '.join(row)} |" for row in table), ""])


def machine_of(line: dict[str, Any]) -> str:
    """The machine in words; of the first benchmark, all run on the same."""
    of = line["settings"]
    return (
        f"{of['cpus']} cores, {of['machine']}, {of['filesystem']}; Python {of['python']}, SQLite {of['sqlite']}; commit "
        f"{of['commit']}. Raw and ours are operations per second; a figure is the median of the rounds' ratios, or the unit says."
    )


def write(lines: list[dict[str, Any]], rows: list[Row]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(lines)))
    (RESULTS / "latest.md").write_text(as_markdown(rows, machine_of(lines[0])), encoding="utf-8")
    print(f"\nwritten: {RESULTS / 'latest.md'} and latest.json")


if __name__ == "__main__":
    sys.exit(main())
