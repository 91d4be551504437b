"""Keys that are pairs, and HMAC keys: what they sign is verified by an independent implementation, and the other way round.

Sources: Sign, Verify, GetPublicKey, GenerateMac, VerifyMac (KMS API reference), "Key spec reference" (KMS Developer Guide).
"""
import hashlib
import hmac
import re

import cryptography.exceptions
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

import clients
from clients import FAR, HOME, PARTNER, copy_request, refused, unique

MESSAGE = b"received with thanks: 12 crates"
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
RSA_SIGNS = [f"RSASSA_{way}_SHA_{size}" for way in ("PKCS1_V1_5", "PSS") for size in HASHES]
# Spec, algorithms, and what the library calls the key.
SIGNERS = {
    "RSA_2048": (RSA_SIGNS, 2048),
    "ECC_NIST_P256": (["ECDSA_SHA_256"], "secp256r1"),
    "ECC_NIST_P384": (["ECDSA_SHA_384"], "secp384r1"),
    "ECC_NIST_P521": (["ECDSA_SHA_512"], "secp521r1"),
    "ECC_SECG_P256K1": (["ECDSA_SHA_256"], "secp256k1"),
    "ECC_NIST_EDWARDS25519": (["ED25519_SHA_512"], None),
}
MACS = {"224": 28, "256": 32, "384": 48, "512": 64}


@pytest.fixture(scope="module")
def kms(closed):
    """The owner's client."""
    return closed.kms()


@pytest.fixture(scope="module")
def keys(closed):
    """A key of each signing spec, and one of RSA for encryption: by spec, and "encrypt"."""
    made = {spec: closed.new_key(KeySpec=spec, KeyUsage="SIGN_VERIFY") for spec in SIGNERS}
    return made | {"encrypt": closed.new_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")}


def public(kms, key):
    return serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])


def is_valid(key, algorithm, message, signature):
    """Whether the other implementation takes a signature."""
    digest = HASHES[algorithm[-3:]]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            key.verify(signature, message, pss if "PSS" in algorithm else padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(digest))
        else:
            key.verify(signature, message)
    except cryptography.exceptions.InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("spec", SIGNERS)
def test_signatures_hold_elsewhere(kms, keys, spec):
    key, (algorithms, size) = keys[spec], SIGNERS[spec]
    told = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert told["KeySpec"] == spec and told["KeyUsage"] == "SIGN_VERIFY"
    assert sorted(told["SigningAlgorithms"]) == sorted(algorithms)
    assert not {"EncryptionAlgorithms", "MacAlgorithms", "CurrentKeyMaterialId"} & set(told)
    answer = kms.get_public_key(KeyId=key)
    assert answer["KeySpec"] == spec and answer["SigningAlgorithms"] == told["SigningAlgorithms"]
    other = public(kms, key)
    if size == 2048:
        assert other.key_size == size and other.public_numbers().e == 65_537
    elif size:
        assert other.curve.name == size
    else:
        assert isinstance(other, ed25519.Ed25519PublicKey)
    for algorithm in algorithms:
        request = {"KeyId": key, "SigningAlgorithm": algorithm}
        raw = kms.sign(Message=MESSAGE, **request)
        assert raw["KeyId"] == key and raw["SigningAlgorithm"] == algorithm
        assert is_valid(other, algorithm, MESSAGE, raw["Signature"])
        assert kms.verify(Message=MESSAGE, Signature=raw["Signature"], **request)["SignatureValid"] is True
        for wrong in ({"Message": MESSAGE + b"!", "Signature": raw["Signature"]}, {"Message": MESSAGE, "Signature": b"x"}):
            refused("KMSInvalidSignatureException", kms.verify, "", 400, **wrong, **request)
        if spec == "ECC_NIST_EDWARDS25519":
            refused("ValidationException", kms.sign, Message=b"x" * 64, MessageType="DIGEST", **request)
            continue
        digest = hashlib.new(f"sha{algorithm[-3:]}", MESSAGE).digest()
        by_digest = kms.sign(Message=digest, MessageType="DIGEST", **request)["Signature"]
        assert is_valid(other, algorithm, MESSAGE, by_digest)
        for message, kind, signature in ((digest, "DIGEST", raw["Signature"]), (MESSAGE, "RAW", by_digest)):
            assert kms.verify(Message=message, MessageType=kind, Signature=signature, **request)["SignatureValid"]
        said = f"Digest is invalid length for algorithm {algorithm}."
        for call in (kms.sign, lambda **more: kms.verify(Signature=by_digest, **more)):
            refused("ValidationException", call, said, 400, Message=digest[1:], MessageType="DIGEST", **request)


