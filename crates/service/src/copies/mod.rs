//! Copies of snapshots: their records, the keys that they are under, and their jobs.
//!
//! It does not know who may ask for one, nor what counts against whose quota.
mod copier;
pub mod reencrypt;

pub use copier::Copier;

use model::{
    Arn, Content, Job, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus, Tag,
    job::{Pin, Subject},
};

use crate::{
    fault::{Code, Fault},
    jobs::{
        copy_document::{self, Reencryption},
        copy_snapshot::CopySnapshot,
        new_job,
    },
    keys::{RdsUse, snapshot_context},
};

/// What a copy is called, whose kind it is of, and its tags.
pub type Named = (SnapshotName, SnapshotKind, Vec<Tag>);

impl Copier<'_> {
    /// A copy's record under the key that was given, else under the source's; and its job, if it
    /// needs one.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`, or `InvalidParameterValue` for a key too many or too few.
    pub async fn prepare(
        &self,
        source: &Snapshot,
        content: &Content,
        named: Named,
        key: Option<&str>,
    ) -> Result<(Snapshot, Option<Job>), Fault> {
        let mut copy = self.record(source, named);
        let reencryption = self.seal(source, content.clone(), &mut copy, key).await?;
        let job = match reencryption {
            Some(reencryption) => Some(reencrypt::job(self, source, &mut copy, reencryption, None)),
            None => (source.region != *self.region).then(|| self.job(source, &copy, None)),
        };
        Ok((copy, job))
    }

    /// The copy's record: what it inherits, and what is its own.
    pub fn record(&self, source: &Snapshot, (name, kind, tags): Named) -> Snapshot {
        let crosses = source.region != *self.region;
        Snapshot {
            region: self.region.clone(),
            account: self.account.clone(),
            name,
            uid: self.context.entropy.uuid(),
            status: if crosses {
                SnapshotStatus::Copying
            } else {
                SnapshotStatus::Available
            },
            percent_progress: if crosses { 0 } else { 100 },
            kind,
            recorded_at: self.context.now(),
            availability_zones: if crosses {
                self.region.zones()
            } else {
                source.availability_zones.clone()
            },
            kms_key: None,
            source: Some(source.arn()),
            content: None,
            shared_with: Vec::new(),
            in_log: None,
            tags,
            failure: None,
            recovery_point: None,
            ..source.clone()
        }
    }

    /// Decides the copy's key, and wraps the data key for it: from here on the copy needs
    /// nothing of the source's key. Answers how it is to be sealed anew, when it is.
    async fn seal(
        &self,
        source: &Snapshot,
        mut content: Content,
        copy: &mut Snapshot,
        given: Option<&str>,
    ) -> Result<Option<Reencryption>, Fault> {
        let mut reencryption = None;
        let crosses = source.region != *self.region;
        let shared = source.account != *self.reader;
        match (&content.wrapped_key, given) {
            (None, None) => {}
            (None, Some(_)) => return Err(key_without_encryption()),
            (Some(_), None) if crosses => return Err(no_key_across_regions()),
            (Some(_), None) if shared => {
                return Err(Fault::value(
                    "KmsKeyId must be specified to copy an encrypted snapshot that another account shared.",
                ));
            }
            (Some(wrapped), given) => {
                // The source's key is used in the source's region, the target's in this one.
                let at_source = RdsUse::new(&*self.context.keys, self.reader, &source.region);
                let here = RdsUse::new(&*self.context.keys, self.account, self.region);
                let data_key = at_source.unwrap_source(wrapped).await?;
                let target = given.map_or_else(|| wrapped.key.to_string(), str::to_owned);
                if reencrypt::is_set(self) {
                    let key = here.target(&target).await?;
                    if reencrypt::applies(self, source, wrapped, &key) {
                        reencryption =
                            Some(reencrypt::begin(&here, Some(&key), copy, &content.volume).await?);
                    }
                }
                let context = snapshot_context(&copy.account, &copy.uid, &content.volume);
                let wrapped = here.wrap_for(&target, &data_key, context).await?;
                copy.kms_key = Some(wrapped.key.clone());
                content.wrapped_key = Some(wrapped);
            }
        }
        copy.content = Some(content);
        Ok(reencryption)
    }

    /// The job of a copy from another region. With a pass the source is another deployment's.
    ///
    /// # Panics
    /// When the copy has no content.
    pub fn job(&self, source: &Snapshot, copy: &Snapshot, pass: Option<String>) -> Job {
        let content = copy
            .content
            .clone()
            .expect("a copy's content was decided before its job");
        let pin = |region: &model::Region| Pin {
            region: region.clone(),
            volume: content.volume.clone(),
            manifest: Some(content.manifest),
        };
        // What another deployment keeps is not ours to pin.
        let pins = match &pass {
            None => vec![pin(&source.region), pin(&copy.region)],
            Some(_) => vec![pin(&copy.region)],
        };
        let body = copy_document::Body {
            snapshot: copy.uid,
            source: Arn::clone(&source.arn()),
            source_region: source.region.clone(),
            content,
            pass,
            reencryption: None,
        };
        let subject = Subject::snapshot(&copy.region, &copy.account, &copy.name);
        let mut job = new_job::<CopySnapshot>(self.context, subject, &body);
        job.pins = pins;
        job
    }
}

/// An unencrypted snapshot has unencrypted copies.
pub fn key_without_encryption() -> Fault {
    Fault::value(
        "KmsKeyId cannot be specified for an unencrypted DB cluster snapshot: its copies are \
         unencrypted too. Restore it with a KmsKeyId to get an encrypted cluster.",
    )
}

/// A key is of one region.
pub fn no_key_across_regions() -> Fault {
    Fault::value("Must specify new KMS key for cross region encrypted snapshot copy.")
}

/// Refuses a source of which RDS makes no copies.
///
/// # Errors
/// `InvalidDBClusterSnapshotStateFault`.
/// RDS copies no snapshots of Multi-AZ DB clusters ("Limitations for Multi-AZ DB clusters").
pub fn copyable(source: &Snapshot, refuse_multi_az: bool) -> Result<(), Fault> {
    if !refuse_multi_az || source.engine.starts_with("aurora") {
        return Ok(());
    }
    Err(Fault::new(
        Code::InvalidDbClusterSnapshotState,
        format!(
            "Cannot copy the snapshot because it is of a Multi-AZ DB cluster: {} has the engine {}.",
            source.name, source.engine
        ),
    ))
}
