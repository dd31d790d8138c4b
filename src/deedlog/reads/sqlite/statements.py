"""The SQL of read models on SQLite: fixed statements by name, and those made from a model's shape."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from deedlog.reads.model import Column, RowType
from deedlog.reads.sqlite.columns import DECIMAL_COLLATION, TYPES, dumper
from deedlog.reads.values import Condition, Find, Order

SCHEMA = (
    """
    create table if not exists deedlog_projections (
      name text not null,
      generation integer not null,
      definition text not null,
      shape text not null,
      live integer not null,
      state text not null,
      position integer not null,
      events integer not null,
      digest integer not null,
      parked integer not null,
      revision integer not null,
      building_to integer not null,
      updated_at integer,
      epoch integer not null,
      owner text not null,
      leased_until integer not null,
      paused text not null,
      audited integer not null,
      audited_digest integer not null,
      tables text not null,
      primary key (name, generation)
    ) strict, without rowid
    """,
    """
    create table if not exists deedlog_letters (
      generation integer not null,
      model text not null,
      key text not null,
      position integer not null,
      stream text not null,
      event text not null,
      parked_at integer not null,
      error text,
      attempts integer not null,
      primary key (generation, model, key, position)
    ) strict, without rowid
    """,
    """
    create table if not exists deedlog_skips (
      projection text not null,
      model text not null,
      key text not null,
      position integer not null,
      by text not null,
      why text not null,
      at integer not null,
      primary key (projection, model, key, position)
    ) strict, without rowid
    """,
)

FIELDS = (
    "position, events, digest, parked, revision, updated_at, generation, building_to, definition, shape, live, state, "
    "epoch, owner, leased_until, paused, audited, audited_digest"
)
"""In the order of `Checkpoint`."""

GENERATIONS = f"select {FIELDS} from deedlog_projections where name = ? order by generation"
GENERATIONS_AND_HEAD = f"""
select {FIELDS}, (select seq from sqlite_sequence where name = 'deedlog_events')
from deedlog_projections where name = ? order by generation
"""
HAS_LOG = "select 1 from sqlite_schema where name = 'deedlog_events'"
NEWEST = "select coalesce(max(generation), 0) from deedlog_projections"
TABLES = "select tables from deedlog_projections where name = ? and generation = ?"
ADD = """
insert into deedlog_projections (
  name, generation, definition, shape, live, state, position, events, digest, parked, revision, building_to, updated_at,
  epoch, owner, leased_until, paused, audited, audited_digest, tables
) values (?, ?, ?, ?, 0, ?, 0, 0, 0, 0, ?, ?, null, 0, '', 0, '', 0, 0, ?)
"""
ADVANCE = """
update deedlog_projections set position = ?, events = ?, digest = ?, revision = ?, updated_at = ?
where name = ? and generation = ? and position = ? and epoch = ? and revision = ? and state <> 'retired'
  and (paused = '' or state = 'aside' or position = ?)
"""
COUNT_PARKED = """
update deedlog_projections set parked = (
  select count(*) from (select distinct model, key from deedlog_letters where generation = ?2)
) where name = ?1 and generation = ?2
"""
HIDE = """
update deedlog_projections set live = 0, building_to = iif(position >= building_to, 0, building_to)
where live = 1 and exists (select 1 from json_each(tables) where value in (select value from json_each(?)))
"""
HELD = """
select 1 from deedlog_projections
where live = 1 and exists (select 1 from json_each(tables) where value in (select value from json_each(?)))
"""
SHOW = "update deedlog_projections set live = 1 where name = ? and generation = ?"
BUILT = "update deedlog_projections set building_to = 0 where name = ? and generation = ?"
SET_STATE = "update deedlog_projections set state = ? where name = ? and generation = ?"
RETIRE = "update deedlog_projections set state = 'retired', owner = '', leased_until = 0 where name = ? and generation = ?"
REMOVE = "delete from deedlog_projections where name = ? and generation = ?"
PAUSE = "update deedlog_projections set paused = ? where name = ?"
PAUSE_ONE = "update deedlog_projections set paused = ? where name = ? and generation = ?"
AUDITED = "update deedlog_projections set audited = ?, audited_digest = ? where name = ? and generation = ?"

LEASE = """
update deedlog_projections set epoch = epoch + (owner <> ?1), owner = ?1, leased_until = ?3
where name = ?4 and generation = ?5
  and (owner = '' or owner = ?1 or leased_until <= ?2 or leased_until > ?3)
