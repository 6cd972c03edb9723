"""Many who want in at the same moment, from one light process, and what the log says of it."""

import asyncio
import collections
import re
import time

import psycopg

MOVED = re.compile(r"server=(\S+).* (asleep|waking|awake|falling asleep|being forced|being aborted|failed|napping)"
                   r" -> (asleep|waking|awake|falling asleep|being forced|being aborted|failed|napping) \(")


async def enter(info, hold, began, times, notices):
    """One person: connect, ask, stay until everybody has been let in."""
    connection = await psycopg.AsyncConnection.connect(info, autocommit=True)
    connection.add_notice_handler(lambda d: notices.append(d.message_primary))
    async with connection:
        row = await (await connection.execute("select 42")).fetchone()
        assert row == (42,)
        times.append(time.monotonic() - began)
        await hold.wait()


async def enter_all(infos, stay):
    times, notices, hold = [], [], asyncio.Event()
    began = time.monotonic()
    tasks = [asyncio.ensure_future(enter(info, hold, began, times, notices)) for info in infos]
    if not stay:
        hold.set()
    waiting = asyncio.ensure_future(all_in(times, len(infos), hold))
    done = await asyncio.gather(*tasks, return_exceptions=True)
    waiting.cancel()
    return sorted(times), [e for e in done if e is not None]


async def all_in(times, n, hold):
    while len(times) < n:
        await asyncio.sleep(0.01)
    hold.set()


def storm(infos, stay=False):
    """Everybody at once. Seconds until each had an answer, sorted; and whoever was refused."""
    return asyncio.run(enter_all(infos, stay))


def moves(log):
    """(server, from, to) as dormd said, in that order."""
    return [m.groups() for m in MOVED.finditer(log)]


def starts(log):
    return collections.Counter(server for server, _, to in moves(log) if to == "waking")


def most_waking(log):
    most = now = 0
    for _, was, to in moves(log):
        now += (to == "waking") - (was == "waking")
        most = max(most, now)
    return most