@pytest.mark.parametrize("bits", MACS)
def test_codes_of_messages_are_those_of_an_hmac(closed, kms, bits):
    key, algorithm = closed.new_key(KeySpec=f"HMAC_{bits}", KeyUsage="GENERATE_VERIFY_MAC"), f"HMAC_SHA_{bits}"
    told = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert told["MacAlgorithms"] == [algorithm] and told["KeySpec"] == f"HMAC_{bits}"
    request = {"KeyId": key, "MacAlgorithm": algorithm}
    made = kms.generate_mac(Message=MESSAGE, **request)
    assert len(made["Mac"]) == MACS[bits] and made["KeyId"] == key and made["MacAlgorithm"] == algorithm
    assert kms.generate_mac(Message=MESSAGE, **request)["Mac"] == made["Mac"]
    assert kms.verify_mac(Message=MESSAGE, Mac=made["Mac"], **request)["MacValid"] is True
    for message, mac in ((b"x", made["Mac"]), (MESSAGE, b"x"), (MESSAGE, made["Mac"][:-1])):
        refused("KMSInvalidMacException", kms.verify_mac, "", 400, Message=message, Mac=mac, **request)
    refused("InvalidKeyUsageException", kms.generate_mac, Message=MESSAGE, KeyId=key, MacAlgorithm="HMAC_SHA_1")
    refused("UnsupportedOperationException", kms.get_public_key, KeyId=key)


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_rsa_encrypts_and_decrypts_for_others(closed, kms, keys, algorithm):
    key, digest = keys["encrypt"], hashes.SHA1() if algorithm.endswith("_1") else hashes.SHA256()
    way = padding.OAEP(padding.MGF1(digest), digest, None)
    request = {"KeyId": key, "EncryptionAlgorithm": algorithm}
    theirs = public(kms, key).encrypt(b"secret", way)
    assert kms.decrypt(CiphertextBlob=theirs, **request)["Plaintext"] == b"secret"
    most = 256 - 2 * digest.digest_size - 2
    made = kms.encrypt(Plaintext=b"x" * most, **request)
    assert made["EncryptionAlgorithm"] == algorithm and len(made["CiphertextBlob"]) == 256
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], **request)
    assert opened["Plaintext"] == b"x" * most and "KeyMaterialId" not in opened
    said = f"Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than {most} bytes."
    refused("ValidationException", kms.encrypt, said, 400, Plaintext=b"x" * (most + 1), **request)
    refused("ValidationException", kms.decrypt, CiphertextBlob=theirs, EncryptionAlgorithm=algorithm)
    refused("InvalidCiphertextException", kms.decrypt, "", 400, CiphertextBlob=theirs[::-1], **request)
    refused("ValidationException", kms.encrypt, Plaintext=b"x", EncryptionContext={"a": "b"}, **request)
    symmetric = closed.new_key()
    moved = kms.re_encrypt(
        CiphertextBlob=theirs, SourceKeyId=key, SourceEncryptionAlgorithm=algorithm, DestinationKeyId=symmetric
    )
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"secret"
    back = kms.re_encrypt(
        CiphertextBlob=moved["CiphertextBlob"], DestinationKeyId=key, DestinationEncryptionAlgorithm=algorithm
    )
    assert kms.decrypt(CiphertextBlob=back["CiphertextBlob"], **request)["Plaintext"] == b"secret"


