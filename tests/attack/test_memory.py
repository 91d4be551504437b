"""What the server has in memory stays there: no core file of it, and its clusters' servers keep their own rules."""
import os
import pathlib
import signal

from snapferry_tools import running


def _core_limits(pid):
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    return next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))


def test_a_crash_leaves_no_core_file(deploy):
    server = deploy(start=False).server
    # Where a core file is written when there is one.
    server.prefix = ["env", "-C", str(server.data.parent), "prlimit", "--core=unlimited"]
    server.start()
    pid = server.process.pid
    assert _core_limits(pid) == ["unlimited", "unlimited"]
    os.kill(pid, signal.SIGABRT)
    _, status = os.waitpid(pid, 0)
    server.process.returncode = -signal.SIGABRT
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status), "the master key is in that file"


def test_postgresql_keeps_its_own_rules_for_core_files(closed, plain):
    (postmaster, *_) = running.postmasters_within(closed.server.data)
    assert plain["Status"] == "available"
    assert _core_limits(postmaster) == _core_limits(closed.server.process.pid)
    # The system shows a process that may not be dumped as root's.
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{postmaster}").st_uid != 0


def test_secrets_that_stay_are_locked(closed):
    closed.rds().describe_db_clusters()
    status = pathlib.Path(f"/proc/{closed.server.process.pid}/status").read_text(encoding="utf-8")
    (locked,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmLck:")]
    # The master key's page, and at least one of access keys.
    assert locked >= 8, "kB"
