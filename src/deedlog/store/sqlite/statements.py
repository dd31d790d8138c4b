"""The SQL of the event store on SQLite, by name. Each has a query-plan check in tests/unit/test_query_plans.py."""

SCHEMA_VERSION = 2

SCHEMA = (
    """
    create table deedlog_store (
      one integer primary key check (one = 1),
      id text not null,
      schema_version integer not null
    ) strict
    """,
    """
    create table deedlog_events (
      position integer primary key autoincrement,
      stream text not null,
      version integer not null,
      category text not null,
      bucket integer not null,
      name text not null,
      name_version integer not null,
      data text not null,
      metadata text not null,
      recorded_at integer not null,
      id text not null,
      unique (stream, version)
    ) strict
    """,
    "create index deedlog_events_category on deedlog_events (category)",
    "create index deedlog_events_name on deedlog_events (name)",
    """
    create table deedlog_tags (
      tag text not null,
      position integer not null,
      primary key (tag, position)
    ) strict, without rowid
    """,
    """
    create table deedlog_commands (
      id text primary key,
      digest text not null,
      stream text not null,
      version integer not null,
      position integer not null,
      count integer not null,
      recorded_at integer not null
    ) strict, without rowid
    """,
    "create index deedlog_commands_recorded_at on deedlog_commands (recorded_at)",
    """
    create table deedlog_closings (
      stream text primary key,
      version integer not null,
      position integer not null,
      closed_by text not null,
      why text not null,
      recorded_at integer not null
    ) strict, without rowid
    """,
    """
    create table deedlog_states (
      stream text primary key,
      version integer not null,
      event_id text not null,
      definition text not null,
      state text not null,
      recorded_at integer not null
    ) strict
    """,
    """
    create trigger deedlog_events_no_update before update on deedlog_events
    begin select raise(abort, 'deedlog_events is append-only'); end
    """,
    """
    create trigger deedlog_events_no_delete before delete on deedlog_events
    begin select raise(abort, 'deedlog_events is append-only'); end
    """,
)

HAS_SCHEMA = "select 1 from sqlite_schema where name = 'deedlog_store'"
READ_STORE = "select id, schema_version from deedlog_store"
WRITE_STORE = "insert into deedlog_store (one, id, schema_version) values (1, ?, ?)"

HEAD = "select coalesce((select seq from sqlite_sequence where name = 'deedlog_events'), 0)"

VERSIONS = """
select value,
  (select max(version) from deedlog_events where stream = value),
  case when exists (select 1 from deedlog_closings)
    then (select position from deedlog_closings where stream = value) end
from json_each(?)
union all select null, (select seq from sqlite_sequence where name = 'deedlog_events'), null
"""
"""Each stream with its version and the position of its closing, and at last the head beside null; null for what is not there."""

TIPS = """
select value, (select id from deedlog_events where stream = value order by version desc limit 1) from json_each(?)
"""

COMMANDS = """
select id, digest, stream, version, position, count from deedlog_commands
where id in (select value from json_each(?))
"""

MATCHED_TAGS = """
select wanted.key, (
  select t.position from deedlog_tags as t
  where t.tag = json_extract(wanted.value, '$.tags[0]') and t.position > json_extract(wanted.value, '$.after')
    and not exists (
      select 1 from json_each(wanted.value, '$.tags') as more
      where more.key > 0 and not exists (select 1 from deedlog_tags as o where o.tag = more.value and o.position = t.position)
    )
    and (
      json_array_length(wanted.value, '$.names') = 0
      or (select name from deedlog_events as e where e.position = t.position) in (
        select value from json_each(wanted.value, '$.names')
      )
    )
  order by t.position desc limit 1
)
from json_each(?) as wanted
"""
"""For each object of tags, names and after: the newest position with all the tags and one of the names, if names are given."""

MATCHED_NAMES = """
select wanted.key, (
  select max(newest) from (
    select (select max(position) from deedlog_events where name = one.value) as newest
    from json_each(wanted.value, '$.names') as one
  )
)
from json_each(?) as wanted
"""
"""For each object of names: the newest position of an event with one of them."""

INSERT_EVENTS = """
insert or rollback into deedlog_events
  (position, stream, version, category, bucket, name, name_version, data, metadata, recorded_at, id)
"""

