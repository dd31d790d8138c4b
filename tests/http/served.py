"""The shop as a process of its own: `python -m tests.http.served STORE PORT`."""

import sys

from deedlog.http.serve import serve
from tests.http.shop import open_shop

if __name__ == "__main__":
    serve(open_shop(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
