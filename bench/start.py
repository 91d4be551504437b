"""Time from exec to the first HTTP answer, and idle resident memory, of the release binary.

The aims stand beside the figures; missing one is shown, not an error, since machines differ. The line in the
README that tells of them is written anew with the report.
"""
import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import time

import machine
from snapferry_tools import running

START_MS_MAX, IDLE_MIB_MAX = 20, 15
# What the README says of this bench.
README_LINE = re.compile(r"(?m)^(\| `make bench-start` \| time from exec to the first answer, and idle memory: ).*( \|)$")
IDLE_SECONDS = 10


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
    """One start: milliseconds to the first answer, and MiB when idle: resident, and of it not the binary's file."""
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
            return start_ms, machine.memory_mib(process.pid), machine.memory_mib(process.pid, "RssAnon")
        finally:
            process.terminate()


def write_readme(start_ms, idle_mib):
    """Puts the figures into the README's table."""
    path = running.ROOT / "README.md"
    said = f"\\g<1>{start_ms:.0f} ms and {idle_mib:.0f} MiB on {os.cpu_count()} cores\\2"
    text, count = README_LINE.subn(said, path.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit("README.md has no line for make bench-start")
    path.write_text(text, encoding="utf-8")


def main():
    """Prints the medians and the range; writes the report and the README's line."""
    parser = machine.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    described = machine.describe()
    folder = running.make_folder("snapferry-bench-")
    try:
        measure(options.binary, folder / "data")  # the first start makes keys and the catalog
        rounds = [measure(options.binary, folder / "data") for _ in range(options.rounds)]
    finally:
        running.remove_folder(folder)
    starts, idles, own = zip(*rounds)
    rows = []
    for name, unit, aim, values in (
        ("exec to first answer", "ms", START_MS_MAX, starts),
        ("resident when idle", "MiB", IDLE_MIB_MAX, idles),
        ("of it not the binary's own file", "MiB", None, own),
    ):
        median = statistics.median(values)
        verdict = "" if aim is None else f"{aim}: {'met' if median <= aim else 'missed'}"
        rows.append([f"{name}, {unit}", f"{median:.1f}", f"{min(values):.1f} to {max(values):.1f}", verdict])
    lines = [
        "# Start and idle memory",
        "",
        f"Made by `make bench-start`. {described}.",
        "",
        f"Median of {options.rounds} starts on a data folder that exists; idle is {IDLE_SECONDS} s later.",
        "",
        machine.markdown(["", "median", "range", "aim"], rows),
        "",
        "The binary's pages are shared with every other process that runs it, and the system takes them back when it "
        "needs memory. The allocator asks for no huge pages: with them a hundred small allocations keep megabytes.",
    ]
    machine.publish(lines, options.report)
    if options.report:
        write_readme(statistics.median(starts), statistics.median(idles))
    return 0


if __name__ == "__main__":
    sys.exit(main())
