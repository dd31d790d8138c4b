"""The same examples in every run, so that a red build is red again.

`HYPOTHESIS=search`, or `--hypothesis-profile=search` for this folder, looks for new ones; `long` is the torture: an hour or so.
"""

import os

from hypothesis import HealthCheck, settings

COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
settings.register_profile("repeat", COMMON, derandomize=True, database=None, max_examples=60, stateful_step_count=30)
settings.register_profile("search", COMMON, max_examples=2_000)
settings.register_profile("long", COMMON, max_examples=10_000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS", "repeat"))