"""
RENEW = "update deedlog_projections set leased_until = ? where owner = ?"
RELEASE = "update deedlog_projections set owner = '', leased_until = 0 where owner = ?"

ADD_LETTERS = (
    "insert or ignore into deedlog_letters (generation, model, key, position, stream, event, parked_at, error, attempts)"
)
RELEASE_LETTERS = "delete from deedlog_letters where generation = ? and model = ? and key = ?"
DROP_LETTERS = "delete from deedlog_letters where generation = ?"
PARKED = "select distinct model, key from deedlog_letters where generation = ?"
IS_PARKED = "select 1 from deedlog_letters where generation = ? and stream = ? and position <= ? limit 1"
LETTERS = """
select model, key, position, stream, event, parked_at, error, attempts from deedlog_letters
where generation = ?1 and (?2 is null or (model = ?2 and key = ?3)) and (?4 = 0 or error is not null)
order by position, model, key limit ?5
"""
ADD_SKIPS = "insert or ignore into deedlog_skips (projection, model, key, position, by, why, at)"
SKIPS = "select model, key, position, by, why, at from deedlog_skips where projection = ? order by at, position"
SKIPS_CHANGED = "update deedlog_projections set revision = revision + 1 where name = ? and generation <> ?"


def quoted(name: str) -> str:
    return f'"{name}"'


def table_of(table: str, generation: int) -> str:
    """The table of one generation; the plain name is a view of the live one."""
    return f"{table}__g{generation}"


def create(model: RowType, generation: int) -> Iterator[str]:
    """Table, indexes and search index of one generation."""
    table = table_of(model.table, generation)
    columns = [_definition(column, model.key) for column in model.columns.values()]
    columns += ["_position integer not null", "_updated_at integer not null"]
    yield f"create table {quoted(table)} ({', '.join(columns)}) strict"
    for index in model.indexes:
        names = ", ".join(quoted(name) for name in index)
        name = quoted("__".join((table, *index)))
        yield f"create index {name} on {quoted(table)} ({names})"
    if model.search:
        yield from _create_search(model, table)


def _definition(column: Column, key: str) -> str:
    constraint = " primary key" if column.name == key else ""
    return f"{quoted(column.name)} {TYPES[column.kind]}{'' if column.optional else ' not null'}{constraint}"


def _create_search(model: RowType, table: str) -> Iterator[str]:
    """An FTS5 index that triggers keep: each change of a row is searchable in the same commit."""
    search = quoted(f"{table}__search")
    names = ", ".join(quoted(name) for name in model.search)
    old = ", ".join(f"old.{quoted(name)}" for name in model.search)
    new = ", ".join(f"new.{quoted(name)}" for name in model.search)
    add = f"insert into {search} (rowid, {names}) values (new.rowid, {new});"
    drop = f"insert into {search} ({search}, rowid, {names}) values ('delete', old.rowid, {old});"
    yield (
        f"create virtual table {search} using fts5 ({names}, content={quoted(table)}, content_rowid='rowid', "
        "tokenize='unicode61 remove_diacritics 2', prefix='2 3')"
    )
    for event, body in (("insert", add), ("delete", drop), ("update", drop + add)):
        trigger = quoted(f"{table}__search_{event}")
        yield f"create trigger {trigger} after {event} on {quoted(table)} begin {body} end"


def drop(table: str, generation: int) -> Iterator[str]:
    name = table_of(table, generation)
    yield f"drop table if exists {quoted(f'{name}__search')}"
    yield f"drop table if exists {quoted(name)}"


def view(table: str, generation: int) -> Iterator[str]:
    """The name that users' SQL reads."""
    yield drop_view(table)
    yield f"create view {quoted(table)} as select * from {quoted(table_of(table, generation))}"


