"""`import deedlog` loads no driver, no HTTP toolkit and no command line: what is not used is not paid for."""

import json
import subprocess
import sys

HEAVY = frozenset({"sqlalchemy", "starlette", "uvicorn", "click", "rich"})
PROGRAM = "import json, sys; import deedlog; print(json.dumps(sorted(sys.modules)))"


def test_importing_the_package_loads_no_heavy_library() -> None:
    run = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=50)
    assert run.returncode == 0, run.stderr
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert "deedlog" in loaded
    assert not loaded & HEAVY
