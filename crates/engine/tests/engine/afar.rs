//! Servers of a cluster that share no node: against real PostgreSQL.
use std::{error::Error, sync::Arc, time::Duration};

use engine::{Certifier, Engine, Home, Identity, PeerSecret, Tls, Upstream};
use model::Standing;
use rustix::process::Signal;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    members::{child, child_or_none},
    support::{Rig, client, kill, number},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// How long a commit is waited for that is to be told to nobody.
const MOMENT: Duration = Duration::from_secs(2);

/// Makes a certificate for each server that nobody has signed: what binds the two ends is their secret.
#[derive(Debug)]
struct OwnCertificates;

impl Certifier for OwnCertificates {
    fn identity(
        &self,
        home: &Home,
        shown: Option<&str>,
    ) -> Result<Option<Identity>, Box<dyn Error + Send + Sync>> {
        if shown.is_some() {
            return Ok(None);
        }
        let made = rcgen::generate_simple_self_signed([home.host.clone()])?;
        Ok(Some(Identity {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem().into(),
        }))
    }
}

/// What servers that share no socket and no user are to one another, as the writer of that term leads.
fn spread(home: &mut Home, peers: &[&Home], writer: Option<(&Home, u64)>) {
    let names: Vec<String> = peers
        .iter()
        .map(|one| one.replication.name.clone())
        .collect();
    home.replication.synchronous = names.clone();
    home.replication.followers = match writer {
        None => names,
        Some(_) => Vec::new(),
    };
    home.replication.upstream = writer.map(|(writer, term)| Upstream {
        socket_dir: "/nowhere".into(),
        port: writer.port,
        host: writer.host.clone(),
        dir: "/nowhere".into(),
        term: Some(term),
    });
}

fn use_tls(rig: &Rig) {
    rig.engine.use_tls(Tls {
        certifier: Arc::new(OwnCertificates),
        forced: false,
    });
}

/// A server's home that has the secret of its cluster's first term.
fn afar(rig: &Rig, name: &str) -> Home {
    let mut home = rig.home(name);
    home.replication.name = format!("member_{name}");
    home.replication.secret = Some(PeerSecret {
        password: "a secret of two and thirty letters".to_owned().into(),
        mark: "first".to_owned(),
    });
    home
}

/// What lies between two servers: it lets through, or takes connections and holds back what they say.
#[derive(Debug)]
struct Link {
    port: u16,
    is_open: watch::Sender<bool>,
    held: watch::Receiver<usize>,
}

impl Link {
    /// A link to a server.
    async fn to(home: &Home) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (is_open, opened) = watch::channel(true);
        let (hold, held) = watch::channel(0);
        let (host, to) = (home.host.clone(), home.port);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if !*opened.borrow() {
                    hold.send_modify(|count| *count += 1);
                }
                tokio::spawn(carry(near, (host.clone(), to), opened.clone()));
            }
        });
        Self {
            port,
            is_open,
            held,
        }
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Ends what it carries, and holds what comes from here on. Answers once something is held.
    async fn cut(&mut self) {
        self.is_open.send_replace(false);
        let held = self.held.wait_for(|count| 0 < *count);
        let held = tokio::time::timeout(PATIENCE, held).await;
        held.expect("somebody connects").expect("it is there");
    }
}

/// Carries one connection, from when the link is open to when it is cut.
async fn carry(mut near: TcpStream, to: (String, u16), mut opened: watch::Receiver<bool>) {
    if opened.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(mut far) = TcpStream::connect((to.0.as_str(), to.1)).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = opened.wait_for(|open| !*open) => {}
    }
}

/// A receiver that is connecting as its server leaves is in no view of receivers. Let in a moment later, it
/// would still tell the writer that it has what nobody would look for there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_connecting_to_a_writer_that_is_left_receives_no_more() {
    let rig = Rig::new();
    use_tls(&rig);
    let [mut a, mut b] = ["a", "b"].map(|name| afar(&rig, name));
    a.replication.followers = vec!["member_b".to_owned()];
    rig.engine.create(&a, &rig.spec()).await.expect("creates");
    rig.engine.renew(&a).await.expect("lets others in");
    let mut link = Link::to(&a).await;
    let mut far = a.clone();
    far.port = link.port;
    spread(&mut b, &[&a], Some((&far, 1)));
    rig.engine.follow(&b).await.expect("follows");
    let peers = [b.clone()];
    spread(&mut a, &[&peers[0]], None);
    rig.engine.renew(&a).await.expect("waits for it");
    let session = client(&a).await;
    let make = "CREATE TABLE t (i bigint)";
    session.batch_execute(make).await.expect("it is written");

    // Its new receiver is held on its way, and nobody there hears that it is to end.
    link.cut().await;
    let startup = child(&b, "startup");
    kill(startup, Signal::STOP);
    assert!(child_or_none(&b, "walreceiver").is_some());
    let mut leaving = Box::pin(rig.engine.leave(&b, 1));
    let early = tokio::time::timeout(MOMENT, &mut leaving).await;
    link.open();
    let commit = session.batch_execute("INSERT INTO t VALUES (0)");
    let told = tokio::time::timeout(MOMENT, commit).await;
    kill(startup, Signal::CONT);
    let has_left = early.is_ok();
    let left = match early {
        Ok(left) => left,
        Err(_) => leaving.await,
    };
    let standing: Standing = left.expect("leaves");
    let told_of = told.is_ok_and(|told| told.is_ok());
    assert!(!(has_left && told_of), "a commit after it had left");
    let written = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint";
    if told_of {
        let written = number(&client(&a).await, written).await;
        let written = u64::try_from(written).expect("a place");
        assert!(written <= standing.position, "{written} {standing:?}");
    }
    let late = client(&a).await;
    let late = late.batch_execute("INSERT INTO t VALUES (1)");
    let late = tokio::time::timeout(MOMENT, late).await;
    assert!(late.is_err(), "no reader has it");
    // What let it in is gone with it, and an older look does not bring it back.
    rig.engine.renew(&b).await.expect("an older look");
    let password = b.dir.join("conf/peer.pass");
    assert!(!password.exists(), "nobody else it starts is let in");
    let again = rig.engine.follow_again(&b).await;
    again.expect_err("it has left that one for good");
    let mut later = b.clone();
    spread(&mut later, &[&a], Some((&far, 2)));
    rig.engine.renew(&later).await.expect("another term");
    assert!(password.exists());
}