def drop_view(table: str) -> str:
    return f"drop view if exists {quoted(table)}"


@lru_cache(maxsize=1024)
def select(model: RowType, generation: int) -> str:
    names = ", ".join(quoted(name) for name in model.columns)
    return f"select {names}, _position, _updated_at from {quoted(table_of(model.table, generation))}"


@lru_cache(maxsize=1024)
def select_by_key(model: RowType, generation: int) -> str:
    return f"{select(model, generation)} where {quoted(model.key)} = ?"


def select_in(model: RowType, generation: int, column: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Statement and parameters of the rows whose `column` is one of `values`."""
    parameters: list[Any] = []
    return f"{select(model, generation)} where {_in(quoted(column), values, parameters)}", parameters


@lru_cache(maxsize=1024)
def upsert(model: RowType, generation: int) -> tuple[str, str]:
    """What stands before and what behind the values."""
    names = [*(quoted(name) for name in model.columns), "_position", "_updated_at"]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name != quoted(model.key))
    table = quoted(table_of(model.table, generation))
    return f"insert into {table} ({', '.join(names)})", f"on conflict ({quoted(model.key)}) do update set {sets}"


@lru_cache(maxsize=1024)
def delete(model: RowType, generation: int) -> str:
    return f"delete from {quoted(table_of(model.table, generation))} where {quoted(model.key)} = ?"


def find(model: RowType, generation: int, find: Find) -> tuple[str, list[Any]]:
    """Statement and parameters of a page of rows."""
    parameters: list[Any] = []
    tests = [_condition(model, condition, parameters) for condition in find.where]
    if find.after is not None:
        tests.append(_past(model, find.order, find.after, parameters))
    where = f" where {' and '.join(tests)}" if tests else ""
    orders = ", ".join(f"{_comparable(model, o.column)}{' desc' if o.descending else ''}" for o in find.order)
    parameters.append(find.limit)
    return f"{select(model, generation)}{where} order by {orders} limit ?", parameters


def count(model: RowType, generation: int, where: tuple[Condition, ...]) -> tuple[str, list[Any]]:
    parameters: list[Any] = []
    tests = " and ".join(_condition(model, condition, parameters) for condition in where) or "true"
    return f"select count(*) from {quoted(table_of(model.table, generation))} where {tests}", parameters


def same(model: RowType, mine: int, other: int) -> str:
    """How many rows of two generations are alike."""
    one, two = (quoted(table_of(model.table, g)) for g in (mine, other))
    return f"select count(*) from {one} as a join {two} as b on {_alike(model)}"


def differing(model: RowType, mine: int, other: int) -> str:
    """Keys of rows that two generations don't agree on, in order, at most so many; and how many there are."""
    one, two, key = (quoted(name) for name in (table_of(model.table, mine), table_of(model.table, other), model.key))
    missing = "select a.{0} as key from {1} as a where not exists (select 1 from {2} as b where {3})"
    left = missing.format(key, one, two, _alike(model))
    right = missing.format(key, two, one, _alike(model))
    return f"with apart as ({left} union {right}) select key, (select count(*) from apart) from apart order by key limit ?"


def _alike(model: RowType) -> str:
    key = quoted(model.key)
    return " and ".join(
        [f"a.{key} = b.{key}", *(f"a.{quoted(name)} is b.{quoted(name)}" for name in model.columns if name != model.key)]
    )


@lru_cache(maxsize=1024)
def search(model: RowType, generation: int) -> str:
    table = table_of(model.table, generation)
    names = ", ".join(f"t.{quoted(name)}" for name in model.columns)
    index = quoted(f"{table}__search")
    return (
        f"select {names} from {index} as s join {quoted(table)} as t on t.rowid = s.rowid "
        f"where {index} match ? order by s.rank, t.{quoted(model.key)} limit ?"
    )


def _comparable(model: RowType, name: str) -> str:
    collate = f" collate {DECIMAL_COLLATION}" if model.columns[name].kind == "decimal" else ""
    return f"{quoted(name)}{collate}"


_SYMBOLS = {"eq": "=", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def _condition(model: RowType, condition: Condition, parameters: list[Any]) -> str:
    column = _comparable(model, condition.column)
    value = condition.value
    dump = dumper(model.columns[condition.column])
    match condition.operator:
        case "null":
            return f"{column} is {'' if value else 'not '}null"
        case "in":
            return _in(column, value if dump is None else [dump(item) for item in value], parameters)
        case "prefix":
            return _begins(column, value, parameters)
        case "contains":
            parameters.append(value)
            return f"instr({column}, ?) > 0"
        case operator:
            parameters.append(value if dump is None else dump(value))
            return f"{column} {_SYMBOLS[operator]} ?"


def _in(column: str, values: Sequence[Any], parameters: list[Any]) -> str:
    """One JSON array for all values, however many, save for those that SQLite's JSON would change."""
    plain: list[Any] = []
    odd: list[Any] = []
    for value in values:
        (odd if _is_odd_in_json(value) else plain).append(value)
    tests = []
    if plain:
        tests.append(f"{column} in (select value from json_each(?))")
        parameters.append(json.dumps(plain))
    if odd:
        tests.append(f"{column} in ({', '.join('?' * len(odd))})")
        parameters.extend(odd)
    return f"({' or '.join(tests)})" if tests else "false"


def _is_odd_in_json(value: Any) -> bool:
    """SQLite ends a JSON text at a NUL, and older ones round numbers."""
    return isinstance(value, float) or (isinstance(value, str) and "\0" in value)


def _begins(column: str, prefix: str, parameters: list[Any]) -> str:
    """Texts from `prefix` on, and before the first text that is greater than all that start with it."""
    if not prefix:
        return "true"
    parameters.append(prefix)
    shorter = prefix.rstrip("\U0010ffff")
    if not shorter:
        return f"{column} >= ?"
    following = ord(shorter[-1]) + 1
    parameters.append(shorter[:-1] + chr(0xE000 if following == 0xD800 else following))  # between the two are no characters
    return f"({column} >= ? and {column} < ?)"


def _past(model: RowType, orders: tuple[Order, ...], after: tuple[Any, ...], parameters: list[Any]) -> str:
    """Strictly behind the row with the values `after`, with NULL first."""
    alternatives: list[str] = []
    for depth, (order, last) in enumerate(zip(orders, after, strict=True)):
        equal: list[Any] = []
        tests = []
        for earlier, value in zip(orders[:depth], after[:depth], strict=True):
            tests.append(f"{_comparable(model, earlier.column)} is ?")
            equal.append(_dumped(model, earlier.column, value))
        column, value = _comparable(model, order.column), _dumped(model, order.column, last)
        if value is None:
            if order.descending:
                continue
            tests.append(f"{column} is not null")
        elif order.descending:
            tests.append(f"({column} < ? or {column} is null)" if model.columns[order.column].optional else f"{column} < ?")
            equal.append(value)
        else:
            tests.append(f"{column} > ?")
            equal.append(value)
        parameters.extend(equal)
        alternatives.append(f"({' and '.join(tests)})")
    return f"({' or '.join(alternatives)})" if alternatives else "false"


def _dumped(model: RowType, name: str, value: Any) -> Any:
    dump = dumper(model.columns[name])
    return value if value is None or dump is None else dump(value)
