"""Time from exec to the first HTTP answer, and idle resident memory, of the release binary.

The aims stand beside the figures; missing one is shown, not an error, since machines differ.
"""
import argparse
import http.client
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time

import running

START_MS_MAX, IDLE_MIB_MAX = 50, 30
IDLE_SECONDS = 2


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_answer(process, port):
    """Polls until the first HTTP answer arrives."""
    end = time.monotonic() + running.START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status
        except OSError:
            time.sleep(0.0005)
        finally:
            connection.close()
    raise running.StartError("snapferry serve did not answer")


def measure(binary, data):
    """One start: milliseconds to the first answer, and MiB resident when idle."""
    port = free_port()
    command = [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", data]
    begun = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=running.clean_environment(),
    ) as process:
        try:
            status = first_answer(process, port)
            start_ms = (time.monotonic() - begun) * 1000
            if status != 200:
                raise running.StartError(f"GET /healthz answered {status}")
            time.sleep(IDLE_SECONDS)
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            return start_ms, int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) / 1024
        finally:
            process.terminate()


def main():
    """Prints the medians and the range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    folder = running.make_folder("snapferry-bench-")
    try:
        measure(options.binary, folder / "data")  # the first start makes keys and the catalog
        rounds = [measure(options.binary, folder / "data") for _ in range(options.rounds)]
    finally:
        running.remove_folder(folder)
    for name, unit, aim, values in (
        ("exec to first answer", "ms", START_MS_MAX, [start for start, _ in rounds]),
        ("resident when idle", "MiB", IDLE_MIB_MAX, [idle for _, idle in rounds]),
    ):
        median = statistics.median(values)
        verdict = "met" if median <= aim else "MISSED"
        print(
            f"{name:<22} median {median:6.1f} {unit}  ({min(values):.1f} to {max(values):.1f},"
            f" {len(values)} starts)  aim {aim} {unit}: {verdict}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
