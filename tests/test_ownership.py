"""A vault belongs to one catalog; a server that would sweep another's bytes does not start."""
import shutil
import time

from test_serve import refuses

CATALOG = ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm")


def logged(deployment):
    """The names in the record log of the deployment's default region."""
    return {path.name for path in deployment.server.data.glob("vault/*/records/*")}


def bring_back(data, folder):
    """Puts the catalog's files of another folder in place."""
    for name in CATALOG:
        (data / name).unlink(missing_ok=True)
        if (folder / name).exists():
            shutil.copy2(folder / name, data / name)


def test_an_older_catalog_is_refused_until_told(binary, deploy, tmp_path):
    """What was made since the backup is in the vault; a server that does not know it would sweep it."""
    deployment = deploy()
    server = deployment.server
    server.stop()
    bring_back(tmp_path, server.data)
    server.start()
    before = logged(deployment)
    key = deployment.new_key()
    deadline = time.monotonic() + 10
    while logged(deployment) == before:
        assert time.monotonic() < deadline, "the key is not logged"
        time.sleep(0.05)
    time.sleep(0.5)
    server.stop()
    bring_back(server.data, tmp_path)
    words = ("--data", str(server.data), "--listen", "127.0.0.1:0")
    refuses(binary, *words, says=("does not know", "--accept-older-catalog"))
    server.flags = [*server.flags, "--accept-older-catalog"]
    server.start()
    assert key not in [found["KeyArn"] for found in deployment.kms().list_keys()["Keys"]]
    server.stop()
    server.flags = server.flags[:-1]
    server.start()


def test_another_catalog_is_refused(binary, deploy, tmp_path):
    """With the same master key too: a new catalog on a vault that has an owner."""
    deployment = deploy()
    server = deployment.server
    deployment.new_key()
    server.stop()
    bring_back(server.data, tmp_path)
    words = ("--data", str(server.data), "--listen", "127.0.0.1:0")
    refuses(binary, *words, says=("belongs to another catalog", "--vault"))
