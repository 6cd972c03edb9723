"""The log of a LoggedDisk, and the disk as it was at any moment of it."""

import dataclasses
import os
import struct

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
SECTOR = 512  # of the log and of its addresses
TEAR = 4096   # what a disk writes whole


@dataclasses.dataclass
class Entry:
    sector: int
    sectors: int
    flags: int
    data: int  # where in the log
    end: int   # position of the log behind it

    @property
    def is_flush(self):
        return self.flags & FLUSH and self.sectors == 0

    @property
    def writes(self):
        return self.sectors > 0 and not self.flags & DISCARD


def entries(path):
    """All entries, in order."""
    found = []
    with open(path, "rb") as f:
        magic, _, n, size = struct.unpack("<QQQI", f.read(28))
        assert magic == MAGIC and size == SECTOR, (hex(magic), size)
        at = SECTOR
        for _ in range(n):
            f.seek(at)
            sector, sectors, flags, _ = struct.unpack("<QQQQ", f.read(32))
            data = at + SECTOR
            at = data + (0 if flags & DISCARD else sectors * SECTOR)
            found.append(Entry(sector, sectors, flags, data, at))
    return found


class Replay:
    """A disk that is written forward, entry by entry."""

    def __init__(self, log, target, size):
        self.log = os.open(log, os.O_RDONLY)
        self.target = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.target, size)
        self.applied = 0

    def apply(self, entry, fd=None, length=None):
        fd = self.target if fd is None else fd
        length = entry.sectors * SECTOR if length is None else length
        if entry.flags & DISCARD:
            data = bytes(length)
        else:
            data = os.pread(self.log, length, entry.data)
            assert len(data) == length, "the log is cut off"
        os.pwrite(fd, data, entry.sector * SECTOR)

    def forward(self, all_entries, upto):
        """Everything before entry number upto."""
        while self.applied < upto:
            self.apply(all_entries[self.applied])
            self.applied += 1

    def scatter(self, path, epoch, chance):
        """Onto the copy at path, what a disk may have kept of the writes since its last flush: some, in
        any order, one of them in part. Returns how many."""
        kept = [e for e in epoch if e.sectors and chance.random() < 0.5]
        chance.shuffle(kept)
        fd = os.open(path, os.O_RDWR)
        for i, entry in enumerate(kept):
            length = entry.sectors * SECTOR
            if i == 0 and length > TEAR:
                length = chance.randrange(1, length // TEAR + 1) * TEAR
            self.apply(entry, fd, min(length, entry.sectors * SECTOR))
        os.close(fd)
        return len(kept)

    def close(self):
        os.close(self.log)
        os.close(self.target)
