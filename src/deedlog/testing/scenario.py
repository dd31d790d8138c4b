"""The door to given/when/then.

shop = Scenario(app)
shop.given(ProductCreated("p1", 5)).when(Reprice("p1", 7)).then(Repriced("p1", 7)).then_state(price=7)
shop.when(Reprice("p1", 7)).then_refused("no such product")
shop.fold(ProductCreated("p1", 5), Repriced("p1", 7)).then_row(ProductView, "p1", price=7)
"""

from typing import Any

from deedlog.module import Module
from deedlog.testing.decisions import Decision, History
from deedlog.testing.rows import Rows
from deedlog.testing.wiring import Wiring


class Scenario:
    """Tests of a module's (or an app's) aggregates and read models, on the very wiring that production uses.

    Every message goes through JSON on its way, as it does in production. Nothing is shared between two tests of a scenario,
    so one per test file is enough. Raises InvalidDeclaration.
    """

    def __init__(self, module: Module) -> None:
        self._wiring = Wiring(module)

    def given(self, *events: Any) -> History:
        """What has happened to the one aggregate that the next command concerns."""
        return History(self._wiring, events)

    def when(self, command: Any) -> Decision:
        """Decides a command for an aggregate to which nothing has happened."""
        __tracebackhide__ = True
        return self.given().when(command)

    def given_rows(self, *rows: Any) -> Rows:
        """Rows that are there, of any read models."""
        tables: dict[type[Any], dict[Any, Any]] = {}
        for row in rows:
            _, model = self._wiring.model_of(type(row))
            tables.setdefault(model.cls, {})[model.key_of(row)] = row
        return Rows(self._wiring, tables)

    def fold(self, *events: Any) -> Rows:
        """The rows that these events make, starting with none."""
        return self.given_rows().fold(*events)
