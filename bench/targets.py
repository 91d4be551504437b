"""What `make bench` is to reach, and whether a run reached it: ratios within that run wherever there is a peer."""

FIRST, NEXT, REKEY = "first snapshot", "next snapshot, 1 % of pages changed", "copy under a new key"
REKEY_SMALL = "copy under a new key, of a small snapshot"
SHIP, SHIP_NEXT = "copy to another region, nothing there", "copy to another region after 1 %"
RESTORE, VERIFY = "restore", "verify all stored bytes"
WORKS = [FIRST, NEXT, REKEY, REKEY_SMALL, SHIP, SHIP_NEXT, RESTORE, VERIFY]
OURS, PEER = "Snapferry", "pgBackRest"
# Peers that a target names: they take part in every round.
JUDGED = ("cp", "pgBackRest")
# Plaintext at the speed of one core through AES, zstd and BLAKE3, bytes a second: verifying's limit is computed from it.
VERIFY_BYTES_A_SECOND = 2.0e9


def verdicts(middle, data_bytes):
    """Rows of (target, seen, limit, verdict) from {(work, who): {figure: median}}."""
    def of(work, who, figure):
        return (middle.get((work, who)) or {}).get(figure)

    def ratio(work, figure, peer=PEER):
        return divided(of(work, OURS, figure), of(work, peer, figure))

    def speed(who):
        return divided(of(SHIP, who, "shipped MB"), of(SHIP, who, "wall s"))

    kept, shipped = of(NEXT, OURS, "kept MB"), of(SHIP_NEXT, OURS, "shipped MB")
    limit = data_bytes / VERIFY_BYTES_A_SECOND
    rows = [
        ("first snapshot: CPU of pgBackRest's", ratio(FIRST, "CPU s"), 0.7, at_most),
        ("first snapshot: wall of pgBackRest's", ratio(FIRST, "wall s"), 0.6, at_most),
        ("next snapshot: CPU of pgBackRest's", ratio(NEXT, "CPU s"), 0.4, at_most),
        ("next snapshot: MB kept, with the log that goes along", kept, 5.0, at_most),
        (
            "copy under a new key: wall of a small snapshot's",
            divided(of(REKEY, OURS, "wall s"), of(REKEY_SMALL, OURS, "wall s")),
            1.2,
            at_most,
        ),
        ("copy to another region: bytes a second of cp's with a sync", divided(speed(OURS), speed("cp")), 0.9, at_least),
        ("copy to another region after 1 %: shipped of what the snapshot stored", divided(shipped, kept), 1.2, at_most),
        ("restore: CPU of pgBackRest's", ratio(RESTORE, "CPU s"), 0.7, at_most),
        ("restore: wall of pgBackRest's", ratio(RESTORE, "wall s"), 0.7, at_most),
        ("verify to plaintext: CPU of the computed limit", divided(of(VERIFY, OURS, "CPU s"), limit), 2.0, at_most),
    ]
    return [(text, seen, bound, verdict(seen, bound, holds)) for text, seen, bound, holds in rows]


def verdict(seen, bound, holds):
    """In a word; without a figure there is none."""
    if seen is None:
        return "not measured"
    return "reached" if holds(seen, bound) else "**missed**"


def at_most(seen, bound):
    """For costs."""
    return seen <= bound


def at_least(seen, bound):
    """For speeds."""
    return seen >= bound


def divided(a, b):
    """None where there is nothing to divide."""
    return a / b if a is not None and b else None
