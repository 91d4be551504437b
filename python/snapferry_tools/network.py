"""Two places for deployments and the link between them: network namespaces, or loopback with relays.

Knows addresses and processes, nothing of what runs there. In namespaces a cut link is an interface that is
down: what was under way hangs, as it does when a cable is pulled. On loopback the link is a relay that is
ended, and connections are refused.
"""
import os
import pathlib
import shutil
import socket
import subprocess
import sys

from snapferry_tools import running

BALANCER = pathlib.Path(__file__).with_name("balancer.py")
PORT = 8085


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_possible():
    """Whether this user may make network namespaces here."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    name = f"snapferry-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode != 0:
        return False
    return subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False).returncode == 0


class Balancers:
    """Balancer processes, ended together."""

    def __init__(self):
        self.processes = []

    def start(self, listen, targets, prefix=()):
        """Starts one; answers its process."""
        process = subprocess.Popen(
            [*prefix, sys.executable, str(BALANCER), listen, *targets],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=running.clean_environment(),
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def end(self, process):
        """Ends one."""
        process.kill()
        process.wait(10)
        self.processes.remove(process)

    def end_all(self):
        """Ends all."""
        for process in list(self.processes):
            self.end(process)


class Namespaces:
    """Two namespaces: a link between them, and a wire from each to this machine for callers and services.

    The machine does not forward between them: the link is the only way across.
    """

    kind = "network namespaces"

    def __init__(self):
        self.id = f"{os.getpid() % 0xFFFF:x}"
        self.names = [f"snapferry-{self.id}-{side}" for side in ("east", "west")]
        # A /24 of 198.18.0.0/15, which is for tests of networks and routed nowhere.
        self.net = f"198.18.{os.getpid() % 250 + 1}"
        self.service = f"{self.net}.1"
        self.balancers = Balancers()
        self.made = []

    def _ip(self, *words, namespace=None):
        prefix = ["ip", "-n", namespace] if namespace else ["ip"]
        subprocess.run([*prefix, *words], check=True, capture_output=True, text=True)

    def node(self, side, number):
        """The address that a node of a side listens on."""
        return f"{self._own(side)}:{PORT + 1 + number}"

    def front(self, side):
        """The address that callers of a side turn to; its nodes' clusters have the same host."""
        return f"{self._own(side)}:{PORT}"

    def peer(self, side):
        """The address by which the other side reaches a side over the link."""
        return f"{self.net}.{65 + side}:{PORT}"

    def hosts(self, side):
        """The names that a side's servers are called by."""
        return [self._own(side), self.peer(side).partition(":")[0]]

    def _own(self, side):
        return f"{self.net}.{18 + 16 * side}"

    def prefix(self, side):
        """What runs a program on a side."""
        return ["ip", "netns", "exec", self.names[side]]

    def up(self):
        """Makes all of it."""
        for side, name in enumerate(self.names):
            self._ip("netns", "add", name)
            self.made.append(name)
            outer, inner = f"sf{self.id}{side}o", f"sf{self.id}{side}i"
            self._ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            self._ip("link", "set", inner, "netns", name)
            gateway = f"{self.net}.{17 + 16 * side}"
            self._ip("address", "add", f"{gateway}/28", "dev", outer)
            self._ip("link", "set", outer, "up")
            self._ip("address", "add", f"{self._own(side)}/28", "dev", inner, namespace=name)
            self._ip("link", "set", inner, "up", namespace=name)
            self._ip("link", "set", "lo", "up", namespace=name)
            self._ip("route", "add", f"{self.service}/32", "via", gateway, namespace=name)
            if side == 0:
                self._ip("address", "add", f"{self.service}/32", "dev", outer)
        ends = [f"sf{self.id}l{side}" for side in (0, 1)]
        self._ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for side, (end, name) in enumerate(zip(ends, self.names)):
            self._ip("link", "set", end, "netns", name)
            self._ip("link", "set", end, "name", "across", namespace=name)
            self._ip("address", "add", f"{self.net}.{65 + side}/28", "dev", "across", namespace=name)
            self._ip("link", "set", "across", "up", namespace=name)

    def balance(self, count):
        """Starts the balancers, each before `count` nodes."""
        for side in (0, 1):
            nodes = [self.node(side, number) for number in range(count)]
            for listen in (self.front(side), self.peer(side)):
                self.balancers.start(listen, nodes, self.prefix(side))

    def cut(self):
        """Cuts the link."""
        self._ip("link", "set", "across", "down", namespace=self.names[0])

    def heal(self):
        """Mends the link."""
        self._ip("link", "set", "across", "up", namespace=self.names[0])

    def down(self):
        """Ends the balancers and removes the namespaces; their interfaces go with them."""
        self.balancers.end_all()
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        self.made = []


