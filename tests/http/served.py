"""The shop as a server of its own: `uvicorn tests.http.served:api`, with the store from the environment's DEEDLOG_STORE."""

import os

from deedlog.http import asgi
from tests.http.shop import open_shop

api = asgi(open_shop(os.environ["DEEDLOG_STORE"]))
