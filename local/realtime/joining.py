"""From a join frame to a member: the checks, in the order in which clients expect their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.realtime.channel import Channel, Outlet
from local.realtime.errors import (
    ChannelShutdownError,
    DatabaseDownError,
    JoinRefusedError,
    TokenError,
)
from local.realtime.history import load_replay
from local.realtime.options import JoinOptions, parse_join
from local.realtime.replies import TOPIC_PREFIX, reply_ok, system

if TYPE_CHECKING:
    from local.realtime.frames import Frame
    from local.realtime.hub import Broadcast
    from local.realtime.services import Services
    from local.realtime.tokens import Identity


async def join(
    outlet: Outlet, frame: Frame, services: Services, *, key_identity: Identity
) -> Channel:
    """Make the caller a member and answer its join, or raise JoinRefusedError."""
    topic = _sub_topic(frame)
    options = parse_join(frame.payload)
    if services.settings.private_only and not options.is_private:
        raise JoinRefusedError("PrivateOnly: This project only allows private channels")
    try:
        channel = Channel(
            outlet,
            services,
            topic=topic,
            join_ref=_join_ref(frame),
            options=options,
            identity=_identify(options, services, key_identity),
        )
        await channel.authorize()
        replayed = await _load_replay(topic, options, services)
    except (TokenError, ChannelShutdownError, DatabaseDownError) as exc:
        raise JoinRefusedError(str(exc)) from exc
    _welcome(outlet, frame, services, channel=channel, options=options)
    for broadcast in replayed:
        _send_replayed(outlet, broadcast)
    return channel


def _join_ref(frame: Frame) -> str | int | None:
    return frame.ref if frame.join_ref is None else frame.join_ref


def _sub_topic(frame: Frame) -> str:
    topic = frame.topic.removeprefix(TOPIC_PREFIX)
    if not topic or topic == frame.topic:
        raise JoinRefusedError("TopicNameRequired: You must provide a topic name")
    return topic


def _identify(options: JoinOptions, services: Services, key_identity: Identity) -> Identity:
    if options.token is None:
        key_identity.check_fresh()
        return key_identity
    return services.tokens.identify(options.token)


async def _load_replay(topic: str, options: JoinOptions, services: Services) -> list[Broadcast]:
    if options.replay is None:
        return []
    return await load_replay(services.database, topic, options.replay)


def _send_replayed(outlet: Outlet, broadcast: Broadcast) -> None:
    data = outlet.codec.encode(broadcast.frame())
    if data is not None:
        outlet.send_wire(data)


def _welcome(
    outlet: Outlet, frame: Frame, services: Services, *, channel: Channel, options: JoinOptions
) -> None:
    """Answer first and enter then, with nothing between: no broadcast precedes the answer."""
    outlet.send(reply_ok(frame, {"postgres_changes": options.postgres_changes}))
    services.hub.enter(channel)
    channel.announce_presences()
    if options.wants_replication_notice:
        is_ready = services.database.is_open
        outlet.send(
            system(
                channel.topic,
                "ok" if is_ready else "error",
                f"Replication connection {'established' if is_ready else 'is not ready'}",
                extension="system",
                join_ref=channel.join_ref,
            )
        )
    if options.postgres_changes:
        outlet.send(
            system(
                channel.topic,
                "error",
                "This server has broadcast and presence only: postgres_changes never fire",
                extension="postgres_changes",
                join_ref=channel.join_ref,
            )
        )
