"""What a token stands for beyond its position: the streams that its command wrote to."""

from deedlog.store.port import PAGE, EventStore
from deedlog.types import Position, StreamName


async def streams_written(store: EventStore, seen: Position) -> list[StreamName]:
    """The streams of the event at `seen`, and of those before it in the same conversation: a command may store several events,
    in several streams, and send further commands.

    Looks at `PAGE` events, and further back as long as the conversation goes on at the start of those.
    """
    streams: dict[StreamName, None] = {}
    conversation, until = None, seen
    while until > 0:
        after = max(0, until - PAGE)
        page = await store.read_all(after, until - after)
        if until == seen and page:
            conversation = page[-1].conversation
            streams[page[-1].stream] = None
        if conversation is None or not page:
            break
        streams.update(dict.fromkeys(event.stream for event in reversed(page) if event.conversation == conversation))
        if page[0].conversation != conversation:
            break
        until = after
    return list(streams)
