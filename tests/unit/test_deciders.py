"""Deciders: an aggregate as plain functions, on the runtime of aggregates."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from deedlog import App, Command, Event, InvalidDeclaration, Misuse, Module, Refused
from deedlog.domain.signature import classes_in
from deedlog.testing import Scenario


class Open(Command):
    door: str


class Close(Command):
    door: str


class Opened(Event):
    door: str


class Closed(Event):
    door: str


class Door(msgspec.Struct, frozen=True):
    open: bool = False
    times: int = 0


def decide(command: Open | Close, state: Door) -> Opened | list[Closed] | None:
    if isinstance(command, Close):
        return [Closed(command.door)] if state.open else None
    if state.open:
        raise Refused("it is open")
    return Opened(command.door)


def evolve(state: Door, event: Opened | Closed) -> Door:
    if isinstance(event, Opened):
        return Door(True, state.times + 1)
    return msgspec.structs.replace(state, open=False)


def opening(command: Open, state: Door) -> Opened:
    return Opened(command.door)


def closing(command: Close, state: Door) -> Closed:
    return Closed(command.door)


def opened(state: Door, event: Opened) -> Door:
    return Door(True, state.times + 1)


def closed(state: Door, event: Closed) -> Door:
    return Door(False, state.times)


def doors(module: Module) -> None:
    module.decider("door", key="door", initial=Door, decide=decide, evolve=evolve)


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    app = App("doors", store="memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'doors.db'}")
    doors(app)
    return app


async def test_a_decider_decides_on_the_state_that_its_events_leave(app: App) -> None:
    async with app:
        receipt = await app.execute(Open("d"))
        assert (receipt.stream, receipt.version, receipt.events) == ("door-d", 1, (Opened("d"),))
        with pytest.raises(Refused):
            await app.execute(Open("d"))
        assert (await app.execute(Close("d"))).version == 2
        assert (await app.execute(Close("d"))).events == ()


async def test_a_decider_is_loaded_from_the_log(tmp_path: Path) -> None:
    def service() -> App:
        app = App("doors", store=f"sqlite:///{tmp_path / 'doors.db'}")
        doors(app)
        return app

    async with service() as first:
        await first.execute(Open("d"))
    async with service() as second:
        with pytest.raises(Refused):
            await second.execute(Open("d"))


async def test_concurrent_commands_on_a_decider_lose_nothing(app: App) -> None:
    async with app:
        results = await asyncio.gather(*(app.execute(Open("d")) for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(result, Refused) for result in results) == 19
        assert await app.running.store.head() == 1


async def test_functions_may_be_given_one_by_one(app: App) -> None:
    app.decider("gate", key="door", initial=Door, decide=[passing], evolve=[opened, closed])
    async with app:
        assert (await app.execute(Pass("d"))).events == (Opened("d"), Closed("d"))


class Pass(Command):
    door: str


def passing(command: Pass, state: Door) -> list[Opened | Closed]:
    return [Opened(command.door), Closed(command.door)]


def test_a_scenario_tests_a_decider() -> None:
    module = Module()
    doors(module)
    scenario = Scenario(module)
    scenario.given(Opened("d")).when(Open("d")).then_refused("it is open")
    scenario.when(Open("d")).then(Opened("d")).then_state(open=True, times=1).when(Close("d")).then(Closed("d"))


def test_a_scenario_sees_a_decider_that_changes_its_state() -> None:
    def push(command: Open, state: list[str]) -> None:
        state.append(command.door)

    module = Module()
    module.decider("door", key="door", initial=list[str], decide=push, evolve=[])
    with pytest.raises(AssertionError, match="changed the state"):
        Scenario(module).when(Open("d"))


async def test_an_evolve_that_returns_nothing_is_misuse() -> None:
    def forgets(state: Door, event: Opened) -> Any:
        pass

    app = App("doors", store="memory://")
    app.decider("door", key="door", initial=Door, decide=opening, evolve=forgets)
    async with app:
        with pytest.raises(Misuse, match="forgets returned None for Opened"):
            await app.execute(Open("d"))
        assert await app.running.store.head() == 0


def unannotated(command, state):  # type: ignore[no-untyped-def]
    pass


async def waiting(command: Open, state: Door) -> Opened:
    return Opened(command.door)


def alone(command: Open) -> Opened:
    return Opened(command.door)


def of_nothing(command: Any, state: Door) -> Opened:
    return Opened("")


class Stroll(Command):
    where: str


def keyless(command: Stroll, state: Door) -> None: ...


def mutating(state: Door, event: Opened) -> None: ...


async def later(state: Door, event: Opened) -> Door:
    return state


async def unmade() -> Door:
    return Door()


Functions = Callable[..., Any] | Sequence[Callable[..., Any]]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"decide": unannotated}, "'command' has no annotation"),
        ({"decide": waiting}, "waiting is async"),
        ({"decide": alone}, r"alone takes command \(it is called with \(command, state\)\)"),
        ({"decide": of_nothing}, "of_nothing is annotated with no message class"),
        ({"decide": keyless}, "Stroll has no field 'door', the key of door"),
        ({"decide": [opening, decide]}, "Open is already handled at .*test_deciders.py:"),
        ({"decide": [closing], "evolve": [opened]}, "door emits Closed, but no evolve function takes it"),
        ({"evolve": [opened, evolve]}, "Opened is already handled at .*test_deciders.py:"),
        ({"evolve": mutating}, "mutating returns None"),
        ({"evolve": later}, "later is async"),
        ({"initial": unmade}, "initial of decider door is async"),
        ({"initial": lambda key: Door()}, "decider door: .*missing 1 required positional argument"),
        ({"name": "front-door"}, "'front-door' can't be a category"),
        ({"name": ""}, "'' can't be a category"),
    ],
)
def test_a_decider_that_can_not_work_is_refused_with_its_place(wrong: dict[str, Any], said: str) -> None:
    app = App("doors", store="memory://")
    given: dict[str, Any] = {"name": "door", "key": "door", "initial": Door, "decide": [opening], "evolve": [opened, closed]}
    app.decider(**(given | wrong))
    with pytest.raises(InvalidDeclaration, match=said) as caught:
        app.build()
    assert "test_deciders.py:" in caught.value.place


def test_a_decider_without_functions_is_refused() -> None:
    app = App("doors", store="memory://")
    app.decider("door", key="door", initial=Door, decide=[], evolve=[])
    with pytest.raises(InvalidDeclaration, match=r"test_deciders\.py:.*decides no command"):
        app.build()


def test_a_decider_and_an_aggregate_may_not_share_commands_or_category() -> None:
    app = App("doors", store="memory://")
    app.decider("door", key="door", initial=Door, decide=[opening], evolve=[opened])
    app.decider("gate", key="door", initial=Door, decide=[opening], evolve=[opened])
    with pytest.raises(InvalidDeclaration, match="Open is already answered at"):
        app.build()
    other = App("doors", store="memory://")
    other.decider("door", key="door", initial=Door, decide=[opening], evolve=[opened])
    other.decider("door", key="door", initial=Door, decide=[closing], evolve=[closed])
    with pytest.raises(InvalidDeclaration, match="'door' is the category of two aggregates"):
        other.build()


def test_a_named_union_of_messages_stands_for_its_members() -> None:
    """`type Banking = Open | Close`, which Python has from 3.12 on: an object with the union as its `__value__`."""
    assert list(classes_in(SimpleNamespace(__value__=Open | Close))) == [Open, Close]
