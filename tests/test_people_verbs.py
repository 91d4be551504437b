"""Verbs for people: completions, pages for `man`, sessions on clusters, events, jobs, keys, logins, and the doctor."""
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import termios
import time

import jsonschema
import pytest

import clients
from clients import FAR, HOME, PASSWORD, unique
from snapferry_tools import running

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = json.loads((ROOT / "docs/reference/cli.schema.json").read_text(encoding="utf-8"))["$defs"]


def run(binary, *words, environment, text=None, status=0):
    """Runs a verb to its end; returns its output."""
    ended = subprocess.run(
        [binary, *words], check=False, capture_output=True, text=True, timeout=120, env=environment, input=text,
    )
    assert ended.returncode == status, (words, ended.stdout, ended.stderr)
    return ended.stdout if status == 0 else ended.stdout + ended.stderr


def published(verb, text):
    """The JSON that a verb printed, as its schema says it is."""
    schema = SCHEMAS[verb]
    values = [json.loads(line) for line in text.splitlines()] if schema["x-lines"] else [json.loads(text)]
    for value in values:
        jsonschema.validate(value, schema)
    return values if schema["x-lines"] else values[0]


def read_until(leader, wanted):
    """What a terminal shows until it has shown that."""
    shown = ""
    deadline = time.monotonic() + 60
    while wanted not in shown:
        assert time.monotonic() < deadline, shown
        if select.select([leader], [], [], 0.2)[0]:
            try:
                shown += os.read(leader, 1 << 16).decode()
            except OSError:
                break
    assert wanted in shown, shown
    return shown


def until_hidden(leader):
    """Waits until a terminal does not show what is typed, which begins after the question is shown."""
    running.wait_until(lambda: not termios.tcgetattr(leader)[3] & termios.ECHO, 60, "the terminal hides what is typed", every=0.02)


def completed(binary, *words, environment):
    """What a bash that has the script offers for the last word."""
    script = (
        f"PATH={pathlib.Path(binary).parent}:$PATH; source <(snapferry completion bash); "
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _clap_complete_snapferry "$1" "${!#}" ""; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "-c", script, "bash", "snapferry", *words]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment | {"COMP_TYPE": "9"})
    assert ended.stderr == "", ended.stderr
    return [line.strip() for line in ended.stdout.splitlines() if line.strip()]


def test_a_shell_completes_commands_and_names(closed, plain_snapshot, binary):
    environment, name = closed.environment(), plain_snapshot["DBClusterSnapshotIdentifier"]
    for shell in ("bash", "zsh", "fish"):
        assert "snapferry" in run(binary, "completion", shell, environment=environment)
    script = run(binary, "completion", "bash", environment=environment)
    subprocess.run(["bash", "-n"], input=script, check=True, text=True)
    assert {"snapshot"} == set(completed(binary, "snaps", environment=environment))
    assert "--limit" in completed(binary, "snapshot", "diff", "--li", environment=environment)
    assert completed(binary, "snapshot", "show", name[:8], environment=environment) == [name]
    assert "plain" in completed(binary, "cluster", "connect", "pl", environment=environment)
    # The line's own flags are heard, and whoever does not answer is not waited for.
    far = completed(binary, "snapshot", "--region", FAR, "show", name[:8], environment=environment)
    assert name not in far
    nobody = environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    assert completed(binary, "snapshot", "show", name[:8], environment=nobody) == []
    assert completed(binary, "snapshot", "show", "x", environment=running.clean_environment(HOME="/nonexistent")) == []


def test_each_command_has_a_page_that_reads(binary, tmp_path):
    run(binary, "man", str(tmp_path / "man1"), environment=running.clean_environment())
    pages = {page.name: page for page in (tmp_path / "man1").iterdir()}
    assert {"snapferry.1", "snapferry-snapshot-diff.1", "snapferry-doctor.1"} <= set(pages)
    assert not any("reference" in name for name in pages)
    text = pages["snapferry-snapshot-diff.1"].read_text(encoding="utf-8")
    assert ".SH EXAMPLES" in text and ".SH \"EXIT STATUS\"" in text and "damage was found" in text
    if not shutil.which("man"):
        return
    for name in ("snapferry.1", "snapferry-serve.1", "snapferry-snapshot-diff.1"):
        command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", pages[name]]
        read = subprocess.run(command, check=True, capture_output=True, env=running.clean_environment(MANROFFSEQ="", MANWIDTH="80"))
        assert read.stderr == b"", (name, read.stderr)
    shown = subprocess.run(["man", "-P", "cat", "-l", pages["snapferry-snapshot-diff.1"]], check=True, capture_output=True, text=True).stdout
    assert "EXIT STATUS" in shown and "EXAMPLES" in shown and "damage was found" in shown


def test_the_exit_statuses_are_one_table(binary):
    told = run(binary, "--help", environment=running.clean_environment())
    reference = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in reference.splitlines() if line.startswith("| ") and line.split("|")[1].strip().isdigit()]
    assert len(rows) == 11
    for number, meaning in rows:
        assert f"{number.strip():>3}  {meaning.strip()}" in told


