"""What other users of the machine read of the server's and its clusters' processes, and who has a data folder."""
import pathlib

import pytest

import clients
from snapferry_tools import running

SECRET = "hush-hush-hush-hush"


def command_line(pid):
    """The arguments of a process, as anybody can read them."""
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def test_secrets_are_taken_from_the_command_line(deploy):
    deployment = deploy("--webhook-url", "http://127.0.0.1:9/hook", "--webhook-secret", SECRET)
    pid = deployment.server.process.pid
    shown = command_line(pid)
    assert SECRET not in " ".join(shown) and "--webhook-secret" in shown, shown
    assert "a secret is on the command line" in deployment.server.tail()
    # They arrived as they were meant: without the secret, the URL alone would be refused.
    deployment.rds().describe_db_clusters()


def test_a_catalogs_password_is_shown_nowhere(binary, tmp_path):
    server = running.Server(
        binary, tmp_path / "data", "--catalog", f"postgres://ferry:{SECRET}@127.0.0.1:1/none", "--vault", str(tmp_path)
    )
    with pytest.raises(running.StartError) as refused:
        server.start()
    assert "a secret is on the command line" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_that_was_deleted_lets_no_second_server_in(deploy, binary, replaced):
    deployment = deploy()
    lock = deployment.server.data / "lock"
    lock.unlink()
    if replaced:
        lock.write_text("1\n", encoding="utf-8")
    second = running.Server(binary, deployment.server.data, *deployment.server.flags)
    with pytest.raises(running.StartError) as refused:
        second.start()
    assert "has the data folder" in str(refused.value)
    # Verbs that need the folder for themselves are kept out, too.
    with pytest.raises(RuntimeError, match="has the data folder"):
        deployment.server.run("master-key", "rotate")
    assert deployment.server.is_running
    deployment.rds().describe_db_clusters()


def test_a_sessions_title_does_not_say_what_it_does(closed, plain):
    with clients.connect(plain) as connection:
        (pid,) = connection.execute("select pg_backend_pid()").fetchone()
        title = " ".join(command_line(pid))
        assert "SELECT" not in title and "idle" not in title, title
    assert closed.server.is_running
