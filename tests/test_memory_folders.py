"""The folders in memory that tests have: as many as there is room for, and none that a killed run left."""
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from snapferry_tools import memory, running

MAKER = """
import pathlib, subprocess, sys, time
from snapferry_tools import memory
memory.FOLDER = pathlib.Path(sys.argv[1])
folder = memory.make_folder()
subprocess.Popen(["sleep", "600"], cwd=folder)
print(folder, flush=True)
time.sleep(600)
"""


@pytest.fixture
def above(tmp_path, monkeypatch):
    """A folder in the place of the file system in memory, which not every machine has."""
    monkeypatch.setattr(memory, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def made(above):
    """A process, and the folder that it made and has a program running in."""
    environment = os.environ | {"PYTHONPATH": str(running.ROOT / "python")}
    words = [sys.executable, "-c", MAKER, str(above)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as maker:
        folder = pathlib.Path(maker.stdout.readline().strip())
        yield maker, folder
        maker.kill()
    running.remove_folder(folder)


def test_what_a_killed_run_left_is_removed(made, monkeypatch):
    maker, folder = made
    assert memory.left() == [], "it is young"
    monkeypatch.setattr(memory, "YOUNG_SECONDS", -1)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder.parent / f"{memory.PREFIX}link").symlink_to(elsewhere)
    assert memory.left() == [], "its maker lives, and a link is no folder"
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    running.wait_until(lambda: memory.left() == [folder], 60, "its maker is gone")
    running.remove_left()
    assert not folder.exists() and not running.processes_within(folder)


def test_without_room_folders_lie_on_disk(above, monkeypatch):
    assert not memory.has_room(1 << 60)
    monkeypatch.setattr(running, "MEMORY_BYTES_MIN", 1 << 30)
    for has_room, wanted in ((True, above), (False, pathlib.Path("/var/tmp"))):
        monkeypatch.setattr(memory, "has_room", lambda least, answer=has_room: answer)
        folder = running.make_folder("snapferry-test-")
        try:
            assert folder.parent == wanted and folder.stat().st_mode & 0o777 == 0o711
        finally:
            running.remove_folder(folder)
        assert not folder.exists()