def test_a_key_does_what_it_is_for(closed, kms, keys):
    signer, cipher, plain = keys["RSA_2048"], keys["encrypt"], closed.new_key()
    mac = closed.new_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    sign = {"Message": b"x", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
    for key, usage in ((cipher, "ENCRYPT_DECRYPT"), (plain, "ENCRYPT_DECRYPT"), (mac, "GENERATE_VERIFY_MAC")):
        said = f"{key} key usage is {usage} which is not valid for Sign."
        refused("InvalidKeyUsageException", kms.sign, said, 400, KeyId=key, **sign)
        refused("InvalidKeyUsageException", kms.verify, KeyId=key, Signature=b"x", **sign)
    for key in (signer, mac):
        refused("InvalidKeyUsageException", kms.encrypt, KeyId=key, Plaintext=b"x")
        refused("InvalidKeyUsageException", kms.generate_data_key, KeyId=key, KeySpec="AES_256")
        refused("UnsupportedOperationException", kms.rotate_key_on_demand, KeyId=key)
        refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=key)
        refused("UnsupportedOperationException", kms.get_key_rotation_status, KeyId=key)
    refused("InvalidKeyUsageException", kms.generate_data_key, KeyId=cipher, KeySpec="AES_256")
    refused("InvalidKeyUsageException", kms.encrypt, KeyId=cipher, Plaintext=b"x")
    refused("InvalidKeyUsageException", kms.generate_mac, KeyId=signer, Message=b"x", MacAlgorithm="HMAC_SHA_256")
    refused("UnsupportedOperationException", kms.get_public_key, KeyId=plain)
    wrong = re.compile("^Algorithm ECDSA_SHA_256 is incompatible with key spec RSA_2048.$")
    refused("InvalidKeyUsageException", kms.sign, wrong, KeyId=signer, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    for size in (0, 4_097):
        refused("ValidationException", kms.sign, KeyId=signer, **(sign | {"Message": b"x" * size}))
    refused("ValidationException", kms.sign, KeyId=signer, MessageType="EXTERNAL_MU", **sign)
    refused("DryRunOperationException", kms.sign, KeyId=signer, DryRun=True, **sign)
    kms.disable_key(KeyId=signer)
    for call, more in ((kms.sign, sign), (kms.verify, sign | {"Signature": b"x"}), (kms.get_public_key, {})):
        refused("DisabledException", call, KeyId=signer, **more)
    kms.enable_key(KeyId=signer)


def test_what_cannot_be_made(kms):
    needed = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    refused("ValidationException", kms.create_key, needed, 400, KeySpec="RSA_2048")
    for spec, usage in (
        ("RSA_2048", "GENERATE_VERIFY_MAC"), ("HMAC_256", "ENCRYPT_DECRYPT"), ("ECC_NIST_P256", "ENCRYPT_DECRYPT"),
        ("SYMMETRIC_DEFAULT", "SIGN_VERIFY"),
    ):
        said = f"KeyUsage {usage} is not compatible with KeySpec {spec}"
        refused("ValidationException", kms.create_key, said, 400, KeySpec=spec, KeyUsage=usage)
    for spec in ("SM2", "ML_DSA_44"):
        refused("UnsupportedOperationException", kms.create_key, KeySpec=spec, KeyUsage="SIGN_VERIFY")
    refused("UnsupportedOperationException", kms.create_key, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")


def test_policies_and_grants_reach_pairs_too(closed, kms, keys):
    theirs, key = closed.kms(account=PARTNER), keys["ECC_NIST_P256"]
    request = {"KeyId": key, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    refused("AccessDeniedException", theirs.sign, **request)
    grant = {"KeyId": key, "GranteePrincipal": PARTNER}
    refused("ValidationException", kms.create_grant, Operations=["Decrypt"], **grant)
    context = {"EncryptionContextSubset": {"a": "b"}}
    refused("ValidationException", kms.create_grant, Operations=["Sign"], Constraints=context, **grant)
    made = kms.create_grant(Operations=["Sign", "GetPublicKey"], **grant)["GrantId"]
    signature = theirs.sign(**request)["Signature"]
    assert is_valid(public(theirs, key), "ECDSA_SHA_256", b"x", signature)
    refused("AccessDeniedException", theirs.verify, Signature=signature, **request)
    kms.revoke_grant(KeyId=key, GrantId=made)
    refused("AccessDeniedException", theirs.sign, **request)


def test_a_pair_is_replicated_and_outlives_a_start(deploy):
    deployment = deploy()
    home, far = deployment.kms(HOME), deployment.kms(FAR)
    made = {
        spec: home.create_key(KeySpec=spec, KeyUsage=usage, MultiRegion=True)["KeyMetadata"]["KeyId"]
        for spec, usage in (("ECC_NIST_P256", "SIGN_VERIFY"), ("HMAC_256", "GENERATE_VERIFY_MAC"))
    }
    pair, mac = made.values()
    for key in (pair, mac):
        home.replicate_key(KeyId=key, ReplicaRegion=FAR)
    request = {"KeyId": pair, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = home.sign(**request)["Signature"]
    code = {"KeyId": mac, "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
    assert far.generate_mac(**code)["Mac"] == home.generate_mac(**code)["Mac"]
    deployment.server.stop()
    deployment.server.start()
    home, far = deployment.kms(HOME), deployment.kms(FAR)
    for one in (home, far):
        assert one.verify(Signature=signature, **request)["SignatureValid"]
    assert home.get_public_key(KeyId=pair)["PublicKey"] == far.get_public_key(KeyId=pair)["PublicKey"]
    assert hmac.compare_digest(far.generate_mac(**code)["Mac"], home.generate_mac(**code)["Mac"])


def test_rds_takes_no_such_key(closed, keys, sealed_snapshot):
    for key in (keys["encrypt"], keys["ECC_NIST_P256"]):
        request = copy_request("sealed-snapshot", unique("pair"), KmsKeyId=key)
        refused("KMSKeyNotAccessibleFault", closed.rds().copy_db_cluster_snapshot, **request)
    with pytest.raises(closed.rds().exceptions.KMSKeyNotAccessibleFault):
        closed.new_cluster(unique("pair"), StorageEncrypted=True, KmsKeyId=keys["encrypt"])
    assert clients.exists(closed.rds(), "sealed-snapshot")
