"""`make torture`: kills at every fault point and at random, two files at a time, and a report.

python -m tests.torture --kills 2000 --seed 1 [--minutes 30]
python -m tests.torture --seed 1 --life 17      one file again, by the numbers of a report
"""

import argparse
import random
import sys

from tests.torture.life import ROOT
from tests.torture.lives import KILLS_A_FILE, REPORTS, lives, planned
from tests.torture.report import Report


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.torture")
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--life", type=int, help="only the file of this number")
    wanted = parser.parse_args()
    kills = KILLS_A_FILE if wanted.life is not None else wanted.kills
    report = Report(wanted.seed)
    for record in lives(planned(wanted.seed, kills, wanted.life or 1), wanted.minutes):
        report.add(record)
        print(report.progress(kills), flush=True)
    REPORTS.mkdir(exist_ok=True)
    file = REPORTS / f"report-{wanted.seed}.txt"
    file.write_text(report.text(), "utf-8")
    print(f"\n{report.text()}\nwritten to {file.relative_to(ROOT)}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
