"""
A client that knows what it was promised: bank transfers and an append-only list, in one
transaction each. What was acknowledged, and when, is remembered outside of the server.
"""

import dataclasses
import random
import threading
import time

import psycopg

ACCOUNTS, EACH, PER_LIST = 10, 1000, 100


@dataclasses.dataclass
class Ack:
    n: int
    position: int  # of the disk's write log at that moment; 0 where there is none
    when: float
    took: float


@dataclasses.dataclass
class Problem:
    when: float
    sqlstate: str
    text: str


@dataclasses.dataclass
class Finding:
    """What a server holds, against what was promised."""
    present: int
    lost: list   # acknowledged, and not there
    holes: list  # acknowledged, not there, though something later is
    wrong: list  # sentences

    @property
    def good(self):
        return not (self.lost or self.holes or self.wrong)

    def __str__(self):
        return (f"{self.present} present, {len(self.lost)} acknowledged are lost {self.lost[:5]}, "
                f"{len(self.holes)} holes {self.holes[:5]}, {self.wrong[:5]}")


class History(threading.Thread):
    """Commits one after another until stop(); connects again whenever it was thrown out."""

    def __init__(self, connect, pace=0.0, position=lambda: 0):
        super().__init__(daemon=True)
        self.connect, self.pace, self.position = connect, pace, position
        self.tried = {}
        self.acked, self.problems = [], []
        self.ended = threading.Event()
        self.chance = random.Random(7)

    def prepare(self):
        with self.connect() as c:
            c.execute(f"""
                create table accounts (id int primary key, balance int not null);
                insert into accounts select n, {EACH} from generate_series(0, {ACCOUNTS - 1}) n;
                create table transfers (n int primary key, source int, target int, amount int);
                create table lists (id int primary key, items int[] not null);
            """)
        self.start()
        return self

    def one(self, c):
        n = len(self.tried)
        source, target = self.chance.sample(range(ACCOUNTS), 2)
        amount = self.chance.randrange(1, 50)
        self.tried[n] = (source, target, amount)
        began = time.monotonic()
        c.execute(f"""
            begin;
            insert into transfers values ({n}, {source}, {target}, {amount});
            update accounts set balance = balance - {amount} where id = {source};
            update accounts set balance = balance + {amount} where id = {target};
            insert into lists values ({n // PER_LIST}, array[{n}])
                on conflict (id) do update set items = lists.items || {n};
            commit""")
        now = time.monotonic()
        self.acked.append(Ack(n, self.position(), now, now - began))

    def run(self):
        while not self.ended.is_set():
            try:
                with self.connect() as c:
                    while not self.ended.is_set():
                        self.one(c)
                        self.ended.wait(self.pace)
            except psycopg.Error as problem:
                self.problems.append(Problem(time.monotonic(), problem.sqlstate, str(problem).strip()))
                self.ended.wait(0.02)

    def stop(self):
        """Returns itself when no commit is under way any more."""
        self.ended.set()
        self.join(timeout=90)
        assert not self.is_alive(), "a commit has not come back for 90 s"
        return self

    def longest_gap(self, since=0.0):
        """Seconds between two acknowledgements."""
        times = [a.when for a in self.acked if a.when >= since]
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)

    def check(self, c, upto=None):
        """What of it a server has, when all that was acknowledged up to that position must be there."""
        present = [row[0] for row in c.execute("select n from transfers order by n").fetchall()]
        there = set(present)
        must = [a.n for a in self.acked if upto is None or a.position <= upto]
        lost = [n for n in must if n not in there]
        last = max(there, default=-1)
        holes = [a.n for a in self.acked if a.n < last and a.n not in there]
        wrong = [f"{n} was never written" for n in there if n not in self.tried]
        wrong += self.check_sums(c, [n for n in present if n in self.tried])
        return Finding(len(present), lost, holes, wrong)

    def check_sums(self, c, present):
        balance = dict.fromkeys(range(ACCOUNTS), EACH)
        for n in present:
            source, target, amount = self.tried[n]
            balance[source] -= amount
            balance[target] += amount
        wrong = []
        found = dict(c.execute("select id, balance from accounts").fetchall())
        if found != balance:
            wrong.append(f"balances are {found}, the transfers make {balance}")
        if sum(found.values()) != ACCOUNTS * EACH:
            wrong.append(f"the bank holds {sum(found.values())}, not {ACCOUNTS * EACH}")
        items = [i for row in c.execute("select items from lists order by id").fetchall() for i in row[0]]
        if items != present:
            wrong.append("the list and the transfers differ")
        return wrong
