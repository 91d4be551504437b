"""Servers for the client tests: on free ports, with folders of their own, gone afterwards."""
import contextlib
import os
import pathlib
import signal

import pytest

import clients
from snapferry_tools import running

for name in [name for name in os.environ if running.FOREIGN.match(name)]:
    del os.environ[name]
os.environ |= {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_PAGER": "",
}

pytest_plugins = ["whole_run"]

# The files that take longest begin first, the longest before all, so that of several processes none is left alone with
# one at the end.
LONG_FILES = (
    "test_kills.py", "test_points_in_time.py", "test_aws_cli.py", "test_rebuild.py", "test_demo.py", "test_nodes.py",
    "test_backup.py", "test_isolation.py", "test_processes.py", "test_mysql.py", "test_verify.py", "test_tagging.py",
    "test_sts.py", "test_regions.py", "test_webhooks.py",
)

# What must be free in memory where a test's folders are to lie there: room for those of a whole run.
MEMORY_BYTES_MIN = 8 << 30

# The shared deployment, where the session keeps it, and the snapshots that stay in it.
SHARED = pytest.StashKey()
KEPT = ("plain-snapshot", "sealed-snapshot")


def pytest_addoption(parser):
    """The binary under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", running.ROOT / "target"))
    parser.addoption("--snapferry", default=str(target / "debug" / "snapferry"), help="the binary under test")


def pytest_configure(config):
    """A test run that is told to end still stops its servers."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        running.remove_left()
    # Long tests write more than they tell beforehand.
    if config.option.markexpr == "not long":
        running.MEMORY_BYTES_MIN = MEMORY_BYTES_MIN
    if not config.option.collectonly and not os.access(config.getoption("--snapferry"), os.X_OK):
        raise pytest.UsageError(f"{config.getoption('--snapferry')} is missing; run: cargo build -p snapferry")


def pytest_collection_modifyitems(items):
    """Puts the long files first, each in its own order."""
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def binary(request):
    """The binary under test, also for those who run it in another folder."""
    return os.path.abspath(request.config.getoption("--snapferry"))


@pytest.fixture(scope="session")
def templates():
    """What all deployments copy their clusters from: the first cluster's initdb is the last one."""
    folder = running.make_folder("snapferry-test-templates-")
    folder.chmod(0o700)
    yield folder
    running.remove_folder(folder)


@contextlib.contextmanager
def _deployments(binary, templates):
    """A function that makes deployments; they are ended with the context."""
    made = []
    folders = []

    def make(*flags, start=True, environment=None):
        folder = running.make_folder("snapferry-test-")
        folders.append(folder)
        if os.geteuid() != 0 and "--dev" not in flags:
            flags.append("--allow-shared-os-user")
        server = running.Server(binary, folder / "data", *flags, environment=environment)
        made.append(server)
        if start:
            server.start()
            (server.data / "templates").symlink_to(templates)
        return clients.Deployment(server, dev="--dev" in flags)

    try:
        yield make
    finally:
        for server in made:
            server.stop()
        for folder in folders:
            running.remove_folder(folder)


@pytest.fixture
def deploy(binary, templates):
    """Makes deployments for one test: `deploy("--flag", …)`."""
    with _deployments(binary, templates) as make:
        yield make


@pytest.fixture(scope="module")
def deploy_for_module(binary, templates):
    """Makes deployments for the tests of one file."""
    with _deployments(binary, templates) as make:
        yield make


@pytest.fixture(scope="session")
def closed(binary, templates, request):
    """The deployment that most tests share: closed mode, signatures verified."""
    with _deployments(binary, templates) as make:
        request.session.stash[SHARED] = make()
        yield request.session.stash[SHARED]


@pytest.fixture(scope="session")
def dev(binary, templates):
    """A deployment in dev mode."""
    with _deployments(binary, templates) as make:
        yield make("--dev")


@pytest.fixture(scope="session")
def key(closed):
    """A key of the owner in the home region, which `sealed` is under."""
    return closed.new_key(Description="sealed clusters")


@pytest.fixture(scope="session")
def other_key(closed):
    """Another key of the owner in the home region."""
    return closed.new_key(Description="copies")


@pytest.fixture(scope="session")
def far_key(closed):
    """A key of the owner in the far region."""
    return closed.new_key(clients.FAR, Description="far copies")


def _cluster_with_rows(deployment, name, **more):
    cluster = deployment.new_cluster(name, **more)
    with clients.connect(cluster) as connection:
        connection.execute("create table goods as select i, md5(i::text) as name from generate_series(1, 2000) i")
    return cluster


@pytest.fixture(scope="session")
def plain(closed):
    """A small cluster that is not encrypted, with a table `goods`."""
    return _cluster_with_rows(closed, "plain")


@pytest.fixture(scope="session")
def sealed(closed, key):
    """A small encrypted cluster with a table `goods`."""
    return _cluster_with_rows(closed, "sealed", StorageEncrypted=True, KmsKeyId=key)


@pytest.fixture(scope="session")
def plain_snapshot(closed, plain):
    """A snapshot of `plain`. Tests leave it as it is."""
    return closed.new_snapshot("plain-snapshot", "plain")


@pytest.fixture(scope="session")
def sealed_snapshot(closed, sealed):
    """A snapshot of `sealed`. Tests leave it as it is."""
    return closed.new_snapshot("sealed-snapshot", "sealed")


@pytest.fixture(autouse=True, scope="module")
def tidy(request):
    """After each file, removes what its tests left in the shared deployment, for the quota's sake."""
    yield
    shared = request.session.stash.get(SHARED, None)
    for region in (clients.HOME, clients.FAR, clients.THIRD) if shared and shared.server.is_running else ():
        rds = shared.rds(region)
        for snapshot in rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]:
            name = snapshot["DBClusterSnapshotIdentifier"]
            if snapshot["Status"] == "available" and name not in KEPT and not name.startswith("rds:"):
                rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=name)