def test_events_are_listed_and_followed(closed, plain, binary):
    environment = closed.environment()
    name = unique("told")
    closed.new_snapshot(name, plain["DBClusterIdentifier"])
    rows = published("events", run(binary, "events", "--source", name, "--json", environment=environment))
    assert {row["SourceIdentifier"] for row in rows} == {name}
    command = [binary, "events", "--follow", "--minutes", "1", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as follower:
        later = unique("told")
        closed.new_snapshot(later, plain["DBClusterIdentifier"])
        seen = []
        while not any(later in line for line in seen):
            seen.append(follower.stdout.readline())
        assert len(set(seen)) == len(seen), "each event is told once"
        published("events --follow", "".join(seen))
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130


def test_a_session_is_opened_by_the_databases_own_client(closed, plain, binary, tmp_path):
    environment, name = closed.environment(), plain["DBClusterIdentifier"]
    query = "select current_user || ' ' || current_database() || ' ' || ssl from pg_stat_ssl where pid = pg_backend_pid()"
    connect = ("cluster", "connect", name, "--", "-Atc", query)
    given = environment | {"PGPASSWORD": PASSWORD}
    assert run(binary, *connect, environment=given) == f"{clients.USER} {clients.DATABASE} true\n"
    # Another authority's word is not taken.
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=other", "-keyout", tmp_path / "key.pem", "-out", other],
        check=True, capture_output=True,
    )
    wrong = run(binary, "cluster", "connect", name, "--ca", str(other), "--", "-Atc", query, environment=given, status=2)
    assert "certificate verify failed" in wrong
    assert "psql was not found" in run(binary, *connect, environment=given | {"PATH": str(tmp_path)}, status=1)
    assert "not found" in run(binary, "cluster", "connect", "no-such-cluster", environment=given, status=5)
    # A password that RDS keeps is handed over, and is in no argument and no variable.
    managed = closed.new_cluster(unique("managed"), MasterUserPassword=None, ManageMasterUserPassword=True)
    secret = json.loads(
        closed.client("secretsmanager").get_secret_value(SecretId=managed["MasterUserSecret"]["SecretArn"])["SecretString"]
    )["password"]
    told = run(
        binary, "cluster", "connect", managed["DBClusterIdentifier"], "--", "-At", "-c", "select 1",
        "-c", "\\! tr '\\0' '\\n' < /proc/$PPID/environ; tr '\\0' ' ' < /proc/$PPID/cmdline", environment=environment,
    )
    assert told.startswith("1\n") and "PGPASSFILE" in told and secret not in told


def test_jobs_are_watched_to_their_end(deploy, binary):
    deployment = deploy("--cross-region-bytes-per-second", "1500000", "--no-automated-backups")
    deployment.noise(4, "source")
    data = ("--data", str(deployment.server.data))
    environment = running.clean_environment()
    assert run(binary, "job", "watch", *data, "--json", environment=environment) == ""
    assert "no open job nothing" in run(binary, "job", "watch", "nothing", *data, environment=environment, status=5)
    far = deployment.rds(FAR)
    arn = clients.snapshot_of(deployment.rds(), "source-snapshot")["DBClusterSnapshotArn"]
    far.copy_db_cluster_snapshot(**clients.copy_request(arn, "watched", SourceRegion=HOME))
    timed_out = run(binary, "job", "watch", "watched", "--timeout", "0", *data, environment=environment, status=124)
    assert "snapferry job watch watched" in timed_out
    leader, follower = pty.openpty()
    with subprocess.Popen([binary, "job", "watch", *data], env=environment, stdout=subprocess.PIPE, stderr=follower) as watching:
        os.close(follower)
        shown = read_until(leader, "/s")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
    os.close(leader)
    assert "copy" in shown and "watched" in shown and "MiB" in shown
    lines = published("job watch", run(binary, "job", "watch", "watched", *data, "--json", environment=environment))
    assert [line["type"] for line in lines] == ["progress"] * (len(lines) - 1) + ["result"]
    assert (lines[-1]["state"], lines[-1]["subject"]) == ("done", "watched")
    assert all(line["bytes_total"] > 1 << 20 for line in lines[1:-1])
    rows = published("job list", run(binary, "job", "list", *data, "--json", environment=environment))
    assert "watched" in {row["subject"] for row in rows}
    clients.wait_snapshot(far, "watched")


def test_what_a_key_is_needed_for_is_told(closed, key, sealed, sealed_snapshot, binary):
    environment = closed.environment()
    found = published("key why", run(binary, "key", "why", key, "--json", environment=environment))
    assert (found["key"]["arn"], found["key"]["state"]) == (key, "Enabled")
    assert sealed_snapshot["DBClusterSnapshotArn"] in {row["arn"] for row in found["snapshots"]}
    assert sealed["DBClusterArn"] in {row["arn"] for row in found["clusters"]}
    told = run(binary, "key", "why", key.rpartition("/")[2], environment=environment)
    assert "cannot be read" in told and sealed_snapshot["DBClusterSnapshotIdentifier"] in told
    unused = closed.new_key()
    assert "Nothing of this account" in run(binary, "key", "why", unused, environment=environment)
    run(binary, "key", "why", "alias/no-such", environment=environment, status=5)