#[tokio::test]
async fn servers_on_several_nodes_follow_with_a_secret_and_leave_a_writer_for_good() {
    let rig = Rig::new();
    use_tls(&rig);
    assert!(rig.engine.follows_afar(&rig.version));
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| afar(&rig, name));
    a.replication.followers = vec!["member_b".to_owned(), "member_c".to_owned()];
    let spec = rig.spec();
    rig.engine.create(&a, &spec).await.expect("creates");
    rig.engine.renew(&a).await.expect("lets others in");
    let (from_a, peers) = (a.clone(), [a.clone(), b.clone(), c.clone()]);
    spread(&mut b, &[&peers[0], &peers[2]], Some((&from_a, 1)));
    spread(&mut c, &[&peers[0], &peers[1]], Some((&from_a, 1)));
    let mut stranger = b.clone();
    let wrong = "another secret".to_owned().into();
    stranger.replication.secret.as_mut().expect("one").password = wrong;
    stranger.dir = rig.path().join("stranger");
    for one in [&b, &c] {
        rig.engine.follow(one).await.expect("follows");
    }
    let refused = tokio::time::timeout(MOMENT, rig.engine.follow(&stranger)).await;
    assert!(!matches!(refused, Ok(Ok(()))), "it has another secret");
    spread(&mut a, &[&peers[1], &peers[2]], None);
    rig.engine.renew(&a).await.expect("waits for them");
    let session = client(&a).await;
    let add = "CREATE TABLE t AS SELECT generate_series(1, 1000) i";
    session.batch_execute(add).await.expect("it is written");
    // A commit that neither of the two has any more is told to nobody.
    let mut standings = Vec::new();
    for one in [&b, &c] {
        let first = rig.engine.leave(one, 1).await.expect("leaves");
        assert_eq!(rig.engine.leave(one, 1).await.expect("again"), first);
        rig.engine.renew(one).await.expect("an older look");
        let state = rig.engine.replica(one).await.expect("a state");
        assert!(state.follows && !state.is_connected);
        standings.push(first);
    }
    let late = session.batch_execute("INSERT INTO t VALUES (0)");
    let late = tokio::time::timeout(MOMENT, late).await;
    assert!(late.is_err(), "no reader has it");
    assert_eq!(standings[0].timeline, 1);
    // The one that has most takes the writes, and the other follows it.
    if standings[0] < standings[1] {
        (b, c) = (c, b);
    }
    // The next term's writer has another password: the old one is not followed, whatever address it has.
    let next = PeerSecret {
        password: "a secret of the second term".to_owned().into(),
        mark: "second".to_owned(),
    };
    for one in [&mut a, &mut b, &mut c] {
        one.replication.secret = Some(next.clone());
    }
    let mut deceived = c.clone();
    spread(&mut deceived, &[&a, &b], Some((&from_a, 2)));
    rig.engine.renew(&deceived).await.expect("its settings");
    let late = session.batch_execute("INSERT INTO t VALUES (0)");
    let late = tokio::time::timeout(MOMENT, late).await;
    assert!(late.is_err(), "it is followed by nobody");
    let (mut new, others) = (b.clone(), [&a, &c].map(Clone::clone));
    spread(&mut new, &[&others[0], &others[1]], None);
    rig.engine.promote(&new, None).await.expect("takes writes");
    rig.engine.renew(&new).await.expect("lets others in");
    spread(&mut c, &[&others[0], &b], Some((&new, 2)));
    rig.engine.renew(&c).await.expect("follows the new one");
    let session = client(&new).await;
    let add = "INSERT INTO t VALUES (-1)";
    let done = tokio::time::timeout(PATIENCE, session.batch_execute(add)).await;
    done.expect("the other reader has it")
        .expect("it is written");
    // The old one comes back, without what nobody was told of.
    rig.engine
        .fence(&a, "1", Duration::ZERO)
        .await
        .expect("it ends");
    spread(&mut a, &[&b, &c], Some((&new, 2)));
    rig.engine.start(&a).await.expect("it follows");
    for _ in 0..200 {
        if rig.engine.replica(&a).await.expect("a state").is_connected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    session.batch_execute(add).await.expect("it is written");
    for one in [&a, &c] {
        let count = "SELECT count(*) FROM t WHERE i = -1";
        for _ in 0..200 {
            if number(&client(one).await, count).await == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let seen = client(one).await;
        let state = rig.engine.replica(one).await.expect("a state");
        let name = &one.replication.name;
        assert_eq!(number(&seen, count).await, 2, "{name} {state:?}");
        assert_eq!(number(&seen, "SELECT count(*) FROM t WHERE i = 0").await, 0);
    }
    let before = rig.engine.leave(&a, 2).await.expect("leaves");
    assert!(standings[0].timeline < before.timeline);
}
