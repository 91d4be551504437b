use std::sync::atomic::{AtomicI64, Ordering};

use catalog::{SqliteCatalog, access_keys::AccessKey};
use http::Method;

use super::*;

/// A clock that a test moves.
#[derive(Debug)]
struct Moved(AtomicI64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst) * 1_000_000)
    }
}

const BEGUN: i64 = 1_800_000_000;
const KEY: &str = "AKIDEXAMPLE";

async fn access(folder: &tempfile::TempDir, mode: Mode) -> (Access, Arc<Moved>) {
    let clock = Arc::new(Moved(AtomicI64::new(BEGUN)));
    let catalog = SqliteCatalog::open(&folder.path().join("catalog"), clock.clone());
    let catalog: Arc<dyn Catalog> = Arc::new(catalog.expect("a catalog"));
    let master_key = Arc::new(MasterKey::from_bytes([3; 32]));
    let settings = Settings::new(mode, folder.path().to_owned());
    let (account, sealed) = (
        settings.default_account.clone(),
        master_key.seal(SECRET_PURPOSE, KEY, b"secret"),
    );
    let kept = catalog.write(move |tx| {
        accounts::ensure(tx, &account, "")?;
        let key = AccessKey {
            id: KEY.to_owned(),
            account: account.clone(),
            sealed_secret: sealed.clone(),
            status: access_keys::AccessKeyStatus::Active,
            created_at: tx.now(),
        };
        access_keys::insert(tx, &key)
    });
    kept.await.expect("an access key");
    (
        Access::new(catalog, master_key, clock.clone(), &settings),
        clock,
    )
}

fn signed(issued: &Issued, at: i64) -> RawRequest {
    let mut request = RawRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers: [(HOST, HeaderValue::from_static("127.0.0.1"))]
            .into_iter()
            .collect(),
        body: bytes::Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15"),
    };
    let signer = sigv4::Signer {
        access_key_id: &issued.access_key_id,
        secret: &issued.secret,
        security_token: Some(&issued.token),
        region: "us-east-1",
        service: "sts",
    };
    request
        .headers
        .extend(signer.sign_header(&request, at).expect("it signs"));
    request
}

/// In both modes a session's requests are its account's until its end, and then refused.
#[tokio::test]
async fn a_session_expires() {
    for mode in [Mode::Closed, Mode::Dev] {
        let folder = tempfile::tempdir().expect("a folder");
        let (access, clock) = access(&folder, mode).await;
        let caller = Caller {
            account: access.default_account.clone(),
            access_key_id: KEY.to_owned(),
            session: None,
        };
        let issued = access.begin_session(&caller, None, 900).expect("a session");
        assert_eq!(issued.expires_at.seconds(), BEGUN + 900);
        for (after, ends) in [(0, false), (899, false), (900, true), (100_000, true)] {
            let now = BEGUN + after;
            clock.0.store(now, Ordering::SeqCst);
            let proof = access.authenticate(&signed(&issued, now)).await;
            match proof {
                Ok(proof) => {
                    assert!(!ends, "{mode:?} after {after} s");
                    assert_eq!(proof.caller.account, caller.account);
                    assert_eq!(proof.caller.issuer().as_deref(), Some(KEY));
                }
                Err(fault) => {
                    assert!(ends, "{mode:?} after {after} s: {fault}");
                    assert_eq!(
                        (fault.code.as_str(), fault.code.status()),
                        ("ExpiredToken", 403)
                    );
                }
            }
        }
    }
}