def test_a_login_is_tried_kept_and_used(closed, binary, tmp_path):
    identity, secret = closed.credentials()
    bare = running.clean_environment(HOME=str(tmp_path), AWS_REGION=HOME)
    bare = {name: value for name, value in bare.items() if name not in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")}
    login = ("login", "--endpoint", closed.server.url)
    kept = tmp_path / ".config/snapferry/credentials"
    run(binary, *login, environment=bare, text=f"{identity}\nwrong\n", status=4)
    run(binary, *login, environment=bare, text="\n", status=4)
    assert not kept.exists()
    assert clients.OWNER in run(binary, *login, environment=bare, text=f"{identity}\n{secret}\n")
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    listed = published("snapshot list", run(binary, "snapshot", "list", "--json", environment=bare))
    assert isinstance(listed, list)
    # On a terminal it asks, and does not show the secret.
    kept.unlink()
    pid, leader = pty.fork()
    if pid == 0:
        os.execve(binary, [binary, *login, "--profile", "other"], bare)
    shown = read_until(leader, "Access key id")
    os.write(leader, f"{identity}\n".encode())
    shown += read_until(leader, "Secret access key")
    until_hidden(leader)
    os.write(leader, f"{secret}\n".encode())
    shown += read_until(leader, "logged in")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(leader)
    assert secret not in shown
    run(binary, "snapshot", "list", environment=bare, status=4)
    run(binary, "snapshot", "list", "--profile", "other", environment=bare)


def test_the_doctor_names_what_is_wrong_and_the_remedy(deploy, binary, tmp_path):
    deployment = deploy("--no-automated-backups")
    deployment.new_cluster("patient")
    deployment.new_snapshot("patient-1", "patient")
    environment = running.clean_environment()

    def look(*words, status=0, data=deployment.server.data, **more):
        listen = more.pop("listen", f"listen = \"127.0.0.1:{deployment.server.port}\"\n")
        settings = tmp_path / "settings.toml"
        settings.write_text(listen, encoding="utf-8")
        command = ("doctor", "--config", str(settings), "--data", str(data), "--json", *words)
        ended = subprocess.run(
            [binary, *command], check=False, capture_output=True, text=True, timeout=120, env=environment | more,
        )
        assert ended.returncode == status, (ended.stdout, ended.stderr)
        report = published("doctor", ended.stdout)
        assert report["ok"] == (status == 0)
        return {row["check"]: row for row in report["checks"] if row["state"] == "failed"}, report["checks"]

    failed, all_checks = look()
    assert failed == {}
    names = {row["check"] for row in all_checks}
    assert {"data folder", "address", "engines", "disk", "catalog", "clock", "master key", "vault", "open files"} <= names
    text = run(
        binary, "doctor", "--data", str(deployment.server.data), "--config", str(tmp_path / "settings.toml"),
        environment=environment,
    )
    assert text.startswith("STATE") and "has the data folder" in text
    # Each of what is wrong is told with what to do.
    failed, _ = look(status=3, SNAPFERRY_MASTER_KEY="00" * 32)
    assert set(failed) == {"master key"} and failed["master key"]["remedy"]
    failed, _ = look("--dev", status=3)
    assert "data folder" in failed
    deployment.server.stop()
    assert look()[0] == {}
    credentials = deployment.server.data / "credentials"
    credentials.chmod(0o644)
    failed, _ = look(status=3)
    assert "credentials" in failed and failed["credentials"]["remedy"]
    credentials.chmod(0o600)
    failed, _ = look(status=3, listen='listen = "192.0.2.1:8085"\n')
    assert "address" in failed
    failed, _ = look(status=3, SNAPFERRY_ENGINE_BIN=str(tmp_path))
    assert {"engines"} == set(failed) and "install it with" in failed["engines"]["remedy"]
    _, all_checks = look(data=tmp_path / "none")
    assert {"catalog", "vault"}.isdisjoint(row["check"] for row in all_checks)
    assert not (tmp_path / "none").exists(), "it changes nothing"


def test_what_lists_print_has_its_published_schema(closed, plain_snapshot, sealed_snapshot, binary):
    environment = closed.environment()
    name = plain_snapshot["DBClusterSnapshotIdentifier"]
    for verb, words in (
        ("cluster list", ()), ("snapshot list", ()), ("snapshot show", (name,)), ("snapshot cost", ()),
        ("snapshot diff", (name, name)), ("snapshot wait", (name,)),
    ):
        published(verb, run(binary, *verb.split(), *words, "--json", environment=environment))
    copied = run(binary, "snapshot", "copy", name, unique("copy"), "--to", FAR, "--json", environment=environment)
    assert published("snapshot copy", copied)[-1]["type"] == "result"
    with pytest.raises(jsonschema.ValidationError):
        published("cluster list", '[{"cluster": 1}]')