class Loopback:
    """Both sides on this machine's loopback, the link a relay of its own for each direction."""

    kind = "loopback ports"
    service = "127.0.0.1"

    def __init__(self):
        self.ports = {}
        self.balancers = Balancers()
        self.links = []

    def _at(self, *what):
        return f"127.0.0.1:{self.ports.setdefault(what, free_port())}"

    def node(self, side, number):
        """As for namespaces."""
        return self._at("node", side, number)

    def front(self, side):
        """As for namespaces."""
        return self._at("front", side)

    def peer(self, side):
        """As for namespaces."""
        return self._at("peer", side)

    def hosts(self, side):
        """As for namespaces."""
        return ["127.0.0.1"]

    def prefix(self, side):
        """As for namespaces."""
        return []

    def up(self):
        """There is nothing to make."""

    def balance(self, count):
        """Starts the balancers, and the link."""
        for side in (0, 1):
            self.balancers.start(self.front(side), [self.node(side, number) for number in range(count)])
        self.heal()

    def cut(self):
        """Ends the link's relays."""
        while self.links:
            self.balancers.end(self.links.pop())

    def heal(self):
        """Starts them again."""
        if not self.links:
            self.links = [self.balancers.start(self.peer(side), [self.front(side)]) for side in (0, 1)]

    def down(self):
        """Ends the balancers."""
        self.balancers.end_all()
        self.links = []


class Machines:
    """A network namespace for each of some machines, which all reach one another and this one.

    One that is cut off reaches nobody, and nobody it: what was under way hangs, as it does when a cable is pulled.
    Callers and services are here, at `service`.
    """

    def __init__(self, names):
        self.id = f"{os.getpid() % 0xFFFF:x}"
        # The other half of 198.18.0.0/15.
        self.net = f"198.19.{os.getpid() % 250 + 1}"
        self.service = f"{self.net}.1"
        self.bridge = f"sf{self.id}b"
        self.numbers = {name: number for number, name in enumerate(names)}
        self.made = []

    def _ip(self, *words, namespace=None):
        prefix = ["ip", "-n", namespace] if namespace else ["ip"]
        subprocess.run([*prefix, *words], check=True, capture_output=True, text=True)

    def _namespace(self, name):
        return f"snapferry-{self.id}-{name}"

    def _wire(self, name):
        return f"sf{self.id}m{self.numbers[name]}"

    def host(self, name):
        """A machine's address."""
        return f"{self.net}.{16 + self.numbers[name]}"

    def prefix(self, name):
        """What runs a program on a machine."""
        return ["ip", "netns", "exec", self._namespace(name)]

    def up(self):
        """Makes all of it. Answers whether the machines reach one another: a firewall may not let them."""
        self._ip("link", "add", self.bridge, "type", "bridge")
        self._ip("address", "add", f"{self.service}/24", "dev", self.bridge)
        self._ip("link", "set", self.bridge, "up")
        for name in self.numbers:
            namespace, outer = self._namespace(name), self._wire(name)
            self._ip("netns", "add", namespace)
            self.made.append(namespace)
            self._ip("link", "add", outer, "type", "veth", "peer", "name", "net0", "netns", namespace)
            self._ip("link", "set", outer, "master", self.bridge, "up")
            self._ip("address", "add", f"{self.host(name)}/24", "dev", "net0", namespace=namespace)
            self._ip("link", "set", "net0", "up", namespace=namespace)
            self._ip("link", "set", "lo", "up", namespace=namespace)
        first, last = list(self.numbers)[0], list(self.numbers)[-1]
        return self._reaches(first, self.host(last)) and self._reaches(first, self.service)

    def _reaches(self, name, address):
        """Whether what is sent from a machine is answered: by a refusal, as nobody listens."""
        script = (
            "import socket, sys\n"
            "try:\n"
            "    socket.create_connection((sys.argv[1], 9), timeout=5).close()\n"
            "except ConnectionRefusedError:\n"
            "    pass\n"
        )
        words = [*self.prefix(name), sys.executable, "-c", script, address]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    def cut(self, name):
        """Cuts a machine off from all others."""
        self._ip("link", "set", self._wire(name), "down")

    def heal(self, name):
        """Joins it again."""
        self._ip("link", "set", self._wire(name), "up")

    def down(self):
        """Removes the namespaces and what joined them."""
        for namespace in self.made:
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)
        self.made = []
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)
