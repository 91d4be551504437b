"""`snapferry serve`: what it prints, serves, refuses, and how it ends."""
import json
import os
import pathlib
import re
import socket
import stat
import subprocess
import time

import psycopg
import pytest

import clients
from snapferry_tools import running


def run(binary, *words, environment=None, seconds=60):
    """Runs the binary to its end."""
    return subprocess.run(
        [binary, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=running.clean_environment(**(environment or {})),
    )


def refuses(binary, *words, says=(), environment=None):
    """Asserts that `serve` ends with an error that says these words, and prints nothing as data."""
    done = run(binary, "serve", *words, environment=environment)
    assert done.returncode not in (0, None), done.stderr
    assert done.stdout == ""
    for word in says:
        assert word in done.stderr, done.stderr
    assert "panicked" not in done.stderr
    return done.stderr


@pytest.fixture
def folder():
    """A folder that other users can pass through."""
    made = running.make_folder("snapferry-test-")
    yield made
    running.remove_folder(made)


def test_standard_output_carries_only_the_ready_line(deploy):
    deployment = deploy()
    deployment.rds().describe_db_clusters()
    assert deployment.server.stop() == 0
    assert deployment.server.stdout == [f"snapferry is ready at {deployment.server.url}"]


def test_a_service_manager_hears_of_start_life_and_end(deploy, folder):
    """The protocol of sd_notify(3), as a unit with Type=notify and WatchdogSec= has it."""
    deployment = deploy(start=False, environment={"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "200000"})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(60)
        deployment.server.start()
        told = [manager.recv(4096).decode()]
        assert told[0].splitlines() == ["READY=1", f"STATUS=Serving at {deployment.server.url}"]
        told += [manager.recv(4096).decode() for _ in range(3)]
        assert told[1:] == ["WATCHDOG=1"] * 3
        assert deployment.server.stop() == 0
        while not told[-1].startswith("STOPPING=1"):
            told.append(manager.recv(4096).decode())
        assert set(told[1:-1]) == {"WATCHDOG=1"}


def test_logs_are_json_when_asked_for(deploy):
    deployment = deploy("--log-format", "json")
    deployment.rds().describe_db_clusters()
    deployment.server.stop()
    lines = [line for line in deployment.server.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert all("level" in json.loads(line) for line in lines)


def test_health(closed):
    answer = clients.send(closed.server, "GET", "/healthz")
    assert answer.status == 200
    assert json.loads(answer.text)["status"] == "ok"


def test_help_page_in_a_browser(closed):
    answer = clients.send(closed.server, "GET", "/", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "Snapferry" in answer.text and "AWS_ENDPOINT_URL" in answer.text


def test_metrics_are_prometheus_text(closed):
    answer = clients.send(closed.server, "GET", "/metrics")
    assert answer.status == 200
    for line in answer.text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z_]+(\{[^}]*\})? [0-9.e+]+", line), line
    assert "snapferry_fsyncs_total" in answer.text
    assert "snapferry_vault_written_bytes_total" in answer.text


def test_metrics_name_nobody(closed, plain):
    text = clients.send(closed.server, "GET", "/metrics").text
    names = [closed.credentials()[0], clients.OWNER, clients.HOME, plain["DBClusterIdentifier"], plain["DbClusterResourceId"]]
    assert [name for name in names if name in text] == []


def test_files_that_hold_secrets_are_private(closed):
    for name in ("credentials", "master.key"):
        assert stat.S_IMODE((closed.server.data / name).stat().st_mode) == 0o600, name
    for path in closed.server.data.glob("*.db*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_secret_is_in_no_log(closed):
    _, secret = closed.credentials()
    assert secret not in closed.server.log.read_text()


def test_a_port_in_use_names_the_remedy(binary, folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses(
            binary,
            *("--listen", f"127.0.0.1:{port}", "--data", folder / "data"),
            says=[str(port), "--listen 127.0.0.1:0"],
        )


def test_a_locked_folder_names_the_other_server(binary, closed):
    said = refuses(binary, "--listen", "127.0.0.1:0", "--data", closed.server.data, says=[str(closed.server.data)])
    assert str(closed.server.process.pid) in said


def test_a_folder_keeps_its_mode(binary, deploy):
    deployment = deploy()
    deployment.server.stop()
    said = refuses(binary, "--dev", "--listen", "127.0.0.1:0", "--data", deployment.server.data)
    assert "dev" in said and "closed" in said


@pytest.mark.parametrize("flags", [["--dev"], []], ids=["dev", "closed"])
def test_it_does_not_listen_beyond_loopback_unasked(binary, folder, flags):
    said = refuses(binary, *flags, "--listen", "0.0.0.0:0", "--data", folder / "data")
    assert "loopback" in said
    assert ("--insecure-listen" in said) != bool(flags)


def test_missing_postgresql_names_the_remedy(binary, folder):
    empty = folder / "empty"
    empty.mkdir()
    refuses(
        binary,
        *("--listen", "127.0.0.1:0", "--data", folder / "data"),
        environment={"SNAPFERRY_ENGINE_BIN": str(empty)},
        says=["PostgreSQL", "apt-get install postgresql"],
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="clusters have users of their own only under root")
def test_an_unreachable_folder_names_what_blocks(binary, folder):
    blocked = folder / "blocked"
    blocked.mkdir(mode=0o700)
    refuses(
        binary,
        *("--listen", "127.0.0.1:0", "--data", blocked / "deeper" / "data"),
        says=[str(blocked), "chmod o+x"],
    )


def test_another_master_key_is_refused(binary, deploy):
    deployment = deploy()
    deployment.server.stop()
    said = refuses(
        binary,
        *("--listen", "127.0.0.1:0", "--data", deployment.server.data),
        environment={"SNAPFERRY_MASTER_KEY": "ab" * 32},
    )
    assert "master key" in said
    assert "abab" not in said


def test_a_wrong_setting_is_named(binary, folder):
    config = folder / "snapferry.toml"
    config.write_text('lissten = "127.0.0.1:0"\n')
    refuses(binary, "--config", config, "--data", folder / "data", says=["lissten"])


def test_a_config_file_is_the_lowest_layer(binary, folder):
    config = folder / "snapferry.toml"
    config.write_text('listen = "127.0.0.1:1"\ndefault-region = "eu-west-1"\n')
    server = running.Server(binary, folder / "data", "--config", str(config), "--dev").start()
    try:
        answer = clients.send(
            server,
            headers={"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.CreateKey"},
            body=b"{}",
        )
        assert answer.status == 200, answer.text
        assert ":kms:eu-west-1:" in json.loads(answer.text)["KeyMetadata"]["Arn"]
    finally:
        server.stop()


@pytest.mark.parametrize("words, variables", [
    (["--config", "{folder}/wrong.toml"], {}),
    (["--config", "{folder}/missing.toml"], {}),
    (["--listen", "nowhere"], {}),
    (["--log-level", "info,,=x="], {}),
    (["--tls-key", "{folder}/key.pem"], {}),
    ([], {"SNAPFERRY_LISTEN": "nowhere"}),
    ([], {"SNAPFERRY_MASTER_KEY": "short"}),
    (["--catalog", "postgres://h/d", "--vault", "{folder}/v", "--node", "a/b"], {}),
])
def test_a_wrong_setting_is_told_by_the_exit_status(binary, folder, words, variables):
    """No service manager is to try it again."""
    (folder / "wrong.toml").write_text("listen = 'nowhere'\n", encoding="utf-8")
    words = [word.format(folder=folder) for word in words]
    done = run(binary, "serve", "--data", folder / "data", *words, environment=variables)
    assert done.returncode == 2, done.stderr


def test_databases_are_ended_where_the_settings_say(binary, deploy, folder):
    deployment = deploy("--no-automated-backups")
    deployment.new_cluster(clients.unique("elsewhere"))
    deployment.server.kill()
    # Whatever else is wrong there: a machine that goes down is no time for that.
    settings = folder / "snapferry.toml"
    settings.write_text(f'lissen = 1\ndata = "{deployment.server.data}"\n', encoding="utf-8")
    ended = run(binary, "data", "stop-clusters", "--config", settings, "--format", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"data": str(deployment.server.data), "databases_ended": 1, "processes_ended": 0}


def test_databases_under_a_long_path_are_found_again(deploy, folder):
    """A socket's name has no room there."""
    deployment = deploy("--no-automated-backups", start=False)
    deployment.server.data = folder / ("long" * 20)
    deployment.server.start()
    cluster = deployment.new_cluster("c")
    deployment.server.kill()
    deployment.server.start()
    with clients.connect(cluster) as session:
        deployment.new_snapshot("s", "c")
        assert session.execute("select 1").fetchone() == (1,)
        sockets = [pathlib.Path("/run/snapferry").glob("*/.s.PGSQL.*"), pathlib.Path("/tmp").glob("snapferry-*/.s.PGSQL.*")]
        assert any(path.name.endswith(f".{cluster['Port']}") for path in sockets[0 if os.geteuid() == 0 else 1])
    deployment.rds().delete_db_cluster(DBClusterIdentifier="c", SkipFinalSnapshot=True)


def test_help_and_version(binary):
    version = run(binary, "--version")
    assert re.fullmatch(r"snapferry \d+\.\d+\.\d+.*\n", version.stdout)
    top = run(binary, "--help").stdout
    assert "serve" in top and "access-key" in top and "job" in top
    for verb in (["serve"], ["access-key"], ["access-key", "create"], ["access-key", "list"], ["job", "list"]):
        shown = run(binary, *verb, "--help")
        assert shown.returncode == 0
        assert "xample" in shown.stdout and "snapferry " in shown.stdout, verb


def test_access_keys_are_made_beside_a_running_server(closed):
    made = closed.server.create_access_key(clients.STRANGER)
    assert made["account"] == clients.STRANGER
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", made["access_key_id"])
    assert len(made["secret_access_key"]) == 40
    listed = closed.server.run("access-key", "list")
    assert made["access_key_id"] in listed
    assert made["secret_access_key"] not in listed


def test_access_keys_need_an_account_and_a_folder(binary, closed, folder):
    wrong = run(binary, "access-key", "create", "--account", "12", "--data", closed.server.data)
    assert wrong.returncode != 0 and "12 digits" in wrong.stderr
    nowhere = run(binary, "access-key", "create", "--account", clients.PARTNER, "--data", folder / "none")
    assert nowhere.returncode != 0 and str(folder / "none") in nowhere.stderr
    assert not (folder / "none").exists()


def test_sigterm_ends_server_and_clusters_in_time_and_a_start_brings_them_back(deploy):
    deployment = deploy()
    cluster = deployment.new_cluster("shop")
    with clients.connect(cluster) as connection:
        connection.execute("create table kept as select generate_series(1, 100) as i")
        # An open session must not hold the end up.
        begun = time.monotonic()
        assert deployment.server.stop() == 0
    assert time.monotonic() - begun < 10
    assert running.processes_within(deployment.server.data) == []
    deployment.server.start()
    again = clients.wait_cluster(deployment.rds(), "shop")
    assert (again["Endpoint"], again["Port"]) == (cluster["Endpoint"], cluster["Port"])

    def answers():
        try:
            with clients.connect(again) as connection:
                return connection.execute("select count(*) from kept").fetchone()
        except psycopg.OperationalError:
            return None

    assert running.wait_until(answers, 60, "the cluster takes connections again") == (100,)
