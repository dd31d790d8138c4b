"""The command line: `deedlog serve`, `worker`, `check`, and the groups db, events, streams, projections."""
