//! A vault in a bucket, over HTTP to a server in this process that fails as it is told to.
mod faults;
mod http;
mod late;
mod objects;
pub(crate) mod server;
mod signature;
mod speed;

use model::ErrorKind;
use vault::{Vault, VaultError};

use self::server::{Server, quick};
use crate::world::World;

/// A world whose vault is a bucket's.
fn world() -> (World, Server) {
    let mut world = World::new();
    let server = Server::start(&world.runtime);
    world.vault = server.region("us-east-1");
    (world, server)
}

fn elsewhere(server: &Server) -> Vault {
    server.region("eu-west-1")
}

/// Tries as a job does: each failure is one after which another try makes sense.
fn persist<T>(what: &str, mut attempt: impl FnMut() -> Result<T, VaultError>) -> T {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        match attempt() {
            Ok(done) => return done,
            Err(error) => {
                let named = matches!(error.kind(), ErrorKind::Retry | ErrorKind::Repair);
                assert!(named, "{what}: {error:?}");
            }
        }
    }
    panic!("{what}: not once in {TRIES} tries");
}

#[test]
fn only_who_has_the_secret_is_answered() {
    let (world, server) = world();
    let bucket = server.bucket("other", quick());
    let refused = world.runtime.block_on(bucket.regions());
    assert!(
        matches!(refused, Err(VaultError::Store { .. })),
        "{refused:?}"
    );
    let bucket = server.bucket(signature::SECRET, quick());
    assert_eq!(world.runtime.block_on(bucket.regions()).unwrap(), []);
}
