"""The shop's trial: a history sent over HTTP, a `kill -9` in the middle, and every total compared with plain SQL."""
