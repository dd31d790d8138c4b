"""What came of all files together, for people."""

import time
from collections import Counter

from deedlog import faults
from tests.torture.life import RANDOM, Record


class Report:
    """All records together."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.started = time.monotonic()
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)

    @property
    def kills(self) -> Counter[str]:
        return sum((record.kills for record in self.records), Counter())

    @property
    def wrong(self) -> list[tuple[Record, str]]:
        return [(record, what) for record in self.records for what in record.wrong]

    def progress(self, kills: int) -> str:
        seconds = time.monotonic() - self.started
        done = self.kills.total()
        return f"torture: {done} of {kills} kills, {done / seconds:.1f} a second, {len(self.wrong)} wrong"

    def text(self) -> str:
        kills = self.kills
        times = sorted(seconds for record in self.records for seconds in record.recoveries)
        lines = [
            f"seed {self.seed}: {kills.total()} kills on {len(self.records)} files in {time.monotonic() - self.started:.0f} s",
            f"events {self._sum('events')}, commands acknowledged {self._sum('acknowledged')}, checks {self._sum('checks')}",
        ]
        if times:
            lines.append(f"recoveries {len(times)}: p50 {times[len(times) // 2]:.3f} s, longest {times[-1]:.3f} s")
        lines += ["", "kills", *(f"  {point:16} {kills[point]:6}" for point in [RANDOM, *faults.POINTS])]
        if missed := sum((record.missed for record in self.records), Counter()):
            lines.append(f"  not reached in time, killed at random instead: {dict(sorted(missed.items()))}")
        lines += ["", f"wrong: {len(self.wrong)}"]
        lines += [f"  {record.seed}: {what}\n    {self._repeat(record)}" for record, what in self.wrong]
        return "\n".join(lines) + "\n"

    def _sum(self, what: str) -> str:
        return f"{sum(getattr(record, what) for record in self.records):,}"

    def _repeat(self, record: Record) -> str:
        _, _, life = record.seed.partition("-")
        return f"file kept in torture/{record.seed}.db; again: python -m tests.torture --seed {self.seed} --life {life}"