INSERT_TAGS = "insert or ignore into deedlog_tags (tag, position)"

INSERT_COMMANDS = """
insert or rollback into deedlog_commands (id, digest, stream, version, position, count, recorded_at)
"""

EVENT_COLUMNS = "position, stream, version, category, bucket, name, name_version, data, metadata, recorded_at, id"

READ_STREAM = f"""
select {EVENT_COLUMNS} from deedlog_events where stream = ? and version > ? order by version limit ?
"""

READ_ALL = f"""
select {EVENT_COLUMNS} from deedlog_events where position > ? order by position limit ?
"""

READ_CATEGORY = f"""
select {EVENT_COLUMNS} from deedlog_events where category = ? and position > ? order by position limit ?
"""

READ_CATEGORY_NAMES = f"""
select {EVENT_COLUMNS} from deedlog_events
where category = ? and position > ? and name in (select value from json_each(?)) order by position limit ?
"""

READ_NAME = f"""
select {EVENT_COLUMNS} from deedlog_events where name = ? and position > ? order by position limit ?
"""

READ_TAGS = f"""
select {", ".join(f"e.{column}" for column in EVENT_COLUMNS.split(", "))}
from deedlog_tags as t cross join deedlog_events as e on e.position = t.position
where t.tag = ?1 and t.position > ?2
  and not exists (
    select 1 from json_each(?3) as more
    where not exists (select 1 from deedlog_tags as o where o.tag = more.value and o.position = t.position)
  )
  and (json_array_length(?4) = 0 or e.name in (select value from json_each(?4)))
order by t.position limit ?5
"""
"""A tag, a position, JSON arrays of more tags and of names (empty: any), a limit."""

POSITION_AT = """
select low from (
  with recursive bisection (low, high) as (
    select 0, coalesce((select seq from sqlite_sequence where name = 'deedlog_events'), 0)
    union all
    select
      case when e.recorded_at > ?1 then low else e.position end,
      case when e.recorded_at > ?1 then e.position - 1 else high end
    from bisection cross join deedlog_events as e on e.position = (low + high) / 2 + 1
    where low < high
  )
  select low, high from bisection
) where low = high
"""

VERSION_AT = """
select low from (
  with recursive bisection (low, high) as (
    select 0, coalesce((select max(version) from deedlog_events where stream = ?1), 0)
    union all
    select
      case when e.position > ?2 then low else e.version end,
      case when e.position > ?2 then e.version - 1 else high end
    from bisection cross join deedlog_events as e on e.stream = ?1 and e.version = (low + high) / 2 + 1
    where low < high
  )
  select low, high from bisection
) where low = high
"""

STREAMS = """
select e.stream, e.version, e.position, e.recorded_at
from (
  select stream, max(version) as version from deedlog_events
  where stream > ? and stream >= ? and stream < ?
  group by stream order by stream limit ?
) as newest
join deedlog_events as e on e.stream = newest.stream and e.version = newest.version
order by e.stream
"""

CLOSINGS = """
select stream, version, position, closed_by, why, recorded_at from deedlog_closings
where stream in (select value from json_each(?))
"""

INSERT_CLOSING = """
insert into deedlog_closings (stream, version, position, closed_by, why, recorded_at) values (?, ?, ?, ?, ?, ?)
"""

STATE = "select stream, version, event_id, definition, state, recorded_at from deedlog_states where stream = ?"

SAVE_STATE = """
insert into deedlog_states (stream, version, event_id, definition, state, recorded_at)
select ?1, ?2, ?3, ?4, ?5, ?6
where exists (select 1 from deedlog_events where stream = ?1 and version = ?2 and id = ?3)
on conflict (stream) do update set
  version = excluded.version, event_id = excluded.event_id, definition = excluded.definition, state = excluded.state,
  recorded_at = excluded.recorded_at
where excluded.version >= deedlog_states.version
"""

DROP_STATE = "delete from deedlog_states where stream = ?"

DROP_STATES = "delete from deedlog_states"

FORGET_COMMANDS = """
delete from deedlog_commands where id in (
  select id from deedlog_commands where recorded_at < ? order by recorded_at, id limit ?
)
"""
