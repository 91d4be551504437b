//! What MySQL keeps of a password: SHA-256-crypt with a salt of 20 bytes, as caching_sha2_password does it.
//!
//! Common implementations cut the salt at 16 bytes, as the scheme's author did; MySQL does not. Source:
//! "Unix crypt using SHA-256 and SHA-512" (Drepper), and `sha2-password` in MySQL's source.
use aws_lc_rs::digest::{Context, SHA256, digest};
use model::{Entropy, SystemEntropy};

/// The scheme, and thousands of rounds in three hexadecimal digits.
const PREFIX: &str = "$A$005$";
const ROUNDS: usize = 5_000;
const SALT_BYTES: usize = 20;
const HASH_BYTES: usize = 32;
/// Characters of the hash.
const HASH_CHARS: usize = 43;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// In which order the hash's bytes become characters, three by three.
const ORDER: [[usize; 3]; 10] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
];

/// The verifier of a password, with a fresh salt.
pub(super) fn verifier(password: &str) -> String {
    // Two of them have 244 bits of the system's chance, of which the salt takes 120.
    let drawn = [SystemEntropy.uuid(), SystemEntropy.uuid()];
    let drawn = digest(&SHA256, drawn.map(|uuid| *uuid.as_bytes()).as_flattened());
    let mut salt = [0; SALT_BYTES];
    for (char, byte) in salt.iter_mut().zip(drawn.as_ref()) {
        *char = ALPHABET[usize::from(byte & 63)];
    }
    let salt_text = std::str::from_utf8(&salt).expect("ASCII");
    format!(
        "{PREFIX}{salt_text}{}",
        crypt(password.as_bytes(), &salt, ROUNDS)
    )
}

/// Whether a text is a verifier. Any other text might be a password in clear.
pub(super) fn is_verifier(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == SALT_BYTES + HASH_CHARS && rest.bytes().all(|byte| ALPHABET.contains(&byte))
    })
}

fn hashed(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A hash again and again, to a length.
fn stretched(hash: &[u8; HASH_BYTES], length: usize) -> Vec<u8> {
    hash.iter().copied().cycle().take(length).collect()
}

fn crypt(password: &[u8], salt: &[u8], rounds: usize) -> String {
    let both = hashed(&[password, salt, password]);
    let mut parts = vec![password, salt];
    let mixed = stretched(&both, password.len());
    parts.push(&mixed);
    let mut bits = password.len();
    while 0 < bits {
        parts.push(if bits & 1 == 1 { &both } else { password });
        bits >>= 1;
    }
    let mut hash = hashed(&parts);
    let passwords = stretched(&hashed(&vec![password; password.len()]), password.len());
    let times = 16 + usize::from(hash[0]);
    let salts = stretched(&hashed(&vec![salt; times]), salt.len());
    for round in 0..rounds {
        let (first, last): (&[u8], &[u8]) = match round & 1 {
            1 => (&passwords, &hash),
            _ => (&hash, &passwords),
        };
        let salted: &[u8] = if round % 3 == 0 { &[] } else { &salts };
        let again: &[u8] = if round % 7 == 0 { &[] } else { &passwords };
        hash = hashed(&[first, salted, again, last]);
    }
    shown(&hash)
}

fn shown(hash: &[u8; HASH_BYTES]) -> String {
    let mut text = String::with_capacity(HASH_CHARS);
    let mut push = |word: u32, chars: usize| {
        for at in 0..chars {
            let index = (word >> (6 * at)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    };
    let byte = |at: usize| u32::from(hash[at]);
    for [high, middle, low] in ORDER {
        push(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    push(byte(31) << 8 | byte(30), 3);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_scheme() {
        // As `openssl passwd -5 -salt saltstring` has it, with a shorter salt.
        let expected = "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        assert_eq!(crypt(b"Hello world!", b"saltstring", ROUNDS), expected);
        // From MySQL 9.7.4: CREATE USER … BY 'correct horse', which makes twice as many rounds of it.
        let salt = b":s;8G\x10W\x15\x0fUj9r\x19\x175H\x1cCx";
        assert_eq!(
            crypt(b"correct horse", salt, 10_000),
            "PF.h2s0phiN15MMLvS/micsK.bWJCHJsQxepF8kSBm0"
        );
    }

    #[test]
    fn a_verifier_is_none_of_its_password() {
        let made = verifier("correct horse");
        assert!(is_verifier(&made) && !made.contains("horse"));
        assert_ne!(made, verifier("correct horse"));
        for wrong in ["correct horse", "", &made[1..], &made.replace('$', "'")] {
            assert!(!is_verifier(wrong), "{wrong}");
        }
    }
}
