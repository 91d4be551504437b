//! Over pages that a server of 9.7.4 wrote: `real/TABLE.PAGE.zz`, each packed by zlib.
use std::io::Read;

use proptest::prelude::*;

use super::*;

/// A page of a real file, and the file's first one.
struct Real {
    name: &'static str,
    first: &'static [u8],
    number: u32,
    page: &'static [u8],
    page_bytes: usize,
}

macro_rules! real {
    ($name:literal, $number:literal, $bytes:expr) => {
        Real {
            name: $name,
            first: include_bytes!(concat!("real/", $name, ".0.zz")),
            number: $number,
            page: include_bytes!(concat!("real/", $name, ".", $number, ".zz")),
            page_bytes: $bytes,
        }
    };
}

const REAL: [Real; 10] = [
    real!("plain", 4, PAGE_BYTES),
    real!("zip16", 5, 16 << 10),
    real!("zip8", 5, 8 << 10),
    real!("zip4", 6, 4 << 10),
    real!("zip1", 6, 1 << 10),
    real!("pzlib", 5, PAGE_BYTES),
    real!("plz4", 5, PAGE_BYTES),
    real!("system", 5, PAGE_BYTES),
    real!("undo", 4, PAGE_BYTES),
    real!("dictionary", 5, PAGE_BYTES),
];

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(bytes);
    reader.read_to_end(&mut page).expect("a fixture");
    page
}

