"""TLS of clusters: what psql verifies, what is refused, and certificates that are renewed."""
import os
import pathlib
import re
import subprocess

import psycopg
import pytest

import clients
from clients import PASSWORD, USER
from snapferry_tools import running


@pytest.fixture(scope="module")
def authority(closed, tmp_path_factory):
    """The file with the shared deployment's authority."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    file.write_text(closed.server.run("ca", "export"), encoding="utf-8")
    return file


def psql(cluster, **options):
    """A session of psql: what the server says of its TLS, or why there is none."""
    words = {"host": cluster["Endpoint"], "port": cluster["Port"], "user": USER, "dbname": "postgres"} | options
    done = subprocess.run(
        ["psql", "-XAtc", "select version from pg_stat_ssl where pid = pg_backend_pid()",
         " ".join(f"{name}={value}" for name, value in words.items())],
        env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return (done.stdout or done.stderr).strip()


def shown(cluster, port=None):
    """The certificate that a cluster shows, as openssl prints it."""
    where = f"{cluster['Endpoint']}:{port or cluster['Port']}"
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "postgres", "-connect", where],
        input="", capture_output=True, text=True, timeout=30, check=False,
    )
    return re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", done.stdout, re.DOTALL).group()


def test_psql_verifies_the_cluster_by_its_address(plain, authority):
    for mode in ("require", "verify-ca", "verify-full"):
        assert psql(plain, sslmode=mode, sslrootcert=authority) == "TLSv1.3", mode
    other_name = psql(plain, sslmode="verify-full", sslrootcert=authority, host="localhost", hostaddr=plain["Endpoint"])
    assert 'does not match host name "localhost"' in other_name


def test_another_deployments_authority_is_refused(plain, dev, tmp_path):
    other = tmp_path / "other.pem"
    other.write_text(dev.server.run("ca", "export"), encoding="utf-8")
    assert "certificate verify failed" in psql(plain, sslmode="verify-full", sslrootcert=other)


def test_clients_without_tls_are_refused_unless_it_is_dev(plain, dev):
    assert "no encryption" in psql(plain, sslmode="disable")
    loose = dev.new_cluster(clients.unique("loose"))
    assert psql(loose, sslmode="disable") == ""
    assert psql(loose, sslmode="require") == "TLSv1.3"


def test_the_key_is_the_servers_user_alone(closed, plain):
    keys = list(closed.server.data.glob(f"clusters/{plain['DbClusterResourceId']}/*/conf/server.key"))
    assert len(keys) == 1
    facts = keys[0].stat()
    assert facts.st_mode & 0o037 == 0 and "PRIVATE KEY" in keys[0].read_text(encoding="utf-8")
    if os.geteuid() == 0:
        assert facts.st_uid == 0 and facts.st_gid != 0 and not (keys[0].parent.stat().st_mode & 0o022)


def test_a_certificate_is_renewed_under_a_running_server(closed, authority):
    cluster = closed.new_cluster(clients.unique("renewed"))
    before = shown(cluster)
    (file,) = closed.server.data.glob(f"clusters/{cluster['DbClusterResourceId']}/*/conf/server.crt")
    head, _, rest = file.read_text(encoding="utf-8").partition("\n")
    with clients.connect(cluster) as connection:
        # Its end has come near.
        file.write_text(re.sub(r"\d+$", "1000000000", head) + "\n" + rest, encoding="utf-8")
        running.wait_until(lambda: shown(cluster) != before, 60, "the server shows another certificate")
        assert connection.execute("select 1").fetchone() == (1,)
    assert psql(cluster, sslmode="verify-full", sslrootcert=authority) == "TLSv1.3"


def test_a_certificate_that_is_given(deploy, tmp_path):
    key, certificate = tmp_path / "given.key", tmp_path / "given.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=db.example.net",
         "-addext", "subjectAltName=DNS:db.example.net", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    deployment = deploy("--cluster-tls-certificate", certificate, "--cluster-tls-key", key, "--cluster-force-tls=false")
    cluster = deployment.new_cluster("given")
    verified = {"sslmode": "verify-full", "sslrootcert": certificate, "hostaddr": cluster["Endpoint"]}
    assert psql(cluster, host="db.example.net", **verified) == "TLSv1.3"
    assert psql(cluster, sslmode="disable") == ""
    assert shown(cluster) in pathlib.Path(certificate).read_text(encoding="utf-8")


def test_half_a_certificate_is_refused(binary, tmp_path):
    done = subprocess.run(
        [binary, "serve", "--data", tmp_path / "d", "--cluster-tls-key", "x"],
        capture_output=True, text=True, timeout=20, check=False,
    )
    assert done.returncode != 0 and "--cluster-tls-certificate and --cluster-tls-key go together" in done.stderr


def test_psycopg_prefers_tls(plain):
    with clients.connect(plain) as connection:
        assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(host=plain["Endpoint"], port=plain["Port"], user=USER, password=PASSWORD, dbname="postgres",
                        sslmode="disable")
