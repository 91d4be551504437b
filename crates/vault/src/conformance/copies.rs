//! Copies from one region's vault to another's at the same place.
//!
//! It does not know what a snapshot holds.
use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::Hash;

use super::{FAR, Fixture, HOME, check, noise, volume, write};
use crate::{
    error::{ObjectId, VaultError},
    gc::sweep::{delete, objects},
    observer::Unobserved,
    store::{names::Condemned, remote_reader::Origin, vault::Vault},
    transfer::{
        copy::{Copied, CopyJob, copy},
        reach::Reach,
        read_from::ReadFrom,
    },
};

fn moved(
    place: &impl Fixture,
    from: ReadFrom<'_>,
    to: &Vault,
    manifest: Hash,
    condemned_there: &Condemned,
) -> Copied {
    let job = CopyJob {
        from,
        to,
        volume: &volume(),
        manifest,
        condemned_there,
        throttle: None,
    };
    place
        .runtime()
        .block_on(copy(job, &Unobserved))
        .expect("copies")
}

/// The first copy moves all, the next one what changed, and the same again nothing. Names that
/// count as absent there are written again beside themselves.
pub fn a_copy_moves_what_is_missing<F: Fixture>() {
    let place = F::new();
    let (home, far) = (place.open(HOME), place.open(FAR));
    let none = Condemned::new();
    let from = ReadFrom::Vault(&home, &none);
    let mut content = noise(3, 400_000);
    let first = write(&place, &home, content.clone(), None);
    let copied = moved(&place, from, &far, first.manifest, &none);
    assert_eq!(
        (copied.objects, copied.bytes),
        (first.new_objects, first.new_bytes)
    );
    assert_eq!(
        (copied.held_bytes, copied.total_bytes),
        (0, first.stored_bytes)
    );
    check(&place, &far, first.manifest).expect("reads");

    content[..5].fill(9);
    let second = write(&place, &home, content, Some(first.manifest));
    let copied = moved(&place, from, &far, second.manifest, &none);
    assert_eq!(
        (copied.objects, copied.bytes),
        (second.new_objects, second.new_bytes)
    );
    assert_eq!(copied.held_bytes + copied.bytes, second.stored_bytes);
    let again = moved(&place, from, &far, second.manifest, &none);
    assert_eq!((again.objects, again.held_bytes), (0, second.stored_bytes));

    let list = || {
        place
            .runtime()
            .block_on(objects(&far, &volume()))
            .expect("lists")
    };
    let old = list();
    let absent: Condemned = old.iter().map(|entry| entry.path.clone()).collect();
    let anew = moved(&place, from, &far, second.manifest, &absent);
    assert_eq!((anew.bytes, anew.held_bytes), (second.stored_bytes, 0));
    assert_eq!(list().len() as u64, old.len() as u64 + anew.objects);
    for entry in &old {
        let removed = place.runtime().block_on(delete(&far, &entry.path));
        removed.expect("removes");
    }
    check(&place, &far, second.manifest).expect("the later incarnations are whole");
    let gone = check(&place, &far, first.manifest).expect_err("it was removed");
    assert!(matches!(gone, VaultError::Missing { .. }), "{gone}");
}

/// A vault that is read in pieces, as over a link.
#[derive(Debug)]
struct Link(Reach);

impl Origin for Link {
    fn read(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> BoxFuture<'_, Result<Bytes, VaultError>> {
        Box::pin(self.0.read(object, start, length))
    }
}

/// The same objects come over a link, the manifest last, and what is there is not asked for.
pub fn a_copy_over_a_link_moves_the_same<F: Fixture>() {
    let place = F::new();
    let (home, far) = (place.open(HOME), place.open(FAR));
    let none = Condemned::new();
    let written = write(&place, &home, noise(4, 400_000), None);
    let volume = volume();
    let reach = Reach::open(&home, &volume, written.manifest, &none);
    let link = Link(place.runtime().block_on(reach).expect("opens"));
    let copied = moved(&place, ReadFrom::Link(&link), &far, written.manifest, &none);
    assert_eq!(
        (copied.objects, copied.bytes),
        (written.new_objects, written.new_bytes)
    );
    assert_eq!(
        (copied.held_bytes, copied.total_bytes),
        (0, written.stored_bytes)
    );
    check(&place, &far, written.manifest).expect("reads");

    // Nothing of the source is left: an answer can only come from the target.
    let found = place.runtime().block_on(objects(&home, &volume));
    for entry in found.expect("lists") {
        let removed = place.runtime().block_on(delete(&home, &entry.path));
        removed.expect("removes");
    }
    let again = moved(&place, ReadFrom::Link(&link), &far, written.manifest, &none);
    assert_eq!((again.objects, again.held_bytes), (0, written.stored_bytes));
}
