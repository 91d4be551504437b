"""Folders in memory for what tests make durable over and over: on a disk that others write to, each of that waits for
their bytes, too.

Bounded: a folder is made there only while much room is left. A folder belongs to who holds its lock; what a killed run
left is removed by the next one.
"""
import contextlib
import fcntl
import os
import pathlib
import re
import tempfile
import time

FOLDER = pathlib.Path("/dev/shm")
# What the folders' names begin with. The engine's tests have it, too (crates/engine/tests/clusters).
PREFIX = "snapferry-memory-"
# Below this age, a folder's maker may be about to lock it.
YOUNG_SECONDS = 60

# The locks of this process, by folder. They end with it, however that ends.
_held = {}


def has_room(bytes_min):
    """Whether the system has a file system in memory with that much room, in which programs can be run."""
    try:
        facts = os.statvfs(FOLDER)
        text = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return False
    available = int(re.search(r"^MemAvailable: +(\d+) kB$", text, re.MULTILINE).group(1)) << 10
    return bytes_min <= min(available, facts.f_bavail * facts.f_frsize) and not facts.f_flag & os.ST_NOEXEC


def _lock(folder):
    """The descriptor that locks a folder, or None when another process has the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def make_folder():
    """A fresh folder, which is this process's."""
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=FOLDER)
    _held[folder] = _lock(folder)
    return pathlib.Path(folder)


def let_go(folder):
    """Forgets the lock of a folder that is gone, if there was one."""
    descriptor = _held.pop(str(folder), None)
    if descriptor is not None:
        os.close(descriptor)


def left():
    """Folders whose makers are gone. A link that anybody may have put there is none."""
    found = []
    for folder in FOLDER.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if YOUNG_SECONDS < time.time() - folder.lstat().st_ctime:
                descriptor = _lock(folder)
                if descriptor is not None:
                    os.close(descriptor)
                    found.append(folder)
    return found
