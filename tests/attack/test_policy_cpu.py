"""A tenant whose key's policy is made of expensive patterns, and who asks for it without a pause."""
import json
import threading
import time

import clients
from clients import OWNER

CLIENTS, SECONDS = 4, 2


def test_a_policy_of_patterns_costs_nobody_else(deploy, watch):
    deployment = deploy()
    key = deployment.new_key()
    values = ["*" + "a" * 3_900 + "b"] * 4 + ["*" + "a" * 3_900 + "?b*"] * 4
    everything = {"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "kms:*", "Resource": "*"}
    costly = {
        "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*",
        "Condition": {"StringLike": {"kms:EncryptionContext:x": values}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything, costly]})
    deployment.kms().put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    spent = []

    def ask(until):
        kms = deployment.kms()
        while time.monotonic() < until:
            begun = time.monotonic()
            clients.refused("AccessDeniedException", kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"x": "a" * 8_000})
            spent.append(time.monotonic() - begun)

    with watch(deployment) as seen:
        until = time.monotonic() + SECONDS
        callers = [threading.Thread(target=ask, args=[until]) for _ in range(CLIENTS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    # One such question took 0.15 s, and four of them at once held up everybody for a second.
    assert sorted(seen.seconds)[len(seen.seconds) // 2] < 0.25 and not seen.refusals, seen.told()
    assert sorted(spent)[len(spent) // 2] < 0.1, f"{len(spent)} questions, the usual one {sorted(spent)[len(spent) // 2]:.3f} s"
