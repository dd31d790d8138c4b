"""A short way for commands: what Starlette does around an endpoint costs half as much as a command itself."""

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

PREFIX = "/commands/"


class Straight(Starlette):
    """Starlette, but `POST /commands/{name}` goes straight to the endpoint of the first route, where nobody put anything between.

    The endpoint answers every error itself, so what is left out has nothing to do. With a middleware, in a mount, or with
    another route before that one, all requests take Starlette's way.
    """

    def __init__(self, commands: Route, routes: list[Route], **settings: Any) -> None:
        super().__init__(routes=[commands, *routes], **settings)
        self._commands = commands

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if not path.startswith(PREFIX) or scope.get("method") != "POST" or not self._is_straight(scope) or "\n" in path:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        scope["endpoint"] = self._commands.endpoint
        scope["path_params"] = {"name": path[len(PREFIX) :]}
        await self._commands.endpoint(scope, receive, send)

    def _is_straight(self, scope: Scope) -> bool:
        return not self.user_middleware and not scope.get("root_path") and self.router.routes[0] is self._commands