/// Gives a plain page the sum that its bytes need.
fn sign(page: &mut [u8]) {
    let end = page.len() - TRAILER;
    let sum = crc32c::crc32c(&page[NUMBER..FLUSH_LSN]) ^ crc32c::crc32c(&page[DATA..end]);
    page[..4].copy_from_slice(&sum.to_be_bytes());
    page[end..end + 4].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn real_pages_of_every_format_hold_at_their_place_alone() {
    for real in &REAL {
        let (first, page) = (unpacked(real.first), unpacked(real.page));
        let layout = Layout::of(&first).expect(real.name);
        assert_eq!(layout.page_bytes(), real.page_bytes, "{}", real.name);
        assert_eq!(page.len(), real.page_bytes, "{}", real.name);
        let judge = |page: &[u8], number| layout.judge(page, number);
        assert_eq!(judge(&page, real.number), Verdict::Good, "{}", real.name);
        assert_eq!(judge(&page, real.number + 1), Verdict::Bad, "{}", real.name);
        let other = Layout {
            space: layout.space.wrapping_add(1),
            ..layout
        };
        let elsewhere = other.judge(&page, real.number);
        assert_eq!(elsewhere, Verdict::Bad, "{}: another space", real.name);
    }
}

#[test]
fn a_half_written_page_does_not_hold() {
    for real in &REAL {
        let (first, page) = (unpacked(real.first), unpacked(real.page));
        let layout = Layout::of(&first).expect(real.name);
        // The rest is an older page of the same place.
        let mut torn = page.clone();
        let mut older = page;
        for byte in &mut older[512..] {
            *byte = byte.wrapping_add(1);
        }
        torn[512..].copy_from_slice(&older[512..]);
        assert_eq!(
            layout.judge(&torn, real.number),
            Verdict::Bad,
            "{}",
            real.name
        );
    }
}

#[test]
fn an_unwritten_page_is_good_and_an_unwritten_file_is_none() {
    let layout = Layout::of(&unpacked(REAL[0].first)).expect("a layout");
    assert_eq!(layout.judge(&[0; PAGE_BYTES], 9), Verdict::Good);
    let mut page = [0; PAGE_BYTES];
    page[9000] = 1;
    assert_eq!(layout.judge(&page, 9), Verdict::Bad);
    assert_eq!(Layout::of(&[0; PAGE_BYTES]), Err(LayoutFault::Damaged));
    assert_eq!(Layout::of(b""), Err(LayoutFault::Damaged));
}

#[test]
fn tablespaces_that_no_dump_can_have_are_named() {
    let first = unpacked(REAL[0].first);
    let with = |flags: u32| {
        let mut page = first.clone();
        let all = be32(&page, SPACE_FLAGS) | flags;
        page[SPACE_FLAGS..SPACE_FLAGS + 4].copy_from_slice(&all.to_be_bytes());
        sign(&mut page);
        Layout::of(&page)
    };
    with(0).expect("as it was");
    for flags in [FLAG_ENCRYPTED, FLAG_TEMPORARY, FLAG_ELSEWHERE, 4 << 6] {
        let refused = with(flags);
        assert!(
            matches!(refused, Err(LayoutFault::Unsupported(_))),
            "{flags:x}: {refused:?}"
        );
    }
    assert_eq!(with(9 << 1), Err(LayoutFault::Damaged));
}

#[test]
fn an_encrypted_page_is_called_so() {
    let layout = Layout::of(&unpacked(REAL[0].first)).expect("a layout");
    for kind in KINDS_ENCRYPTED {
        let mut page = unpacked(REAL[0].page);
        page[KIND..KIND + 2].copy_from_slice(&kind.to_be_bytes());
        assert_eq!(layout.judge(&page, 4), Verdict::Encrypted, "{kind}");
    }
}

#[test]
fn a_server_that_shut_down_says_where() {
    assert_eq!(flush_lsn(&[0; 30]), None);
    let mut page = [0; PAGE_BYTES];
    page[FLUSH_LSN..FLUSH_LSN + 8].copy_from_slice(&77_u64.to_be_bytes());
    assert_eq!(flush_lsn(&page), Some(77));
}

/// Where a page has nothing that its sum covers, and nothing else that is checked.
fn is_free(real: &Real, page: &[u8], at: usize) -> bool {
    match real.name {
        // The flush LSN, and the field that stands for it elsewhere.
        name if name.starts_with("zip") => {
            (LSN..KIND).contains(&at) || (FLUSH_LSN..SPACE).contains(&at)
        }
        // Behind what is packed lies a hole; the kind is in another place.
        "pzlib" | "plz4" => {
            let packed = usize::from(be16(page, 32));
            at == 26 || DATA + packed <= at
        }
        _ => (FLUSH_LSN..SPACE).contains(&at),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_flipped_bit_is_seen(which in 0..REAL.len(), at in 0_usize..PAGE_BYTES, bit in 0_u8..8) {
        let real = &REAL[which];
        let layout = Layout::of(&unpacked(real.first)).expect("a layout");
        let mut page = unpacked(real.page);
        let at = at % page.len();
        prop_assume!(!is_free(real, &page, at));
        let packed = ["pzlib", "plz4"].contains(&real.name);
        let before = packed.then(|| unpack(&page));
        page[at] ^= 1 << bit;
        // Of a run of equal bytes a packed page may say in two ways how it goes on.
        prop_assume!(before.is_none_or(|before| before != unpack(&page)));
        let verdict = layout.judge(&page, real.number);
        prop_assert_ne!(verdict, Verdict::Good, "{} byte {}", real.name, at);
    }

    #[test]
    fn hostile_pages_are_judged_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), PAGE_BYTES), kind in 0_u16..20, algorithm in 0_u8..4) {
        let mut page = bytes;
        page[KIND..KIND + 2].copy_from_slice(&kind.to_be_bytes());
        page[26] = 1;
        page[27] = algorithm;
        page[30..32].copy_from_slice(&(u16::try_from(PAGE_BYTES - DATA).expect("small")).to_be_bytes());
        let _ = Layout::of(&page);
        for real in &REAL {
            let layout = Layout::of(&unpacked(real.first)).expect("a layout");
            let verdict = layout.judge(&page[..layout.page_bytes()], 4);
            prop_assert_ne!(verdict, Verdict::Good);
        }
    }
}
