//! The records of a handover: what is in its way, and what is given up for it.
use std::sync::Arc;

use catalog::{CatalogExt, SqliteCatalog, conformance::samples, nodes};
use model::{InstanceStatus, SystemClock, SystemEntropy};

use super::*;
use crate::jobs::{change_cluster::Change, run::job_at};

/// A cluster with its writer on one node and its readers on two others, which live.
struct Spreading {
    _folder: tempfile::TempDir,
    catalog: SqliteCatalog,
    cluster: Cluster,
    writer: Instance,
    readers: Vec<Instance>,
}

impl Spreading {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("catalog");
        let catalog = SqliteCatalog::open(&at, Arc::new(SystemClock)).expect("a catalog");
        let mut cluster = samples::cluster("c");
        cluster.spread = Some(Box::default());
        let writer = samples::writer(&cluster);
        let readers = ["node-2", "node-3"].map(|node| {
            let id = InstanceId::draw(&SystemEntropy);
            let mut reader = Instance::reader(&cluster, id, writer.placement.clone());
            reader.placement.node = node.to_owned();
            // Its files are there.
            reader
                .placement
                .attempt
                .clone_from(&writer.placement.attempt);
            reader.status = InstanceStatus::Available;
            reader
        });
        let (made, lead, follow) = (cluster.clone(), writer.clone(), readers.to_vec());
        let done = catalog.write(move |tx| {
            rows::insert(tx, made.clone())?;
            instances::insert(tx, lead.clone())?;
            for reader in &follow {
                instances::insert(tx, reader.clone())?;
                let entry = nodes::Entry {
                    name: reader.placement.node.clone(),
                    home: reader.placement.node.clone(),
                    incarnation: "p".to_owned(),
                    endpoint: String::new(),
                    build: String::new(),
                    zone: None,
                };
                nodes::enter(tx, &entry, Duration::ZERO)?.expect("its name is free");
            }
            Ok::<_, CatalogError>(())
        });
        done.await.expect("made");
        Self {
            _folder: folder,
            catalog,
            cluster,
            writer,
            readers: readers.to_vec(),
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        step: impl Fn(&mut dyn Tx, &Member) -> Result<T, CatalogError> + Send + Sync + 'static,
    ) -> T {
        let reader = Member {
            cluster: self.cluster.clone(),
            instance: self.readers[0].clone(),
        };
        let done = self.catalog.write(move |tx| step(tx, &reader));
        done.await.expect("it is written")
    }

    /// Begins a handover; answers what is in its way.
    async fn begun(&self, how: Begun) -> Option<Obstacle> {
        let (id, from) = (self.cluster.resource_id.clone(), self.writer.id.clone());
        self.write(move |tx, _| match how {
            Begun::Asked => begin(tx, &id, |new| new, &from),
            Begun::WithoutItsNode => begin_without_its_node(tx, &id, &from),
        })
        .await
    }

    async fn now(&self) -> Cluster {
        let id = self.cluster.resource_id.clone();
        self.write(move |tx, _| {
            let found = rows::get_by_resource_id(tx, &id)?;
            Ok(found.expect("it is there").value)
        })
        .await
    }

    /// Gives the cluster another status, with the job of a change that does that.
    async fn changes(&self, status: ClusterStatus, change: Change) {
        let (id, node) = (
            self.cluster.resource_id.clone(),
            self.writer.placement.node.clone(),
        );
        let subject = model::job::Subject::cluster(
            &self.cluster.region,
            &self.cluster.account,
            &self.cluster.name,
        );
        self.write(move |tx, _| {
            let mut stored = rows::get_by_resource_id(tx, &id)?.expect("it is there");
            if status == ClusterStatus::Starting {
                for before in [ClusterStatus::Stopping, ClusterStatus::Stopped] {
                    stored.value.status = before;
                    stored = rows::update(tx, stored)?;
                }
            }
            stored.value.status = status;
            rows::update(tx, stored)?;
            let body = change_cluster::Body {
                cluster: id.clone(),
                change: change.clone(),
            };
            let (now, subject) = (tx.now(), subject.clone());
            let mut job = job_at::<ChangeCluster>(&SystemEntropy, now, subject, &body);
            job.node = Some(node.clone());
            jobs::insert(tx, &job)
        })
        .await;
    }

    async fn jobs(&self) -> usize {
        let node = self.writer.placement.node.clone();
        self.write(move |tx, _| Ok(jobs::bound_to(tx, &node)?.len()))
            .await
    }
}

#[derive(Debug, Clone, Copy)]
enum Begun {
    Asked,
    WithoutItsNode,
}

#[tokio::test]
async fn none_begins_while_a_reader_is_copied_and_one_that_did_is_given_up_at_once() {
    let of = Spreading::new().await;
    of.write(|tx, reader| note_files(tx, reader, false)).await;
    of.write(|tx, reader| note_files(tx, reader, false)).await;
    let unready = of.now().await.spread.expect("it has one").unready;
    assert_eq!(unready, [of.readers[0].id.clone()]);
    for how in [Begun::Asked, Begun::WithoutItsNode] {
        let obstacle = of.begun(how).await.expect("there is one");
        assert!(obstacle.to_string().contains("copied"), "{obstacle}");
    }
    of.write(|tx, reader| note_files(tx, reader, true)).await;
    assert_eq!(of.begun(Begun::Asked).await, None);
    assert_eq!(of.now().await.status, ClusterStatus::FailingOver);
    // Nothing is in its way: it goes on.
    of.write(|tx, reader| give_up(tx, reader, 1)).await;
    assert_eq!(of.now().await.status, ClusterStatus::FailingOver);
    of.write(|tx, reader| note_files(tx, reader, false)).await;
    of.write(|tx, reader| give_up(tx, reader, 1)).await;
    let given_up = of.now().await;
    assert_eq!(given_up.status, ClusterStatus::Available);
    assert_eq!(given_up.spread.expect("it has one").term, 2);
}

#[tokio::test]
async fn a_change_that_only_the_lost_node_could_go_on_with_is_given_up() {
    let alter = Change::Alter {
        master_verifier: None,
        restart: true,
        secret: None,
    };
    for (status, change) in [
        (ClusterStatus::Rebooting, alter.clone()),
        (ClusterStatus::ResettingMasterCredentials, alter),
        (ClusterStatus::Starting, Change::Start),
    ] {
        let of = Spreading::new().await;
        of.changes(status, change).await;
        let asked = of.begun(Begun::Asked).await;
        assert_eq!(asked, Some(Obstacle::Cluster(status)));
        assert_eq!(of.jobs().await, 1, "its node goes on with it");
        assert_eq!(of.begun(Begun::WithoutItsNode).await, None);
        assert_eq!(of.now().await.status, ClusterStatus::FailingOver);
        assert_eq!(of.jobs().await, 0);
    }
    let of = Spreading::new().await;
    of.changes(ClusterStatus::Stopping, Change::Stop).await;
    let stops = of.begun(Begun::WithoutItsNode).await;
    assert_eq!(stops, Some(Obstacle::Cluster(ClusterStatus::Stopping)));
    assert_eq!(of.jobs().await, 1);
    // Nothing is gained where no reader could take the writes.
    let of = Spreading::new().await;
    of.changes(ClusterStatus::Starting, Change::Start).await;
    of.write(|tx, reader| note_files(tx, reader, false)).await;
    assert!(of.begun(Begun::WithoutItsNode).await.is_some());
    assert_eq!(of.jobs().await, 1);
}
