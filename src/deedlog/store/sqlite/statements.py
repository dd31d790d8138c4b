"""The SQL of the event store on SQLite, by name. Each has a query-plan check in tests/unit/test_query_plans.py."""

SCHEMA_VERSION = 1

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
select value, (select max(version) from deedlog_events where stream = value) from json_each(?)
union all select null, (select seq from sqlite_sequence where name = 'deedlog_events')
"""
"""Each stream with its version, and at last the head beside null; null for what is not there."""

TIPS = """
select value, (select id from deedlog_events where stream = value order by version desc limit 1) from json_each(?)
"""

COMMANDS = """
select id, digest, stream, version, position, count from deedlog_commands
where id in (select value from json_each(?))
"""

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
